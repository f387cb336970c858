//! Rooms on an engine in memory, without a network: what their tests have in common.

use std::sync::Arc;

use ::http::header::{CONTENT_ENCODING, HeaderValue};
use ::http::{HeaderMap, Method, StatusCode, Version};
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;

use tl_engine::{Engine, Options, Publish, SystemEnvironment};
use tl_model::{Call, Channel, Epoch, Error, Event, NewEvent, Position, Rules};
use tl_store::{LogStore, MemoryStore};

use crate::http::unpack::unpack;
use crate::http::{Coding, Response, Room, pack};
use crate::{Host, HttpService, Leaving, Origins, Transport};

/// An engine with rooms.
pub struct Kit {
    /// The engine.
    pub engine: Engine,
    /// The store below it.
    pub store: Arc<dyn LogStore>,
    /// For requests on a connection that can end before the server does.
    pub leaving: Option<Leaving>,
    service: HttpService,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// An answer whose body is read piece by piece.
pub struct Streamed {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Body,
}

impl Kit {
    /// These rooms, on an empty log.
    pub fn new(transports: &[&dyn Transport]) -> Self {
        Self::with_rules(transports, Rules::default())
    }

    /// These rooms, on an empty log under these rules.
    pub fn with_rules(transports: &[&dyn Transport], rules: Rules) -> Self {
        let store: Arc<dyn LogStore> = Arc::new(MemoryStore::new(Epoch::from_random(1 << 40)));
        let environment = Arc::new(SystemEnvironment);
        let engine =
            Engine::start(store.clone(), environment, Options { rules, ..Options::default() });
        let mut host = Host::new(engine.clone(), Origins::default());
        for transport in transports {
            transport.mount(&mut host);
        }
        Self { engine, store, leaving: None, service: host.into_service() }
    }

    /// Sends a request and reads the whole answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let (parts, body) = self.send(method, path, headers, body.into()).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Gets a page.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], Body::empty()).await
    }

    /// Opens a stream.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Streamed {
        let response = self.send(Method::GET, path, headers, Body::empty()).await;
        let (parts, body) = response.into_parts();
        Streamed { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request and reads the answer piece by piece.
    pub async fn stream(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Streamed {
        let response = self.send(Method::POST, path, headers, body.into()).await;
        let (parts, body) = response.into_parts();
        Streamed { status: parts.status, headers: parts.headers, body }
    }

    /// Publishes an event with this id and text, and returns its place.
    pub async fn publish(&self, channel: &str, id: &str, text: &str) -> Position {
        let event = Event::builder(id, "/test", "made").data_content_type("text/plain");
        let event = event.data(text.as_bytes()).build().expect("a legal event");
        let channel = Channel::parse(channel).expect("a channel");
        let events = vec![Ok(NewEvent { channel, event })];
        let publish = Publish { events, ..Publish::default() };
        let receipts = self.engine.publish(&Call::default(), publish).await.expect("publishes");
        receipts[0].as_ref().expect("a receipt").at.expect("a place")
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response {
        let mut request = ::http::Request::builder().method(method).uri(path);
        if headers.iter().any(|(_, value)| value.starts_with("application/grpc+json")) {
            request = request.version(Version::HTTP_2);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(leaving) = &self.leaving {
            request = request.extension(leaving.clone());
        }
        self.service.clone().answer(request.body(body).expect("a request")).await
    }
}

/// Unpacks a body as one of a request with this `Content-Encoding` is.
///
/// # Errors
///
/// Those of [`Exchange::body`](crate::http::Exchange::body).
pub fn unpacked(coding: &str, packed: &[u8], bytes_max: usize) -> Result<Bytes, Error> {
    let coding = HeaderValue::try_from(coding).expect("the name of a coding");
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, coding)]);
    match Coding::of_body(&headers)? {
        Some(coding) => Ok(unpack(coding, packed, bytes_max, &Room::default())?.0),
        None => Ok(Bytes::copy_from_slice(packed)),
    }
}

/// Packs a body as one of an answer is.
pub fn packed(coding: &str, plain: &[u8]) -> Vec<u8> {
    let coding = Coding::ALL.into_iter().find(|it| it.name() == coding).expect("a coding");
    pack::packed(coding, plain).expect("packs")
}

impl Answer {
    /// A header as text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

impl Streamed {
    /// The next piece of the body as text; `None` at its end.
    pub async fn next(&mut self) -> Option<String> {
        let data = self.next_frame().await?.into_data().expect("data");
        Some(String::from_utf8(data.to_vec()).expect("text"))
    }

    /// The next piece of the body, or its trailers; `None` at its end.
    pub async fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        Some(self.body.frame().await?.expect("no error"))
    }
}
