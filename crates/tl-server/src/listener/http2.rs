//! HTTP/2: served by hyper until the server stops, or the connection has reached its age.
//!
//! Clients keep one connection for all they do, for as long as it holds. Whoever balances load by
//! connections can only do so if they end at times: each gets an age, at which the client is told to
//! connect anew (GOAWAY, RFC 9113 §6.8), and all that is long-lived on it to go on elsewhere.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use tl_engine::Engine;
use tl_model::limits::{
    HEADERS_BYTES_MAX, HTTP2_RECEIVE_BYTES_MAX, HTTP2_RESETS_FAULTY_MAX, HTTP2_RESETS_PENDING_MAX,
    HTTP2_STREAM_RECEIVE_BYTES_MAX, SEND_BYTES_MAX,
};
use tl_transport::http::axum::body::Body;
use tl_transport::http::{Response, detached};
use tl_transport::session::spread;
use tl_transport::{HttpService, Leaving, Replay};

use super::{Connection, ConnectionError, Io, answer, malformed};
use crate::config::ConnectionsConfig;

/// What holds for all connections of HTTP/2.
pub(super) struct Options {
    builder: Builder<TokioExecutor>,
    engine: Engine,
    age_max: Option<Duration>,
    age_grace: Duration,
}

impl Options {
    pub(super) fn new(config: &ConnectionsConfig, engine: &Engine) -> Self {
        let heartbeat = config.heartbeat.0;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .keep_alive_interval(heartbeat)
            .keep_alive_timeout(heartbeat)
            .max_concurrent_streams(config.streams_max)
            .max_header_list_size(HEADERS_BYTES_MAX as u32)
            .max_send_buf_size(SEND_BYTES_MAX)
            .initial_connection_window_size(HTTP2_RECEIVE_BYTES_MAX)
            .initial_stream_window_size(HTTP2_STREAM_RECEIVE_BYTES_MAX)
            .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING_MAX)
            .max_local_error_reset_streams(HTTP2_RESETS_FAULTY_MAX);
        let age_max = config.age_max.map(|age| age.0);
        Self { builder, engine: engine.clone(), age_max, age_grace: config.age_grace.0 }
    }

    /// Waits until a connection that begins now has reached its age.
    async fn aged(&self) {
        match self.age_max {
            Some(age_max) => {
                let age = age(age_max, self.engine.environment().random());
                tokio::time::sleep(age).await;
            }
            None => std::future::pending().await,
        }
    }
}

impl Connection {
    /// Serves requests until the connection ends.
    pub(super) async fn serve_http2<S: Io>(self, stream: Replay<S>) -> Result<(), ConnectionError> {
        let options = &self.options.http2;
        let leaving = Arc::new(options.engine.draining().child_token());
        let service = Http2Service { service: self.service, leaving: Leaving(leaving.clone()) };
        let connection = options.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            // What is answered from now on says that the connection ends.
            biased;
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                return Ok(connection.await?);
            }
            ended = connection.as_mut() => return Ok(ended?),
            () = options.aged() => {}
        }
        connection.as_mut().graceful_shutdown();
        leaving.cancel();
        match tokio::time::timeout(options.age_grace, connection).await {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(ConnectionError::Aged),
        }
    }
}

/// When a connection is old: by up to a tenth earlier or later, so that those which began together do
/// not end together (gRFC A9).
fn age(age_max: Duration, chance: u64) -> Duration {
    let tenth = age_max / 10;
    age_max - tenth + spread(tenth * 2, chance)
}

/// Answers the requests of one connection.
struct Http2Service {
    service: HttpService,
    leaving: Leaving,
}

/// The answer to one request.
struct Answering(BoxFuture<'static, Response>);

impl hyper::service::Service<hyper::Request<Incoming>> for Http2Service {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Answering {
        request.extensions_mut().insert(self.leaving.clone());
        let request = request.map(Body::new);
        if malformed::refusal(&request).is_none()
            && let Some(delegate) = self.service.delegate(&request)
        {
            return Answering(delegate(request));
        }
        let service = self.service.clone();
        Answering(Box::pin(async move {
            let (response, detached) = answer(service, request).await;
            detached::attach(response, detached).await
        }))
    }
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests;
