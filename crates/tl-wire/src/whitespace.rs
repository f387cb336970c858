//! JSON text of several lines, carried on one line without losing a byte.
//!
//! NDJSON and SSE cannot carry line breaks inside a line, and a JSON parser drops the white space
//! around a value. So JSON data with either is carried as the same JSON without white space, and the
//! white space is described in the attribute `datawhitespace`, for readers that want the very bytes:
//!
//! ```text
//! data            {"a":[1,2]}
//! datawhitespace  1.n2s4.s8.n11.n       positions in the text above, then what to insert there
//!                 │ ││  │              1.n2s  before byte 1: one line feed, two spaces
//!                 │ ││  └─ …           n line feed · r carriage return · s space · t tab
//! ```
//!
//! Positions count bytes of the compact text and rise strictly.

use std::fmt::Write as _;

/// The compact JSON text, and the description of the white space it has lost. The text must be
/// legal JSON.
pub(crate) fn split(json: &str) -> (String, String) {
    let mut compact = String::with_capacity(json.len());
    let mut description = String::new();
    let mut rest = json;
    while !rest.is_empty() {
        let token = token_len(rest);
        compact.push_str(&rest[..token]);
        let after = rest[token..].trim_start_matches(is_space);
        let space = &rest[token..rest.len() - after.len()];
        if !space.is_empty() {
            describe(&mut description, compact.len(), space);
        }
        rest = after;
    }
    (compact, description)
}

/// The text that was split; `None` if the description does not fit, or the text would be longer
/// than `bytes_max`.
pub(crate) fn join(compact: &str, description: &str, bytes_max: usize) -> Option<String> {
    let mut json = String::with_capacity(compact.len() + description.len());
    let mut written = 0;
    let mut rest = description;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest);
        let symbol = after.chars().next()?;
        rest = &after[symbol.len_utf8()..];
        if symbol == '.' {
            let position = number?;
            json.push_str(compact.get(written..position)?);
            written = position;
            continue;
        }
        let count = number.unwrap_or(1);
        let space = SYMBOLS.iter().find(|(_, name)| *name == symbol)?.0;
        if count == 0 || count > bytes_max.saturating_sub(json.len()) {
            return None;
        }
        json.extend(std::iter::repeat_n(space, count));
    }
    json.push_str(compact.get(written..)?);
    (json.len() <= bytes_max).then_some(json)
}

/// The length of what comes before the next white space outside a string.
fn token_len(json: &str) -> usize {
    let (mut in_string, mut escaped) = (false, false);
    let end = json.bytes().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ => return !in_string && is_space(char::from(byte)),
        }
        false
    });
    end.unwrap_or(json.len())
}

fn describe(description: &mut String, position: usize, space: &str) {
    let _ = write!(description, "{position}.");
    let mut rest = space;
    while let Some(first) = rest.chars().next() {
        let after = rest.trim_start_matches(first);
        match rest.len() - after.len() {
            1 => {}
            count => drop(write!(description, "{count}")),
        }
        description.extend(SYMBOLS.iter().find(|(char, _)| *char == first).map(|(_, name)| *name));
        rest = after;
    }
}

fn leading_number(text: &str) -> (Option<usize>, &str) {
    let after = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (text[..text.len() - after.len()].parse().ok(), after)
}

fn is_space(char: char) -> bool {
    SYMBOLS.iter().any(|(space, _)| *space == char)
}

/// The white space of JSON (RFC 8259 §2) and its names.
const SYMBOLS: [(char, char); 4] = [('\n', 'n'), ('\r', 'r'), (' ', 's'), ('\t', 't')];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 10_000;

    #[track_caller]
    fn check(json: &str, compact: &str, description: &str) {
        assert_eq!(split(json), (compact.to_owned(), description.to_owned()));
        assert_eq!(join(compact, description, MAX).as_deref(), Some(json));
    }

    #[test]
    fn white_space_outside_strings_is_described() {
        check("{}", "{}", "");
        check("{}\n", "{}", "2.n");
        check(" {\r\n}", "{}", "0.s1.rn");
        check("{\n  \"a b\": [1,\t2]\n}\n", "{\"a b\":[1,2]}", "1.n2s7.s10.t12.n13.n");
        check("[\"\\\" \", \" \\\\\" ]", "[\"\\\" \",\" \\\\\"]", "7.s12.s");
    }

    #[test]
    fn a_description_that_does_not_fit_is_refused() {
        for description in ["x", "1", "n1", "3.n", "1.n0.n", "0s", "1.q", "1.99999999999s", "é.n"]
        {
            assert_eq!(join("{}", description, MAX), None, "{description}");
        }
        assert_eq!(join("{}", "", 1), None);
    }

    proptest! {
        #[test]
        fn splitting_loses_nothing(tokens in prop::collection::vec(token(), 0..40)) {
            let json = tokens.concat();
            let (compact, description) = split(&json);
            prop_assert!(!compact.contains(['\n', '\r']));
            prop_assert_eq!(join(&compact, &description, MAX), Some(json));
        }

        #[test]
        fn joining_anything_stays_within_bounds(
            compact in ".{0,20}", description in "[0-9.nrstx]{0,20}",
        ) {
            if let Some(joined) = join(&compact, &description, 100) {
                prop_assert!(joined.len() <= 100);
            }
        }
    }

    /// Pieces of JSON; splitting does not care whether they make sense together.
    fn token() -> impl Strategy<Value = String> {
        prop_oneof!["[ \t\r\n]{1,4}", "[\\[\\]{},:0-9]{1,4}", "\"([a-z \tü]|\\\\\"|\\\\\\\\)*\""]
    }
}
