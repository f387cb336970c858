//! HTTP/1.1: served by hyper, except for answers that take long.
//!
//! When a room marks its answer as [detached], hyper is taken apart and only the bare connection is kept,
//! in a task of its own. A stream stays there until it ends. An answer that comes later goes back to hyper,
//! as the answer to a request that is made up for it, and whatever the client asks next follows.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::CancellationToken;

use tl_model::limits::LINGER_TIMEOUT;
use tl_transport::http::detached::{self, Detached, Streaming};
use tl_transport::http::types::header::{CONNECTION, HeaderValue};
use tl_transport::http::types::{Method, Version};
use tl_transport::http::{Framing, Response, axum, serve_stream};
use tl_transport::{HttpService, Replay};

use super::{Connection, ConnectionError, Io, answer};

impl Connection {
    /// Serves requests until the connection ends, or one leaves hyper.
    pub(super) async fn serve_http1<S: Io>(
        self,
        stream: Replay<S>,
        first: Option<Response>,
    ) -> Result<(), ConnectionError> {
        let leaving = Leaving::default();
        let (service, first) = (self.service.clone(), Mutex::new(first));
        let service = Http1Service { service, first, leaving: leaving.clone() };
        let connection = self.options.http1.serve_connection(TokioIo::new(stream), service);
        let mut connection = connection.with_upgrades();
        let mut stopping = pin!(self.stopping.clone().cancelled_owned());
        let mut is_stopping = false;
        let left = poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(ended.map(|()| None));
                }
                if let Poll::Ready(left) = leaving.poll_left() {
                    return Poll::Ready(Ok(Some(left)));
                }
                if is_stopping || stopping.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // What is answered from now on says that the connection ends.
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        });
        let left = left.await?;
        let Some(parts) = connection.into_parts() else { return Ok(()) };
        let stream = parts.io.into_inner();
        match left {
            // hyper reads a request only once the answer before it has left.
            Some(left) => self.go_on(stream.unread(parts.read_buf), left),
            None if self.stopping.is_cancelled() => {}
            // Boxed, so that a connection is no larger for what it does last.
            None => Box::pin(linger(stream, self.stopping.clone())).await,
        }
        Ok(())
    }

    /// Keeps the connection in a task of its own, which is as small as it can be.
    fn go_on<S: Io>(self, stream: Replay<S>, left: Left) {
        let Left { response, request, detached } = left;
        let connections = self.connections.clone();
        match detached {
            Detached::Later(later) => {
                drop(connections.spawn(self.answer_later(stream, request, later)));
            }
            Detached::Stream(streaming) => {
                let (address, permit) = (self.address, self.permit);
                let streaming = stream_out(stream, &response, &request, streaming);
                connections.spawn(async move {
                    note_end(address, streaming.await.map_err(ConnectionError::Io));
                    drop(permit);
                });
            }
        }
    }

    fn answer_later<S: Io>(
        self,
        stream: Replay<S>,
        request: Request,
        later: BoxFuture<'static, Response>,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Ok(Some((stream, mut response))) = wait(stream, later).await else { return };
            if self.stopping.is_cancelled() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let stream = stream.unread(request.made_up());
            let (connections, address) = (self.connections.clone(), self.address);
            let serving = self.serve_http1(stream, Some(response));
            connections.spawn(async move { note_end(address, serving.await) });
        })
    }
}

