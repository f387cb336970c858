use std::fmt;
use std::str::FromStr;

/// An event's place in the log: assigned by the store, strictly rising, first event 1.
///
/// Offsets of one channel rise but are not dense, because all channels share one log.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Offset(u64);

impl Offset {
    /// Before every event.
    pub const START: Self = Self(0);
    /// Where the first event of a new log goes.
    pub const FIRST: Self = Self(1);

    /// The offset with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The offset this many places on. A log of 2^64 events is out of reach, so it saturates.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The offset right behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The offset right before this one; `START` has none and stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one log: 60 random bits drawn when the log is created.
///
/// An offset means nothing in a log of another epoch.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Epoch(u64);

impl Epoch {
    /// Takes 60 of these 64 bits, so that the epoch is exactly twelve letters of a cursor.
    pub const fn from_random(bits: u64) -> Self {
        Self(bits >> 4)
    }

    /// The number, for storing.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Epoch {
    type Error = EpochError;

    fn try_from(number: u64) -> Result<Self, EpochError> {
        if number >> 60 == 0 { Ok(Self(number)) } else { Err(EpochError) }
    }
}

/// A stored number that no epoch has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an epoch has 60 bits")]
pub struct EpochError;

/// A place in one particular log. Its public form is the cursor.
///
/// # The cursor's form
///
/// ```text
/// 1 eeeeeeeeeeee n dd…
/// │ │            │ └─ offset, base 32, n digits, no leading zero
/// │ │            └─── number of offset digits, as one base-32 digit
/// │ └──────────────── epoch, 12 digits of base 32
/// └────────────────── format version
/// ```
///
/// The digits are Crockford's alphabet in lower case (no i, l, o, u). One position has exactly one
/// cursor, cursors of one log sort as text the way their offsets sort, and every letter is safe in a
/// URL, a header, an entity tag and an SSE id. Further offsets, each with its count of digits, can
/// follow for logs with several partitions; this version writes and accepts exactly one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Position {
    /// Which log.
    pub epoch: Epoch,
    /// Where in it: the last event already read.
    pub offset: Offset,
}

impl Position {
    /// The cursor text of this position.
    pub fn cursor(self) -> CursorText {
        let mut text = CursorText { bytes: [0; CURSOR_BYTES_MAX], len: 0 };
        text.push(VERSION);
        text.push_number(self.epoch.get(), EPOCH_DIGITS);
        let digits = offset_digits(self.offset);
        text.push(ALPHABET[usize::from(digits)]);
        text.push_number(self.offset.get(), digits);
        text
    }
}

impl FromStr for Position {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = text.as_bytes();
        let (&version, rest) = bytes.split_first().ok_or(CursorError::Malformed)?;
        if version != VERSION {
            let is_cursor =
                bytes.len() >= CURSOR_BYTES_MIN && bytes.iter().all(|b| ALPHABET.contains(b));
            return Err(if is_cursor { CursorError::Version } else { CursorError::Malformed });
        }
        let (epoch, rest) =
            rest.split_at_checked(usize::from(EPOCH_DIGITS)).ok_or(CursorError::Malformed)?;
        let (&count, digits) = rest.split_first().ok_or(CursorError::Malformed)?;
        let offset = Offset(number(digits)?);
        let canonical = offset_digits(offset);
        if digits.len() != usize::from(canonical) || count != ALPHABET[usize::from(canonical)] {
            return Err(CursorError::Malformed);
        }
        Ok(Self { epoch: Epoch(number(epoch)?), offset })
    }
}

/// The text of a cursor, without an allocation.
#[derive(Clone, Copy)]
pub struct CursorText {
    bytes: [u8; CURSOR_BYTES_MAX],
    len: u8,
}

impl CursorText {
    /// The cursor as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)])
            .expect("only digits of the alphabet are pushed")
    }

    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
    }

    fn push_number(&mut self, number: u64, digits: u8) {
        for place in (0..digits).rev() {
            self.push(ALPHABET[(number >> (u32::from(place) * DIGIT_BITS) & 31) as usize]);
        }
    }
}

impl std::ops::Deref for CursorText {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for CursorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Display for CursorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// Why a text is not a cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CursorError {
    /// Not the form of any cursor.
    #[error(
        "this is not a cursor; use one exactly as the server gave it, or `earliest` or `latest`"
    )]
    Malformed,
    /// A cursor of a format this server does not know.
    #[error("this cursor was written by a newer version of the server")]
    Version,
}

