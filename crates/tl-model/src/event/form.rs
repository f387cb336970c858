//! What data is: decided once, when the event is built.

use serde::de::IgnoredAny;

/// What an event's data is, and so how the JSON forms carry it without changing a byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DataForm {
    /// No data.
    Absent,
    /// Bytes that are neither JSON nor text by their media type: carried in base64.
    Binary,
    /// One JSON text that stands on one line: carried as it is.
    Json,
    /// A JSON text with line breaks, or with white space around it: carried as JSON, with the white
    /// space described beside it.
    JsonSpaced,
    /// UTF-8 text: carried as a JSON string.
    Text,
}

impl DataForm {
    /// Looks at data and its declared media type. CloudEvents takes data without one as JSON.
    pub fn of(data_content_type: Option<&str>, data: &[u8]) -> Self {
        if data_content_type.is_none_or(content_type::is_json) {
            return Self::of_json(data);
        }
        let is_text = data_content_type.is_some_and(content_type::is_text);
        match is_text && std::str::from_utf8(data).is_ok() {
            true => Self::Text,
            false => Self::Binary,
        }
    }

    fn of_json(data: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(data) else {
            return Self::Binary;
        };
        if nesting(data) > JSON_NESTING_MAX || serde_json::from_str::<IgnoredAny>(text).is_err() {
            return Self::Binary;
        }
        let is_space = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
        let breaks = data.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
        match breaks || is_space(data.first()) || is_space(data.last()) {
            true => Self::JsonSpaced,
            false => Self::Json,
        }
    }
}

/// The deepest nesting of brackets outside strings, for a text that is JSON.
fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Deeper JSON is carried as bytes: common parsers stop at 128, and frames nest the data further.
const JSON_NESTING_MAX: usize = 100;

/// What media types say about data.
pub mod content_type {
    /// `application/json`, `text/json` or anything `+json`.
    pub fn is_json(content_type: &str) -> bool {
        let essence = essence(content_type);
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        is("application/json") || is("text/json") || has_suffix(essence, "+json")
    }

    /// Media types whose data is text for people, in UTF-8.
    pub fn is_text(content_type: &str) -> bool {
        let essence = essence(content_type);
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        let textual = essence.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("text/"))
            || TEXTUAL.iter().any(|name| is(name))
            || has_suffix(essence, "+xml")
            || has_suffix(essence, "+yaml");
        textual && is_utf8(content_type)
    }

    /// The type and subtype, without parameters.
    pub fn essence(content_type: &str) -> &str {
        content_type.split(';').next().unwrap_or_default().trim()
    }

    fn has_suffix(essence: &str, suffix: &str) -> bool {
        let start = essence.len().saturating_sub(suffix.len());
        essence.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    }

    fn is_utf8(content_type: &str) -> bool {
        let mut parameters = content_type.split(';').skip(1).filter_map(|p| p.split_once('='));
        let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        charset.is_none_or(|(_, value)| {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii")
        })
    }

    const TEXTUAL: &[&str] = &[
        "application/graphql",
        "application/javascript",
        "application/sql",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/yaml",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: &str, data: &[u8], expected: DataForm) {
        let content_type = (!content_type.is_empty()).then_some(content_type);
        assert_eq!(DataForm::of(content_type, data), expected, "{content_type:?}");
    }

    #[test]
    fn the_media_type_and_the_bytes_decide_together() {
        check("application/json", b"{\"a\": 1}", DataForm::Json);
        check("application/vnd.x+json; v=1", b"[]", DataForm::Json);
        check("", b"17", DataForm::Json);
        check("application/json", b"{}\n", DataForm::JsonSpaced);
        check("application/json", b" {}", DataForm::JsonSpaced);
        check("application/json", b"{\r\n}", DataForm::JsonSpaced);
        check("application/json", b"", DataForm::Binary);
        check("application/json", b"{", DataForm::Binary);
        check("application/json", b"{}{}", DataForm::Binary);
        check("application/json", b"\xff", DataForm::Binary);
        check("", b"plain", DataForm::Binary);
        check("text/plain", b"plain\n", DataForm::Text);
        check("Text/Plain;charset=UTF-8", "ü".as_bytes(), DataForm::Text);
        check("text/plain; charset=iso-8859-1", b"plain", DataForm::Binary);
        check("text/plain", b"\xff", DataForm::Binary);
        check("application/atom+xml", b"<a/>", DataForm::Text);
        check("application/octet-stream", b"plain", DataForm::Binary);
    }

    #[test]
    fn json_too_deep_for_common_parsers_is_bytes() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        check("application/json", nested(JSON_NESTING_MAX).as_bytes(), DataForm::Json);
        check("application/json", nested(JSON_NESTING_MAX + 1).as_bytes(), DataForm::Binary);
        let text = format!("[\"{}\\\"{}\"]", nested(200), "[".repeat(200));
        check("application/json", text.as_bytes(), DataForm::Json);
    }
}
