//! What all requests that write have in common: conditions and idempotency keys.

use tl_transport::engine::Precondition;
use tl_transport::http::types::HeaderMap;
use tl_transport::http::types::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use tl_transport::http::{Exchange, Response};
use tl_transport::model::{Error, ErrorCode, IdempotencyKey};

/// The request's idempotency key.
pub(crate) fn key(exchange: &Exchange) -> Result<Option<IdempotencyKey>, Error> {
    let text = exchange.header(IDEMPOTENCY_KEY)?;
    text.map(|text| parse_key(text).ok_or_else(no_key)).transpose()
}

fn no_key() -> Error {
    let detail = "`Idempotency-Key` is 1 to 255 visible ASCII characters, with or without quotes; a \
                  random UUID is a good one";
    Error::new(ErrorCode::ParameterInvalid, detail)
}

/// Says that an answer was given before.
pub(crate) fn mark_replayed(response: &mut Response, is_replayed: bool) {
    if is_replayed {
        let name = HeaderName::from_static("idempotency-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
}

/// A string of RFC 9651 (`"…"`, with `\"` and `\\`), as the draft has it, or the bare key, as many
/// send it.
fn parse_key(text: &str) -> Option<IdempotencyKey> {
    let Some(quoted) = text.trim().strip_prefix('"') else {
        return IdempotencyKey::parse(text.trim()).ok();
    };
    let mut key = String::new();
    let mut rest = quoted.strip_suffix('"')?.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => key.push(rest.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            '"' => return None,
            letter => key.push(letter),
        }
    }
    IdempotencyKey::parse(&key).ok()
}

/// `If-Match` and `If-None-Match` of a request that writes (RFC 9110 §13.1).
/// `parse` takes what a strong entity tag names.
pub(crate) fn precondition<P>(
    headers: &HeaderMap,
    parse: impl Fn(&str) -> Option<P>,
) -> Result<Option<Precondition<P>>, Error> {
    let tags = |name| -> Vec<&str> {
        let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
        values.flat_map(|value| value.split(',')).map(str::trim).collect()
    };
    let (wanted, unwanted) = (tags(IF_MATCH), tags(IF_NONE_MATCH));
    match (wanted.as_slice(), unwanted.as_slice()) {
        ([], []) => Ok(None),
        (["*"], []) => Ok(Some(Precondition::Exists)),
        ([], ["*"]) => Ok(Some(Precondition::Absent)),
        (tags, []) => {
            Ok(Some(Precondition::Last(tags.iter().filter_map(|it| parse(it)).collect())))
        }
        _ => {
            let detail = "send `If-Match` with the ETag that you have seen, or `If-None-Match: *` if \
                          there must be nothing yet";
            Err(Error::new(ErrorCode::ParameterInvalid, detail))
        }
    }
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::place;

    #[test]
    fn keys_come_quoted_or_bare() {
        let key = |text: &str| parse_key(text).map(|key| key.as_str().to_owned());
        assert_eq!(key("8e03978e"), Some("8e03978e".into()));
        assert_eq!(key("\"8e03978e\""), Some("8e03978e".into()));
        assert_eq!(key(r#""a\"b\\c""#), Some(r#"a"b\c"#.into()));
        for illegal in ["", "\"\"", "\"", "\"a", "\"a\"b\"", r#""a\b""#, "ü"] {
            assert_eq!(key(illegal), None, "{illegal}");
        }
    }

    #[test]
    fn conditions_are_read_as_the_rfc_says() {
        let read = |headers: &[(HeaderName, &str)]| {
            let value = |(name, value): &(HeaderName, &str)| {
                (name.clone(), HeaderValue::from_str(value).expect("legal"))
            };
            precondition(&headers.iter().map(value).collect(), place)
        };
        let last = |places: &[&str]| {
            let places = places.iter().map(|cursor| cursor.parse().expect("a cursor"));
            Ok(Some(Precondition::Last(places.collect())))
        };
        let (one, two) = ("100000000000111", "100000000000112");
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[(IF_MATCH, "*")]), Ok(Some(Precondition::Exists)));
        assert_eq!(read(&[(IF_NONE_MATCH, "*")]), Ok(Some(Precondition::Absent)));
        let list = format!("\"{one}\", W/\"{one}\", \"{two}-structured\", \"x\"");
        assert_eq!(read(&[(IF_MATCH, &list)]), last(&[one, two]));
        assert_eq!(read(&[(IF_MATCH, "nonsense")]), last(&[]));
        assert!(read(&[(IF_NONE_MATCH, &list)]).is_err());
        assert!(read(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")]).is_err());
    }
}
