//! `GET /v1/events/{cursor}`: one event by its place.

use tl_transport::http::types::StatusCode;
use tl_transport::http::types::header::{ACCEPT, HeaderValue};
use tl_transport::http::{Exchange, Response, respond};
use tl_transport::model::{Error, ErrorCode, Position};
use tl_transport::wire::{http_binding, json};

use crate::caching::{self, Audience, Freshness};

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
            response
        }
    };
    let tag =
        format!("\"{}{}\"", place.cursor(), if wants_structured { "-structured" } else { "" });
    let tag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
    let audience = Audience::of(exchange.headers());
    // What stands in one place of the log stands there for ever.
    response.headers_mut().extend(caching::headers(Freshness::Immutable, audience, tag));
    Ok(response)
}

fn not_found() -> Error {
    Error::new(ErrorCode::NotFound, "no event is kept at this cursor")
}

const STRUCTURED: &str = "application/cloudevents+json";
