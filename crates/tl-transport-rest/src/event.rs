//! `GET /v1/events/{cursor}`: one event by its place.

use tl_transport::http::types::StatusCode;
use tl_transport::http::types::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use tl_transport::http::{Exchange, Response, respond};
use tl_transport::model::{DataForm, Error, ErrorCode, Position, content_type};
use tl_transport::wire::page::JSON;
use tl_transport::wire::{http_binding, json};

pub(crate) async fn read(exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let place: Position = exchange.param("cursor").parse().map_err(|_| not_found())?;
    let event = exchange.engine.event_at(&exchange.call, place).await?.ok_or_else(not_found)?;
    let wants_structured = exchange
        .headers()
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(STRUCTURED)));
    let mut response = match wants_structured {
        true => respond(StatusCode::OK, STRUCTURED, json::delivered(&event, place, None)),
        false => {
            let mut response = Response::new(event.event.data().unwrap_or_default().into());
            http_binding::write(response.headers_mut(), &event, place);
            guard(response.headers_mut(), event.event.data_form());
            response
        }
    };
    let tag =
        format!("\"{}{}\"", place.cursor(), if wants_structured { "-structured" } else { "" });
    let headers = [
        (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))),
        (VARY, HeaderValue::from_static("accept")),
    ];
    response.headers_mut().extend(headers);
    Ok(response)
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

const STRUCTURED: &str = "application/cloudevents+json";
