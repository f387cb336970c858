//! Answers that take long, and leave the machinery of HTTP meanwhile.
//!
//! A connection of HTTP/1.1 that waits for an event, or carries a stream of them, needs no parser, no
//! buffers and no state of requests. A room marks such an answer as [`later`] or as a [`stream`]; the
//! listener then keeps the bare connection for it. Where a connection carries other requests too, as
//! with HTTP/2, it is an answer like any other.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use ::http::header::CONTENT_LENGTH;
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::Frame;
use tokio::time::Instant;

use tl_engine::Sink;

use super::{Framing, Response};

/// What becomes of an answer.
pub enum Detached {
    /// It comes later.
    Later(BoxFuture<'static, Response>),
    /// Its body goes on and on.
    Stream(Box<dyn Streaming>),
}

/// A body that is written as long as somebody reads it.
pub trait Streaming: Send {
    /// More of it; `None` at its end.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;

    /// Leaves to a lane what comes live, written in the framing. The task is woken once there is
    /// something for it again.
    fn follow(&mut self, cx: &mut Context<'_>, sink: &Arc<dyn Sink>, framing: Framing);

    /// A lane has written for it.
    fn handle_sent(&mut self, at: Instant);
}

/// A response that comes later.
pub fn later(response: impl Future<Output = Response> + Send + 'static) -> Response {
    mark(Response::default(), Detached::Later(Box::pin(response)))
}

/// A response with a body that goes on and on.
pub fn stream(streaming: impl Streaming + 'static) -> Response {
    mark(Response::default(), Detached::Stream(Box::new(streaming)))
}

/// What is marked in a response, if anything is.
pub(crate) fn detach(response: &mut Response) -> Option<Detached> {
    let Mark(detached) = response.extensions_mut().remove()?;
    // That of the body which is not there yet.
    response.headers_mut().remove(CONTENT_LENGTH);
    detached.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn mark(mut response: Response, detached: Detached) -> Response {
    let detached = Arc::new(Mutex::new(Some(detached)));
    response.extensions_mut().insert(Mark(detached));
    response
}

/// The response as one like any other.
pub async fn attach(mut response: Response, detached: Option<Detached>) -> Response {
    match detached {
        None => response,
        Some(Detached::Later(later)) => later.await,
        Some(Detached::Stream(streaming)) => {
            *response.body_mut() = Body::new(StreamingBody(streaming));
            response
        }
    }
}

/// Extensions are shared, in principle.
#[derive(Clone)]
struct Mark(Arc<Mutex<Option<Detached>>>);

struct StreamingBody(Box<dyn Streaming>);

impl http_body::Body for StreamingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_data(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}
