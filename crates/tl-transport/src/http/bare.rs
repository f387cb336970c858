//! A stream on a bare connection of HTTP/1.1 (RFC 9112).

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use tl_engine::Sink;
use tl_wire::outbox::Outbox;

use super::detached::Streaming;
use crate::line::Line;

/// How a body says where it ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// In chunks, the last of which is empty.
    Chunked,
    /// With the connection: all that HTTP/1.0 knows.
    Connection,
}

/// Writes a response's head, and then its body until that ends or the client is gone.
///
/// # Errors
///
/// The connection broke.
pub fn serve_stream<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    status: StatusCode,
    headers: &HeaderMap,
    framing: Framing,
    streaming: Box<dyn Streaming>,
) -> impl Future<Output = io::Result<()>> + Send + use<S> {
    let line = Line::new(stream);
    line.put(|out| out.put(&head(status, headers, framing)));
    let sink = line.clone();
    let mut bare = Bare { line, framing, streaming, sink, has_ended: false };
    poll_fn(move |cx| bare.poll(cx))
}

struct Bare<S> {
    line: Arc<Line<S>>,
    framing: Framing,
    streaming: Box<dyn Streaming>,
    /// The line, as lanes know it.
    sink: Arc<dyn Sink>,
    has_ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Bare<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(at) = self.line.served_at() {
            self.streaming.handle_sent(at);
        }
        loop {
            if self.poll_gone(cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.line.poll_flush(cx))?;
            if self.has_ended {
                return self.line.poll_shutdown(cx);
            }
            match self.streaming.poll_data(cx) {
                Poll::Ready(Some(data)) => self.line.put(|out| self.framing.put(out, &data)),
                Poll::Ready(None) => {
                    self.line.put(|out| out.put(self.framing.end()));
                    self.has_ended = true;
                }
                Poll::Pending => {
                    self.streaming.follow(cx, &self.sink, self.framing);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ready once the client has gone. Whatever else it says is not for this response.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while ready!(self.line.poll_discard(cx))? > 0 {}
        Poll::Ready(Ok(()))
    }
}

impl Framing {
    /// Puts a piece of a body.
    pub fn put(self, out: &mut Outbox, data: &Bytes) {
        match self {
            Self::Chunked => {
                out.put(format!("{:x}\r\n", data.len()).as_bytes());
                out.put_shared(data);
                out.put(b"\r\n");
            }
            Self::Connection => out.put_shared(data),
        }
    }

    fn end(self) -> &'static [u8] {
        match self {
            Self::Chunked => b"0\r\n\r\n",
            Self::Connection => b"",
        }
    }

    /// The connection ends with the body in any case, and the client is to know it: what it asks behind
    /// a stream is not answered (RFC 9112 §9.6).
    fn headers(self) -> &'static str {
        match self {
            Self::Chunked => "transfer-encoding: chunked\r\nconnection: close",
            Self::Connection => "connection: close",
        }
    }
}

fn head(status: StatusCode, headers: &HeaderMap, framing: Framing) -> BytesMut {
    let mut head = BytesMut::new();
    let reason = status.canonical_reason().unwrap_or_default();
    // Writing to memory does not fail.
    let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_str());
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let _ = write!(head, "date: {date}\r\n{}\r\n\r\n", framing.headers());
    head
}