/// Reads what the client still sends, for nothing, when its answer has not waited for that. A socket that
/// is closed at once cuts off whoever writes to it, and with it the answer (RFC 9112 §9.6).
async fn linger<S: Io>(mut stream: Replay<S>, stopping: CancellationToken) {
    let mut said = BytesMut::new();
    let gone = poll_fn(|cx| {
        loop {
            said.clear();
            match poll_read_some(&mut stream, cx, &mut said) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    tokio::select! {
        () = gone => {}
        // A client that has not gone by then does not care.
        () = tokio::time::sleep(LINGER_TIMEOUT) => {}
        () = stopping.cancelled() => {}
    }
}

fn note_end(address: SocketAddr, ended: Result<(), ConnectionError>) {
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a connection has ended");
    }
}

/// Waits for an answer; `None` if the client goes away first. What it says meanwhile is kept.
async fn wait<S: Io>(
    mut stream: Replay<S>,
    mut later: BoxFuture<'static, Response>,
) -> io::Result<Option<(Replay<S>, Response)>> {
    let mut said = BytesMut::new();
    let response = poll_fn(|cx| {
        if let Poll::Ready(response) = later.as_mut().poll(cx) {
            return Poll::Ready(Ok(Some(response)));
        }
        while said.len() < SAID_BYTES_MAX {
            match poll_read_some(&mut stream, cx, &mut said) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    });
    Ok(response.await?.map(|response| (stream.unread(said.freeze()), response)))
}

fn poll_read_some<S: Io>(
    stream: &mut Replay<S>,
    cx: &mut Context<'_>,
    read: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut stack = [MaybeUninit::uninit(); SAID_BYTES_MAX];
    let mut buffer = ReadBuf::uninit(&mut stack);
    let polled = Pin::new(stream).poll_read(cx, &mut buffer);
    read.extend_from_slice(buffer.filled());
    polled.map_ok(|()| buffer.filled().len())
}

fn stream_out<S: Io>(
    stream: Replay<S>,
    response: &Response,
    request: &Request,
    streaming: Box<dyn Streaming>,
) -> impl Future<Output = io::Result<()>> + Send + use<S> {
    let framing = match request.version {
        Version::HTTP_11 => Framing::Chunked,
        _ => Framing::Connection,
    };
    let stream = stream.into_stream();
    serve_stream(stream, response.status(), response.headers(), framing, streaming)
}

/// An answer that leaves hyper.
struct Left {
    response: Response,
    request: Request,
    detached: Detached,
}

/// What has to be remembered of a request.
struct Request {
    version: Version,
    connection: Vec<HeaderValue>,
}

impl Request {
    fn of<B>(request: &hyper::Request<B>) -> Self {
        // Copied: what hyper has read is not held for a header.
        let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
        let connection = request.headers().get_all(CONNECTION).iter().filter_map(copy).collect();
        Self { version: request.version(), connection }
    }

    /// The head of a request that is answered in the same way.
    fn made_up(&self) -> Bytes {
        let mut head = format!("GET / {:?}\r\n", self.version).into_bytes();
        for connection in &self.connection {
            head.extend_from_slice(b"connection: ");
            head.extend_from_slice(connection.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head.into()
    }
}

/// Where an answer is put that leaves.
#[derive(Clone, Default)]
struct Leaving(Arc<Mutex<Option<Left>>>);

impl Leaving {
    fn put(&self, left: Left) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
    }

    /// Asked after every poll of the connection, within which answers are put here.
    fn poll_left(&self) -> Poll<Left> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        left.map_or(Poll::Pending, Poll::Ready)
    }
}

/// Answers the requests of one connection.
struct Http1Service {
    service: HttpService,
    /// An answer that is ready: it belongs to the first request.
    first: Mutex<Option<Response>>,
    leaving: Leaving,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Http1Service {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Response, Self::Error>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(response) = first {
            return Box::pin(std::future::ready(Ok(response)));
        }
        // Whatever is left of a body would lie between this request and the next one.
        let may_leave = request.method() == Method::GET && request.body().is_end_stream();
        let (service, leaving) = (self.service.clone(), self.leaving.clone());
        Box::pin(async move {
            let request_like = may_leave.then(|| Request::of(&request));
            let (response, detached) = answer(service, request.map(axum::body::Body::new)).await;
            match (request_like, detached) {
                (Some(request), Some(detached)) => {
                    leaving.put(Left { response, request, detached });
                    std::future::pending().await
                }
                (_, detached) => Ok(detached::attach(response, detached).await),
            }
        })
    }
}

/// Bytes of the next request that are read while the answer to this one is awaited.
const SAID_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_request_is_answered_like_the_one_before() {
        let made_up = |version, connection: &[&str]| {
            let mut request = hyper::Request::builder().version(version);
            for value in connection {
                request = request.header(CONNECTION, *value);
            }
            let request = Request::of(&request.body(()).expect("legal"));
            String::from_utf8(request.made_up().to_vec()).expect("text")
        };
        assert_eq!(made_up(Version::HTTP_11, &[]), "GET / HTTP/1.1\r\n\r\n");
        let kept = made_up(Version::HTTP_10, &["keep-alive"]);
        assert_eq!(kept, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        let ended = made_up(Version::HTTP_11, &["te", "close"]);
        assert_eq!(ended, "GET / HTTP/1.1\r\nconnection: te\r\nconnection: close\r\n\r\n");
    }
}
