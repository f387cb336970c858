//! Server-Sent Events: what comes behind a cursor, then what comes live, in one response.
//!
//! `GET /v1/channels/{channel}/events` and `GET /v1/events?channel=…&channel=…` with
//! `Accept: text/event-stream` (HTML Living Standard §9.2). The format is that of
//! [`wire::sse`](tl_transport::wire::sse).
//!
//! A browser's own EventSource resumes by itself: it sends the last id it saw, in `Last-Event-ID`,
//! and every id is a cursor. Heartbeats move the id on while nothing happens, so that it does not
//! grow old. The response tells proxies not to buffer it.

mod stream;

use std::time::Duration;

use tl_transport::http::types::Method;
use tl_transport::http::types::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY};
use tl_transport::http::{Exchange, Response, detached};
use tl_transport::model::Error;
use tl_transport::model::limits::HEARTBEAT;
use tl_transport::protocol::subscription::Credit;
use tl_transport::wire::sse;
use tl_transport::{Host, Route, Transport, reading};

use stream::EventStream;

/// The room.
#[derive(Clone, Copy, Debug)]
pub struct Sse {
    /// Silence after which a heartbeat is sent.
    pub heartbeat: Duration,
    /// Over how long reconnects are spread when the server stops.
    pub reconnect_within: Duration,
}

impl Default for Sse {
    fn default() -> Self {
        Self { heartbeat: HEARTBEAT, reconnect_within: Duration::from_secs(10) }
    }
}

impl Transport for Sse {
    fn mount(&self, host: &mut Host) {
        let sse = *self;
        for path in ["/v1/channels/{channel}/events", "/v1/events"] {
            let open = move |exchange| async move { open(&exchange, sse) };
            host.route(Route::new(Method::GET, path, &[sse::CONTENT_TYPE], open));
        }
    }
}

fn open(exchange: &Exchange, sse: Sse) -> Result<Response, Error> {
    let mut query = exchange.query();
    let selection = reading::selection(exchange, &mut query)?;
    let after = reading::after(exchange, &mut query)?;
    let large = reading::large(&mut query)?;
    query.finish()?;
    let engine = &exchange.engine;
    let subscription = engine.subscribe(&exchange.call, selection, after, Credit::Unlimited)?;
    let (deadline, leaving) = (exchange.call.deadline, exchange.leaving());
    let stream = EventStream::new(engine, subscription, large, sse, deadline, leaving);
    let mut response = detached::stream(stream);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(sse::CONTENT_TYPE)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (VARY, HeaderValue::from_static("accept")),
    ];
    response.headers_mut().extend(headers);
    // Asks nginx, and others that follow it, to pass every event on at once.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

#[cfg(test)]
mod tests;
