use std::sync::{Mutex, PoisonError};

use ::http::HeaderMap;
use axum::body::Body;
use bytes::Bytes;
use tokio_util::task::TaskTracker;

use tl_engine::Engine;
use tl_model::{Call, Channel, Error, ErrorCode};

use super::{Query, Request, Served, read_body};

/// A request with all that its handler needs.
pub struct Exchange {
    /// The engine.
    pub engine: Engine,
    /// On whose behalf, and until when.
    pub call: Call,
    /// The media type to answer with.
    pub served: Served,
    /// The request, without its body.
    pub request: ::http::Request<()>,
    params: Vec<(String, String)>,
    tasks: TaskTracker,
    // Never contended: it only lets the rest be looked at from several places.
    body: Mutex<Body>,
}

impl Exchange {
    pub(crate) fn new(
        engine: Engine,
        call: Call,
        params: Vec<(String, String)>,
        served: Served,
        tasks: TaskTracker,
        request: Request,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let request = ::http::Request::from_parts(parts, ());
        Self { engine, call, served, request, params, tasks, body: Mutex::new(body) }
    }

    /// Runs something that outlives the request. The server waits for it when it stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// A varying segment of the path.
    pub fn param(&self, name: &str) -> &str {
        let param = self.params.iter().find(|(key, _)| key == name);
        param.map_or("", |(_, value)| value)
    }

    /// The channel that the path names.
    ///
    /// # Errors
    ///
    /// `channel_invalid`.
    pub fn channel(&self) -> Result<Channel, Error> {
        Channel::parse(self.param("channel"))
            .map_err(|error| Error::new(ErrorCode::ChannelInvalid, error.to_string()))
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// A header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The query parameters.
    pub fn query(&self) -> Query {
        Query::parse(self.request.uri().query().unwrap_or_default())
    }

    /// Reads the whole body.
    ///
    /// # Errors
    ///
    /// `body_too_large`, or `body_incomplete` if the client breaks off or is too slow.
    pub async fn body(&mut self, bytes_max: usize) -> Result<Bytes, Error> {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        read_body(std::mem::take(body), bytes_max).await
    }
}