/// Where reading begins: everything behind this place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum After {
    /// From the oldest event kept. Written `earliest`; the default everywhere.
    Earliest,
    /// Only what is published from now on. Written `latest`.
    Latest,
    /// Right behind a cursor.
    Position(Position),
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Position(position) => f.write_str(&position.cursor()),
        }
    }
}

impl FromStr for After {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            cursor => cursor.parse().map(Self::Position),
        }
    }
}

/// Digits of an offset without leading zeros; `START` has none.
fn offset_digits(offset: Offset) -> u8 {
    (u64::BITS - offset.get().leading_zeros()).div_ceil(DIGIT_BITS) as u8
}

fn number(digits: &[u8]) -> Result<u64, CursorError> {
    digits.iter().try_fold(0u64, |number, digit| {
        let shifted = number.checked_mul(32).ok_or(CursorError::Malformed)?;
        Ok(shifted | digit_value(*digit)?)
    })
}

fn digit_value(digit: u8) -> Result<u64, CursorError> {
    let value = ALPHABET.iter().position(|letter| *letter == digit);
    value.map(|value| value as u64).ok_or(CursorError::Malformed)
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const VERSION: u8 = b'1';
const EPOCH_DIGITS: u8 = 12;
const DIGIT_BITS: u32 = 5;
/// Version, epoch and a count of no digits.
const CURSOR_BYTES_MIN: usize = 1 + 12 + 1;
/// Version, epoch, count of digits, and 13 digits for the largest offset.
const CURSOR_BYTES_MAX: usize = 1 + 12 + 1 + 13;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position(epoch: u64, offset: u64) -> Position {
        Position { epoch: Epoch::from_random(epoch), offset: Offset::new(offset) }
    }

    #[test]
    fn a_cursor_is_short_and_stays_what_it_is() {
        assert_eq!(&*position(0, 0).cursor(), "10000000000000");
        assert_eq!(&*position(u64::MAX, 1).cursor(), "1zzzzzzzzzzzz11");
        assert_eq!(&*position(0x0123_4567_89ab_cdef, 12_345).cursor(), "104hmasw9nf6y3c1s");
        assert_eq!(position(7, u64::MAX).cursor().len(), CURSOR_BYTES_MAX);
    }

    #[test]
    fn what_is_not_a_cursor_is_refused() {
        let error = |text: &str| Position::from_str(text).expect_err(text);
        assert_eq!(error(""), CursorError::Malformed);
        assert_eq!(error("1"), CursorError::Malformed);
        assert_eq!(error("104hmasw9nf6y"), CursorError::Malformed);
        assert_eq!(error("204hmasw9nf6y3c1s"), CursorError::Version);
        assert_eq!(error("é04hmasw9nf6y3c1s"), CursorError::Malformed);
        assert_eq!(error("104HMASW9NF6Y3C1S"), CursorError::Malformed);
        assert_eq!(error("104hmasw9nf6y4c1s"), CursorError::Malformed);
        assert_eq!(error("104hmasw9nf6y40c1s"), CursorError::Malformed);
        assert_eq!(error("1000000000000dg000000000000"), CursorError::Malformed);
        assert_eq!(error("104hmasw9nf6y3c1s3c1s"), CursorError::Malformed);
    }

    #[test]
    fn reading_begins_at_a_word_or_a_cursor() {
        assert_eq!("earliest".parse(), Ok(After::Earliest));
        assert_eq!("latest".parse(), Ok(After::Latest));
        let position = position(9, 9);
        assert_eq!(position.cursor().parse(), Ok(After::Position(position)));
        assert_eq!("now".parse::<After>(), Err(CursorError::Malformed));
    }

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_position(epoch: u64, offset: u64) {
            let position = position(epoch, offset);
            prop_assert_eq!(position.cursor().parse(), Ok(position));
        }

        #[test]
        fn one_position_has_one_cursor(text in "[0-9a-z]{0,30}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(&*position.cursor(), text.as_str());
            }
        }

        #[test]
        fn cursors_sort_like_offsets(a: u64, b: u64) {
            let (left, right) = (position(5, a).cursor(), position(5, b).cursor());
            prop_assert_eq!(left.as_str().cmp(right.as_str()), a.cmp(&b));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,40}") {
            let _ = text.parse::<After>();
        }
    }
}
