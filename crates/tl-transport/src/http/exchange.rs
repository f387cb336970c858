use std::sync::{Mutex, PoisonError};

use ::http::HeaderMap;
use ::http::header::CONTENT_TYPE;
use axum::body::Body;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use tl_engine::Engine;
use tl_model::limits::QUERY_BYTES_MAX;
use tl_model::{Call, Channel, Error, ErrorCode};

use super::body::{Room, Taken, read_body};
use super::{Coding, Query, Request, Served};
use crate::Leaving;

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
    room: Room,
    taken: Taken,
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
        room: Room,
        request: Request,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let request = ::http::Request::from_parts(parts, ());
        let (taken, body) = (Taken::default(), Mutex::new(body));
        Self { engine, call, served, request, params, tasks, room, taken, body }
    }

    /// Runs something that outlives the request. The server waits for it when it stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Where to start more that outlives the request.
    pub fn tasks(&self) -> TaskTracker {
        self.tasks.clone()
    }

    /// Is cancelled once clients are to go on elsewhere, because the server is about to stop, or the
    /// connection to end. Whatever answers for long tells its client then, and ends.
    pub fn leaving(&self) -> CancellationToken {
        let of_connection = self.request.extensions().get::<Leaving>();
        of_connection.map_or_else(|| self.engine.draining(), Leaving::token)
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

    /// A header.
    ///
    /// # Errors
    ///
    /// `parameter_invalid` if it is not text.
    pub fn header(&self, name: &'static str) -> Result<Option<&str>, Error> {
        let text = self.headers().get(name).map(|value| value.to_str());
        text.transpose().map_err(|_| {
            Error::new(ErrorCode::ParameterInvalid, format!("the header `{name}` is not text"))
        })
    }

    /// The query parameters.
    pub fn query(&self) -> Query {
        Query::parse(self.request.uri().query().unwrap_or_default())
    }

    /// The parameters in the body of a `QUERY` (RFC 10008), in place of those in the address.
    ///
    /// # Errors
    ///
    /// Those of [`body`](Self::body), `media_type_unsupported`, `parameter_invalid`.
    pub async fn query_in_body(&mut self) -> Result<Query, Error> {
        self.query().finish()?;
        let body = self.body(QUERY_BYTES_MAX).await?;
        let content_type = self.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let query = Query::read(content_type, &body)?;
        // Little of it is kept, and its answer may wait for long.
        self.taken = Taken::default();
        Ok(query)
    }

    /// Reads the whole body, unpacked. It counts as in memory until this exchange is dropped.
    ///
    /// # Errors
    ///
    /// `body_too_large`, also if it is only once it is unpacked; `body_incomplete` if the client
    /// breaks off or is too slow; `media_type_unsupported` if it is packed in a way nobody here
    /// knows, `parameter_invalid` if it is not packed as it says; `overloaded` if there are too many
    /// large ones.
    pub async fn body(&mut self, bytes_max: usize) -> Result<Bytes, Error> {
        let coding = Coding::of_body(self.request.headers())?;
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (bytes, taken) = read_body(std::mem::take(body), coding, bytes_max, &self.room).await?;
        self.taken = taken;
        Ok(bytes)
    }
}
