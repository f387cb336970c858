use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A byte stream whose beginning has been read and is read again.
#[derive(Debug)]
pub struct Replay<S> {
    stream: S,
    beginning: Bytes,
}

impl<S> Replay<S> {
    /// These bytes, and then whatever the stream brings.
    pub fn new(stream: S, beginning: Bytes) -> Self {
        Self { stream, beginning }
    }

    /// These bytes are read again, before all others.
    pub fn unread(self, bytes: Bytes) -> Self {
        let beginning = match (bytes.is_empty(), self.beginning.is_empty()) {
            (true, _) => self.beginning,
            (_, true) => bytes,
            _ => [bytes, self.beginning].concat().into(),
        };
        Self { stream: self.stream, beginning }
    }

    /// The stream; what was to be read again is thrown away.
    pub fn into_stream(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.beginning.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.beginning.len().min(buffer.remaining());
        buffer.put_slice(&self.beginning[..count]);
        self.beginning.advance(count);
        if self.beginning.is_empty() {
            self.beginning = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_read_is_read_again_and_then_what_follows() {
        let (mut peer, stream) = tokio::io::duplex(64);
        peer.write_all(b"second").await.expect("writes");
        let mut replay = Replay::new(stream, Bytes::from_static(b"first "));
        let mut read = [0; 12];
        replay.read_exact(&mut read[..3]).await.expect("reads");
        replay.read_exact(&mut read[3..]).await.expect("reads");
        assert_eq!(&read, b"first second");
        replay.write_all(b"answer").await.expect("writes");
        let mut answer = [0; 6];
        peer.read_exact(&mut answer).await.expect("reads");
        assert_eq!(&answer, b"answer");
    }
}
