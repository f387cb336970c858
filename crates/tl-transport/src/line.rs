//! A connection's bytes, in and out, shared by the connection's own task and the lanes that write for it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use tl_engine::{Sent, Sink};
use tl_wire::outbox::Outbox;

/// A byte stream and what waits for it. While nothing waits it holds no buffer.
#[derive(Debug)]
pub struct Line<S> {
    inner: Mutex<Inner<S>>,
}

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    out: Outbox,
    /// The stream itself may hold some bytes back.
    is_unflushed: bool,
    /// When a lane wrote last.
    served_at: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// A line on a stream.
    pub fn new(stream: S) -> Arc<Self> {
        let (out, is_unflushed, served_at) = (Outbox::new(), false, None);
        Arc::new(Self { inner: Mutex::new(Inner { stream, out, is_unflushed, served_at }) })
    }

    /// Reads what has arrived.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().stream).poll_read(cx, buffer)
    }

    /// Reads what has arrived to the end of a buffer, as much as there is room for; ready with how much
    /// that was.
    pub fn poll_read_buf(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        poll_read_buf(Pin::new(&mut self.inner().stream), cx, buffer)
    }

    /// Throws away what has arrived; ready with how much that was.
    pub fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // On the stack only while it is polled.
        let mut stack = [MaybeUninit::uninit(); DISCARD_BYTES];
        let mut buffer = ReadBuf::uninit(&mut stack);
        ready!(self.poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Queues whatever is put into the outbox.
    pub fn put(&self, put: impl FnOnce(&mut Outbox)) {
        put(&mut self.inner().out);
    }

    /// Bytes that have not left.
    pub fn unsent(&self) -> usize {
        self.inner().out.remaining()
    }

    /// Sends what is queued, as much at once as the system takes.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    /// Says that no more comes.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().stream).poll_shutdown(cx)
    }

    /// When a lane wrote last.
    pub fn served_at(&self) -> Option<Instant> {
        self.inner().served_at
    }

    fn inner(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Sink for Line<S> {
    /// Refuses while something waits.
    fn send(&self, bytes: &Bytes, now: Instant) -> Sent {
        let mut inner = self.inner();
        if inner.is_unflushed || inner.out.has_remaining() {
            return Sent::Refused;
        }
        inner.served_at = Some(now);
        // Whatever does not leave at once is the task's to flush, which then waits by itself.
        let mut cx = Context::from_waker(Waker::noop());
        let written = match Pin::new(&mut inner.stream).poll_write(&mut cx, bytes) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        if written < bytes.len() {
            inner.out.put_shared(&bytes.slice(written..));
        }
        match inner.poll_flush(&mut cx) {
            Poll::Ready(Ok(())) => Sent::All,
            Poll::Ready(Err(_)) | Poll::Pending => Sent::Waits,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inner<S> {
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_unflushed = true;
        while self.out.has_remaining() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.out.chunks_vectored(&mut slices);
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        self.out.shrink();
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }
}

/// Nobody needs to say much that is thrown away.
const DISCARD_BYTES: usize = 512;
/// Pieces in one vectored write; the system takes up to 1,024.
const SLICES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, DuplexStream};

    use super::*;

    async fn read(peer: &mut DuplexStream, bytes: usize) -> String {
        let mut read = vec![0; bytes];
        peer.read_exact(&mut read).await.expect("reads");
        String::from_utf8(read).expect("text")
    }

    #[tokio::test]
    async fn what_a_lane_sends_leaves_at_once_and_what_does_not_fit_waits_for_the_task() {
        let (mut peer, stream) = tokio::io::duplex(4);
        let (line, now) = (Line::new(stream), Instant::now());
        assert_eq!(line.send(&Bytes::from_static(b"ab"), now), Sent::All);
        assert_eq!(line.send(&Bytes::from_static(b"cdef"), now), Sent::Waits);
        assert_eq!(line.unsent(), 2);
        assert_eq!(line.send(&Bytes::from_static(b"gh"), now), Sent::Refused);
        assert_eq!(read(&mut peer, 4).await, "abcd");
        line.put(|out| out.put(b"gh"));
        poll_fn(|cx| line.poll_flush(cx)).await.expect("flushes");
        assert_eq!(read(&mut peer, 4).await, "efgh");
        assert_eq!(line.send(&Bytes::from_static(b"i"), now), Sent::All);
        assert_eq!(line.served_at(), Some(now));
    }

    #[tokio::test]
    async fn a_broken_line_is_left_to_its_task() {
        let (peer, stream) = tokio::io::duplex(4);
        drop(peer);
        let line = Line::new(stream);
        assert_eq!(line.send(&Bytes::from_static(b"a"), Instant::now()), Sent::Waits);
        poll_fn(|cx| line.poll_flush(cx)).await.expect_err("it is broken");
    }
}
