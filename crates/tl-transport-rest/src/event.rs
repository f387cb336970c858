//! One event as a resource: `GET /v1/events/{cursor}`, and what a channel's state has in common with
//! it.

use tl_transport::http::types::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use tl_transport::http::types::{HeaderMap, StatusCode};
use tl_transport::http::{Exchange, Response, respond};
use tl_transport::model::{DataForm, Error, ErrorCode, LoggedEvent, Position, content_type};
use tl_transport::wire::page::JSON;
use tl_transport::wire::{http_binding, json};

use crate::caching::{self, Audience, Freshness};

/// One event by its place. What stands in one place of the log stands there for ever.
pub(crate) async fn read(exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let place: Position = exchange.param("cursor").parse().map_err(|_| not_found())?;
    let event = exchange.engine.event_at(&exchange.call, place).await?.ok_or_else(not_found)?;
    Ok(represent(exchange.headers(), &event, place, Freshness::Immutable))
}

/// The data of an event as body and its attributes as headers, or the whole event if the client asks
/// for that; nothing if it has it already.
pub(crate) fn represent(
    headers: &HeaderMap,
    event: &LoggedEvent,
    place: Position,
    freshness: Freshness,
) -> Response {
    let wants_structured = headers
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(CLOUDEVENT)));
    let tag = tag(place, if wants_structured { STRUCTURED } else { "" });
    let mut response = match (is_known(headers, &tag), wants_structured) {
        (true, _) => not_modified(),
        (false, true) => respond(StatusCode::OK, CLOUDEVENT, json::delivered(event, place, None)),
        (false, false) => {
            let mut response = Response::new(event.event.data().unwrap_or_default().into());
            http_binding::write(response.headers_mut(), event, place);
            guard(response.headers_mut(), event.event.data_form());
            response
        }
    };
    response.headers_mut().extend(caching::headers(freshness, Audience::of(headers), tag));
    response
}

/// The entity tag of an event in one of its representations.
pub(crate) fn tag(place: Position, suffix: &str) -> HeaderValue {
    let text = format!("\"{}{suffix}\"", place.cursor());
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The place that a strong entity tag names. Others match nothing (RFC 9110 §8.8.3.2).
pub(crate) fn place(tag: &str) -> Option<Position> {
    let tag = tag.strip_prefix('"')?.strip_suffix('"')?;
    tag.strip_suffix(STRUCTURED).unwrap_or(tag).parse().ok()
}

/// Whether `If-None-Match` has a tag, compared weakly (RFC 9110 §13.1.2).
pub(crate) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = values.flat_map(|value| value.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.trim_start_matches("W/").as_bytes() == tag.as_bytes())
}

fn not_modified() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// Anybody may have published this. Without a legal media type a browser would guess one; and what it
/// takes for a page must not run as one of this server's.
fn guard(headers: &mut HeaderMap, form: DataForm) {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !named.is_some_and(is_media_type) {
        let implied = match form {
            DataForm::Json | DataForm::JsonSpaced => JSON,
            DataForm::Absent | DataForm::Binary | DataForm::Text => "application/octet-stream",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(implied));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
}

/// Whether a type and a subtype are there (RFC 9110 §8.3.1).
fn is_media_type(text: &str) -> bool {
    let is_token = |text: &str| {
        let is_legal =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(is_legal)
    };
    let parts = content_type::essence(text).split_once('/');
    parts.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

fn not_found() -> Error {
    Error::new(ErrorCode::NotFound, "no event is kept at this cursor")
}

/// One CloudEvent in structured mode.
pub(crate) const CLOUDEVENT: &str = "application/cloudevents+json";
/// At the end of the tag of a whole event, which is another representation than its data alone.
const STRUCTURED: &str = "-structured";
