//! What all requests that write have in common: conditions and idempotency keys.

use std::time::Duration;

use tl_transport::engine::{Answer, Precondition, Publish};
use tl_transport::http::types::HeaderMap;
use tl_transport::http::types::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use tl_transport::http::{Exchange, Response};
use tl_transport::model::limits::STATE_TRIES_MAX;
use tl_transport::model::{Channel, Error, ErrorCode, Fingerprint, IdempotencyKey, Once};

use crate::event::place;

/// Publishes under the request's condition, once for its idempotency key. `channel` is whose state
/// the condition is about.
pub(crate) async fn publish(
    exchange: &Exchange,
    channel: Option<&Channel>,
    once: Option<&Once>,
    publish: Publish,
) -> Result<Answer, Error> {
    let Exchange { engine, call, .. } = exchange;
    if let Some(answer) = answered(exchange, once).await? {
        return Ok(answer);
    }
    let Some(precondition) = precondition(exchange.headers(), place)? else {
        return publish_now(exchange, once, publish).await;
    };
    let channel = channel.ok_or_else(about_no_channel)?;
    // `*` names no state: it may still hold when somebody was quicker.
    let is_named = matches!(precondition, Precondition::Last(_)) || !publish.conditions.is_empty();
    let tries_max = if is_named { 1 } else { STATE_TRIES_MAX };
    let mut tries = 1;
    loop {
        let mut publish = publish.clone();
        publish.conditions.push(engine.condition(call, channel, &precondition).await?);
        let answer = publish_now(exchange, once, publish).await?;
        if tries == tries_max || !is_overtaken(&answer) {
            return Ok(answer);
        }
        let_others_go_first(exchange, tries).await;
        tries += 1;
    }
}

/// Waits a little, by chance and longer each time: whoever comes back at once can lose to the same
/// other every time.
pub(crate) async fn let_others_go_first(exchange: &Exchange, tries: usize) {
    let most_us = tries as u64 * RETRY_PAUSE_US;
    let pause_us = exchange.engine.environment().random() % most_us;
    tokio::time::sleep(Duration::from_micros(pause_us)).await;
}

async fn publish_now(
    exchange: &Exchange,
    once: Option<&Once>,
    publish: Publish,
) -> Result<Answer, Error> {
    let Exchange { engine, call, .. } = exchange;
    match once {
        Some(once) => engine.publish_once(call, once, publish).await,
        None => {
            let receipts = engine.publish(call, publish).await?;
            Ok(Answer { receipts, is_replayed: false })
        }
    }
}

/// Whether the condition held no more when the events were to be logged.
fn is_overtaken(answer: &Answer) -> bool {
    let mut errors = answer.receipts.iter().filter_map(|receipt| receipt.as_ref().err());
    errors.any(|error| error.code == ErrorCode::ConditionFailed)
}

/// Whether the request wants any document to be there.
pub(crate) fn wants_any(headers: &HeaderMap) -> bool {
    matches!(precondition(headers, place), Ok(Some(Precondition::Exists)))
}

/// The answer to an earlier request with the same key. It comes before the condition, which the
/// request itself may have broken.
pub(crate) async fn answered(
    exchange: &Exchange,
    once: Option<&Once>,
) -> Result<Option<Answer>, Error> {
    let Some(once) = once else { return Ok(None) };
    let receipts = exchange.engine.answered(&exchange.call, once).await?;
    Ok(receipts.map(|receipts| Answer { receipts, is_replayed: true }))
}

/// The request's idempotency key, or the one that its body names, and what it asks for. The
/// fingerprint is made only if there is a key.
pub(crate) fn once(
    exchange: &Exchange,
    in_body: Option<IdempotencyKey>,
    fingerprint: impl FnOnce() -> Fingerprint,
) -> Result<Option<Once>, Error> {
    let key = match exchange.header(IDEMPOTENCY_KEY)? {
        Some(text) => Some(parse_key(text).ok_or_else(no_key)?),
        None => in_body,
    };
    Ok(key.map(|key| Once { key, fingerprint: fingerprint() }))
}

fn no_key() -> Error {
    let detail = "`Idempotency-Key` is 1 to 255 visible ASCII characters, with or without quotes; a \
                  random UUID is a good one";
    Error::new(ErrorCode::ParameterInvalid, detail)
}

/// What is sent is not an event.
pub(crate) fn invalid(error: &impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::EventInvalid, error.to_string())
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

fn about_no_channel() -> Error {
    let detail = "a condition is about one channel; post to /v1/channels/{channel}/events";
    Error::new(ErrorCode::ParameterInvalid, detail)
}

/// By so much the longest pause grows with every try: all tries together take about a second.
const RETRY_PAUSE_US: u64 = 1_000;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

#[cfg(test)]
mod tests {
    use super::*;

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
