use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use crate::limits::CHANNEL_BYTES_MAX;

/// The name of a place for events: dot-separated tokens such as `orders.eu.42`.
///
/// A token is one or more of `A–Z a–z 0–9 - _ : @ + = ~`. A name that begins with `$` is reserved
/// for the server's own channels. Cloning is cheap: clones share the text.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Channel(ByteString);

impl Channel {
    /// Parses a name.
    pub fn parse(name: &str) -> Result<Self, ChannelError> {
        check_name(name)?;
        Ok(Self(ByteString::from(name)))
    }

    /// Parses a name that is part of a larger shared buffer, without copying it.
    pub fn from_shared(name: Bytes) -> Result<Self, ChannelError> {
        let name = ByteString::try_from(name).map_err(|_| ChannelError::NotText)?;
        check_name(&name)?;
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name belongs to the server (`$sys.…`, `$cfg.…`).
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a channel name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChannelError {
    /// Two dots in a row, or one at either end.
    #[error("a channel name is tokens joined by single dots, like `orders.eu.42`")]
    EmptyToken,
    /// A character outside the alphabet.
    #[error(
        "the character {0:?} may not be in a channel name; use letters, digits, dots and - _ : @ + = ~"
    )]
    Forbidden(char),
    /// Bytes that are not UTF-8.
    #[error("a channel name is text")]
    NotText,
    /// Longer than the limit.
    #[error("a channel name has at most {CHANNEL_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A wildcard where a single channel is meant.
    #[error(
        "`*` and `>` make a pattern, which can be read but not published to; name one channel here"
    )]
    Wildcard,
}

fn check_name(name: &str) -> Result<(), ChannelError> {
    check_tokens(name, check_token)
}

/// Checks length and tokens; shared with patterns, which allow wildcard tokens as well.
pub(crate) fn check_tokens(
    name: &str,
    check: impl Fn(&str) -> Result<(), ChannelError>,
) -> Result<(), ChannelError> {
    if name.len() > CHANNEL_BYTES_MAX {
        return Err(ChannelError::TooLong(name.len()));
    }
    let tokens = name.strip_prefix('$').unwrap_or(name);
    tokens.split('.').try_for_each(check)
}

pub(crate) fn check_token(token: &str) -> Result<(), ChannelError> {
    if token.is_empty() {
        return Err(ChannelError::EmptyToken);
    }
    if token.bytes().all(is_token_byte) {
        return Ok(());
    }
    match token.chars().find(|c| !c.is_ascii() || !is_token_byte(*c as u8)) {
        Some('*' | '>') | None => Err(ChannelError::Wildcard),
        Some(c) => Err(ChannelError::Forbidden(c)),
    }
}

fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b':' | b'@' | b'+' | b'=' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Result<(), ChannelError>) {
        assert_eq!(Channel::parse(name).map(|_| ()), expected, "{name:?}");
        assert_eq!(
            Channel::from_shared(Bytes::copy_from_slice(name.as_bytes())).map(|_| ()),
            expected
        );
    }

    #[test]
    fn names_are_tokens_of_a_small_alphabet() {
        check("orders", Ok(()));
        check("orders.eu.42", Ok(()));
        check("a:b@c+d=e~f_g-h", Ok(()));
        check("$sys.connections", Ok(()));
        check(&"a".repeat(CHANNEL_BYTES_MAX), Ok(()));
        check("", Err(ChannelError::EmptyToken));
        check("$", Err(ChannelError::EmptyToken));
        check(".a", Err(ChannelError::EmptyToken));
        check("a..b", Err(ChannelError::EmptyToken));
        check("a.", Err(ChannelError::EmptyToken));
        check("a b", Err(ChannelError::Forbidden(' ')));
        check("a/b", Err(ChannelError::Forbidden('/')));
        check("a\r\nb", Err(ChannelError::Forbidden('\r')));
        check("übung", Err(ChannelError::Forbidden('ü')));
        check("a.$b", Err(ChannelError::Forbidden('$')));
        check("orders.*", Err(ChannelError::Wildcard));
        check("orders.>", Err(ChannelError::Wildcard));
        check(&"a".repeat(256), Err(ChannelError::TooLong(256)));
    }

    #[test]
    fn only_dollar_names_are_reserved() {
        let reserved = |name| Channel::parse(name).expect("valid").is_reserved();
        assert!(reserved("$sys.x"));
        assert!(!reserved("sys.x"));
    }
}
