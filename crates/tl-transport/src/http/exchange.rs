use ::http::HeaderMap;
use bytes::Bytes;

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
    /// The request itself.
    pub request: Request,
    params: Vec<(String, String)>,
}

impl Exchange {
    pub(crate) fn new(
        engine: Engine,
        call: Call,
        params: Vec<(String, String)>,
        served: Served,
        request: Request,
    ) -> Self {
        Self { engine, call, served, request, params }
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
    /// `frame_too_large`, or `body_incomplete` if the client breaks off or is too slow.
    pub async fn body(&mut self, bytes_max: usize) -> Result<Bytes, Error> {
        read_body(std::mem::take(self.request.body_mut()), bytes_max).await
    }
}
