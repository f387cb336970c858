use std::fmt;

use bytestring::ByteString;

use crate::channel::{Channel, ChannelError, check_token, check_tokens};
use crate::limits::SELECTION_PATTERNS_MAX;

/// Names channels: a channel's own name, or tokens with `*` for exactly one token and a final `>`
/// for one or more, as NATS subjects do.
///
/// A pattern without a leading `$` never matches a reserved channel.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pattern(ByteString);

impl Pattern {
    /// Parses a channel name or a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        check_tokens(text, |token| match token {
            "*" | ">" => Ok(()),
            token => check_token(token),
        })
        .map_err(|error| match error {
            ChannelError::Wildcard => PatternError::WildcardInToken,
            error => PatternError::Channel(error),
        })?;
        if text.starts_with("$*") || text.starts_with("$>") {
            return Err(PatternError::WildcardInToken);
        }
        if text.split('.').rev().skip(1).any(|token| token == ">") {
            return Err(PatternError::TailNotLast);
        }
        Ok(Self(ByteString::from(text)))
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one channel this names, unless it has wildcards.
    pub fn channel(&self) -> Option<Channel> {
        Channel::from_shared(self.0.as_bytes().clone()).ok()
    }

    /// Whether events of this channel are meant.
    pub fn matches(&self, channel: &Channel) -> bool {
        let mut names = channel.as_str().split('.');
        let mut tokens = self.0.split('.');
        if channel.is_reserved() != self.0.starts_with('$') {
            return false;
        }
        loop {
            match (tokens.next(), names.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(token), Some(name)) if token == name => {}
                _ => return false,
            }
        }
    }
}

impl From<Channel> for Pattern {
    fn from(channel: Channel) -> Self {
        Self(ByteString::from(channel.as_str()))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// A token is not a legal channel token.
    #[error(transparent)]
    Channel(ChannelError),
    /// `>` before the last token.
    #[error("`>` stands for all that follows, so it can only be the last token")]
    TailNotLast,
    /// A wildcard glued to other characters.
    #[error("`*` and `>` stand alone between dots, as in `orders.*.42` or `orders.>`")]
    WildcardInToken,
}

/// What a reader reads: one or more patterns, in a canonical order without repetition.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Selection(Box<[Pattern]>);

impl Selection {
    /// Parses each text as a channel name or pattern.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, SelectionError> {
        let mut patterns = Vec::new();
        for text in texts {
            if patterns.len() == SELECTION_PATTERNS_MAX {
                return Err(SelectionError::TooMany);
            }
            patterns.push(
                Pattern::parse(text)
                    .map_err(|reason| SelectionError::Pattern { text: excerpt(text), reason })?,
            );
        }
        if patterns.is_empty() {
            return Err(SelectionError::Empty);
        }
        patterns.sort_unstable();
        patterns.dedup();
        Ok(Self(patterns.into()))
    }

    /// The patterns, sorted.
    pub fn patterns(&self) -> &[Pattern] {
        &self.0
    }

    /// Whether events of this channel are meant.
    pub fn matches(&self, channel: &Channel) -> bool {
        self.0.iter().any(|pattern| pattern.matches(channel))
    }
}

impl From<Pattern> for Selection {
    fn from(pattern: Pattern) -> Self {
        Self(Box::new([pattern]))
    }
}

impl From<Channel> for Selection {
    fn from(channel: Channel) -> Self {
        Self::from(Pattern::from(channel))
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// Why texts are not a selection.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SelectionError {
    /// No pattern at all.
    #[error("name at least one channel or pattern")]
    Empty,
    /// One of the texts is not a pattern.
    #[error("`{text}`: {reason}")]
    Pattern {
        /// The beginning of the text.
        text: String,
        /// What is wrong with it.
        reason: PatternError,
    },
    /// More patterns than the limit.
    #[error("at most {SELECTION_PATTERNS_MAX} channels and patterns; use a wider pattern")]
    TooMany,
}

/// The beginning of a hostile text, short enough to repeat in an error.
fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, channel: &str, expected: bool) {
        let pattern = Pattern::parse(pattern).expect("pattern");
        let channel = Channel::parse(channel).expect("channel");
        assert_eq!(pattern.matches(&channel), expected, "{pattern} {channel}");
    }

    #[test]
    fn star_is_one_token_and_arrow_the_rest() {
        check("a.b", "a.b", true);
        check("a.b", "a", false);
        check("a.b", "a.b.c", false);
        check("a.*", "a.b", true);
        check("a.*", "a", false);
        check("a.*", "a.b.c", false);
        check("*.b", "a.b", true);
        check("a.>", "a.b", true);
        check("a.>", "a.b.c", true);
        check("a.>", "a", false);
        check(">", "a", true);
        check(">", "a.b.c", true);
    }

    #[test]
    fn reserved_channels_are_matched_only_by_reserved_patterns() {
        check(">", "$sys.a", false);
        check("*.a", "$sys.a", false);
        check("$sys.>", "$sys.a", true);
        check("$sys.*", "$sys.a", true);
    }

    #[test]
    fn bad_patterns_say_what_is_wrong() {
        let error = |text| Pattern::parse(text).expect_err(text);
        assert_eq!(error("a.>.b"), PatternError::TailNotLast);
        assert_eq!(error("a*"), PatternError::WildcardInToken);
        assert_eq!(error("$*.a"), PatternError::WildcardInToken);
        assert_eq!(error("a..b"), PatternError::Channel(ChannelError::EmptyToken));
        assert_eq!(error(""), PatternError::Channel(ChannelError::EmptyToken));
    }

    #[test]
    fn only_a_plain_name_is_a_channel() {
        let channel = |text| Pattern::parse(text).expect(text).channel();
        assert_eq!(channel("a.b"), Channel::parse("a.b").ok());
        assert_eq!(channel("a.*"), None);
        assert_eq!(channel(">"), None);
    }

    #[test]
    fn a_selection_is_sorted_bounded_and_not_empty() {
        let selection = Selection::parse(["b", "a.>", "b"]).expect("selection");
        let texts: Vec<_> = selection.patterns().iter().map(Pattern::as_str).collect();
        assert_eq!(texts, ["a.>", "b"]);
        assert_eq!(Selection::parse([]), Err(SelectionError::Empty));
        let many = vec!["a"; SELECTION_PATTERNS_MAX + 1];
        assert_eq!(Selection::parse(many), Err(SelectionError::TooMany));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,300}") {
            let _ = Pattern::parse(&text);
            let _ = Channel::parse(&text);
        }

        #[test]
        fn a_channel_matches_itself_and_every_generalisation(
            tokens in prop::collection::vec("[a-z0-9]{1,4}", 1..6),
            star in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let channel = Channel::parse(&tokens.join(".")).expect("valid");
            prop_assert!(Pattern::from(channel.clone()).matches(&channel));
            let mut starred = tokens.clone();
            starred[star.index(tokens.len())] = "*".into();
            prop_assert!(Pattern::parse(&starred.join(".")).expect("valid").matches(&channel));
            let mut rest = tokens[..cut.index(tokens.len())].to_vec();
            rest.push(">".into());
            prop_assert!(Pattern::parse(&rest.join(".")).expect("valid").matches(&channel));
        }
    }
}
