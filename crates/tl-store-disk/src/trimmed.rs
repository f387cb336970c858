//! Up to where events are missing in the middle of the log.
//!
//! Behind the head of the log some events are gone, too, once neighbours that are kept for longer have
//! been copied forward, or damage was cut out. Of a channel that still has events the
//! [heads](crate::heads) know it exactly. Of the others, and for readers of patterns, it is known for all
//! channels together that begin with the same token: that takes little, and a reader is told of a gap
//! too many rather than of one too few.

use std::collections::BTreeMap;

use tl_model::Offset;

/// The last missing offset, by the first token of channel names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Trimmed {
    /// Of any channel, and not because it had expired.
    lost: Offset,
    /// Of all channels, whatever they begin with.
    all: Offset,
    tokens: BTreeMap<Box<str>, Offset>,
    /// What the tokens take when they are written.
    bytes: usize,
}

impl Trimmed {
    /// Nobody knows of which channels events were that are missing up to an offset.
    pub(crate) fn note_lost(&mut self, offset: Offset) {
        self.lost = self.lost.max(offset);
        self.note_all(offset);
    }

    /// An event of a channel is missing.
    pub(crate) fn note(&mut self, channel: &str, offset: Offset) {
        self.note_token(first_token(channel), offset);
    }

    /// Adds what another knows.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.note_lost(other.lost);
        self.note_all(other.all);
        other.tokens.iter().for_each(|(token, offset)| self.note_token(token, *offset));
    }

    /// Forgets what is missing up to an offset.
    pub(crate) fn forget_up_to(&mut self, offset: Offset) {
        self.tokens.retain(|_, missing| *missing > offset);
        self.bytes = self.tokens.keys().map(|token| PLACE_BYTES + token.len()).sum();
    }

    /// See [`note_lost`](Self::note_lost).
    pub(crate) fn lost(&self) -> Offset {
        self.lost
    }

    /// The last offset that may be missing of the channels that a channel's name or a pattern names.
    pub(crate) fn of(&self, pattern: &str) -> Offset {
        let known = match first_token(pattern) {
            // No wildcard reaches reserved channels.
            "*" | ">" => {
                let ordinary = self.tokens.iter().filter(|(token, _)| !token.starts_with('$'));
                ordinary.map(|(_, offset)| *offset).max()
            }
            token => self.tokens.get(token).copied(),
        };
        self.all.max(known.unwrap_or_default())
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for offset in [self.lost, self.all] {
            out.extend_from_slice(&offset.get().to_le_bytes());
        }
        out.extend_from_slice(&(self.tokens.len() as u32).to_le_bytes());
        for (token, offset) in &self.tokens {
            out.extend_from_slice(&offset.get().to_le_bytes());
            out.push(token.len() as u8);
            out.extend_from_slice(token.as_bytes());
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let offset = |bytes: &[u8; 8]| Offset::new(u64::from_le_bytes(*bytes));
        let (lost, rest) = bytes.split_first_chunk()?;
        let (all, rest) = rest.split_first_chunk()?;
        let (count, mut rest) = rest.split_first_chunk()?;
        let (lost, all) = (offset(lost), offset(all));
        let mut trimmed = Self { lost, all, ..Self::default() };
        for _ in 0..u32::from_le_bytes(*count) {
            let (missing, behind) = rest.split_first_chunk()?;
            let (len, behind) = behind.split_first()?;
            let (token, behind) = behind.split_at_checked(usize::from(*len))?;
            rest = behind;
            trimmed.note_token(std::str::from_utf8(token).ok()?, offset(missing));
        }
        Some(trimmed)
    }

    fn note_all(&mut self, offset: Offset) {
        self.all = self.all.max(offset);
        self.forget_up_to(self.all);
    }

    fn note_token(&mut self, token: &str, offset: Offset) {
        if offset <= self.all {
            return;
        }
        match self.tokens.get_mut(token) {
            Some(missing) => *missing = offset.max(*missing),
            None => {
                self.bytes += PLACE_BYTES + token.len();
                self.tokens.insert(token.into(), offset);
            }
        }
        // Where too many differ, the oldest are counted for all.
        while self.bytes > TOKENS_BYTES_MAX
            && let Some(oldest) = self.tokens.values().min().copied()
        {
            self.note_all(oldest);
        }
    }
}

fn first_token(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// What a token takes beside its text.
const PLACE_BYTES: usize = 9;
/// What all of it takes at most when it is written: what the header of a sparse segment leaves of a page.
pub(crate) const TRIMMED_BYTES_MAX: usize = 4_096 - 56;
/// What is left for tokens.
const TOKENS_BYTES_MAX: usize = TRIMMED_BYTES_MAX - 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(trimmed: &Trimmed) -> Vec<u8> {
        let mut bytes = Vec::new();
        trimmed.write(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_missing_is_known_by_the_first_token() {
        let mut trimmed = Trimmed::default();
        trimmed.note("orders.eu.1", Offset::new(7));
        trimmed.note("orders.us", Offset::new(5));
        trimmed.note("$sys.x", Offset::new(9));
        for (pattern, missing) in
            [("orders.>", 7), ("orders.us", 7), ("prices", 0), (">", 7), ("*.eu", 7), ("$sys.>", 9)]
        {
            assert_eq!(trimmed.of(pattern), Offset::new(missing), "{pattern}");
        }
        trimmed.note_lost(Offset::new(8));
        assert_eq!((trimmed.of("prices").get(), trimmed.of("$sys.>").get()), (8, 9));
    }

    #[test]
    fn however_many_tokens_there_are_they_fit_and_none_is_told_too_little() {
        let mut trimmed = Trimmed::default();
        for number in 1..10_000_u64 {
            trimmed.note(&format!("token-{number}.x"), Offset::new(number));
        }
        let bytes = written(&trimmed);
        assert!(bytes.len() <= TRIMMED_BYTES_MAX, "{} bytes", bytes.len());
        for number in [1, 5_000, 9_999] {
            assert!(trimmed.of(&format!("token-{number}")) >= Offset::new(number), "{number}");
        }
        assert_eq!(trimmed.of("token-9999").get(), 9_999);
        assert_eq!(Trimmed::read(&bytes), Some(trimmed));
    }
}
