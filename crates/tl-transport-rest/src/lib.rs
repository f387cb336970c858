//! Plain HTTP: publish, read by page, poll.
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST /v1/channels/{channel}/events` | publishes one event or several to a channel |
//! | `POST /v1/events` | publishes events that name their channels themselves |
//! | `GET /v1/channels/{channel}/events` | a page of a channel; with `wait`, a long poll |
//! | `GET /v1/events?channel=…` | a page of several channels and patterns |
//! | `QUERY /v1/events` | the same, with the parameters as body |
//! | `GET /v1/events/{cursor}` | one event, data as body, attributes as headers |
//! | `GET /v1/channels/{channel}/state` | the channel's latest event as a document |
//! | `PUT`, `PATCH`, `DELETE` the same | replaces, changes, deletes it |
//! | `GET /v1/state?channel=…` | the documents of several channels, by page |
//! | `GET /v1/schemas` | the schemas of event types |
//! | `GET`, `PUT /v1/schemas/{type}` | the latest version of one; adds a version |
//! | `GET /v1/schemas/{type}/versions/{version}` | any version |
//! | `POST /v1/schemas/{type}/check` | whether a version would be taken |
//!
//! Standards: HTTP semantics (RFC 9110), `QUERY` (RFC 10008), `Prefer: wait`
//! (RFC 7240), `Link` (RFC 8288), problem details (RFC 9457), CloudEvents HTTP binding 1.0.2 in all three modes.
//!
//! A page is validated by its `ETag`, which for a page that reached the end of the log is its next
//! cursor; a poll with `If-None-Match` that finds nothing new is answered 304 without reading the log.
//! What lies in the past may be cached for ever, as docs/rest.md argues.

mod caching;
mod event;
mod form;
mod page;
mod polling;
mod publish;
mod schemas;
mod state;
mod write;

use std::time::Duration;

use tl_transport::http::types::Method;
use tl_transport::model::limits::WAIT_MAX;
use tl_transport::wire::page::{CLOUDEVENTS_BATCH, JSON, NDJSON, PROTOBUF};
use tl_transport::wire::query::{self, FORM};
use tl_transport::{Host, Route, Transport};

/// The room.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// The longest wait of a long poll; longer ones are cut to it.
    pub wait_max: Duration,
}

impl Default for Rest {
    fn default() -> Self {
        Self { wait_max: WAIT_MAX }
    }
}

impl Transport for Rest {
    fn mount(&self, host: &mut Host) {
        let rest = *self;
        for path in ["/v1/channels/{channel}/events", "/v1/events"] {
            let publish = Route::new(Method::POST, path, &[], publish::publish);
            host.route(publish.taking(form::TAKES));
            let read = move |exchange| page::read(exchange, rest);
            host.route(Route::new(Method::GET, path, &[JSON, NDJSON, CLOUDEVENTS_BATCH], read));
            host.route(Route::new(Method::GET, path, &[PROTOBUF], read));
        }
        for forms in [&[JSON, NDJSON, CLOUDEVENTS_BATCH][..], &[PROTOBUF]] {
            let method = Method::from_bytes(b"QUERY").expect("legal letters");
            let ask = move |exchange| page::query(exchange, rest);
            host.route(Route::new(method, "/v1/events", forms, ask).taking(&[FORM, query::JSON]));
        }
        host.route(Route::new(Method::GET, "/v1/events/{cursor}", &[], event::read));
        let forms = &[JSON, NDJSON, CLOUDEVENTS_BATCH];
        host.route(Route::new(Method::GET, "/v1/state", forms, page::documents));
        let path = "/v1/channels/{channel}/state";
        host.route(Route::new(Method::GET, path, &[], state::read));
        host.route(Route::new(Method::PUT, path, &[], state::replace));
        host.route(Route::new(Method::PATCH, path, &[], state::patch));
        host.route(Route::new(Method::DELETE, path, &[], state::delete));
        schemas::mount(host);
    }
}

#[cfg(test)]
mod tests;
