//! A WebSocket on any byte stream.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use tl_transport::Line;
use tl_transport::wire::outbox::Outbox;

use crate::codec::{CloseCode, Decoder, Message, ServerHeader};

/// The server's end of a WebSocket. While nothing is said it holds no buffer.
pub struct WebSocket<S> {
    line: Arc<Line<S>>,
    decoder: Decoder,
    inbox: BytesMut,
    has_closed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A WebSocket on a stream after its handshake. Larger messages end it.
    pub fn new(stream: S, message_bytes_max: usize) -> Self {
        let decoder = Decoder::new(message_bytes_max);
        let (line, inbox) = (Line::new(stream), BytesMut::new());
        Self { line, decoder, inbox, has_closed: false }
    }

    /// The next message. Pings are answered, and what ends the connection is answered as the RFC
    /// asks, by queueing; whoever gets `Close` flushes and is done.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Message>> {
        loop {
            match self.decoder.decode(&mut self.inbox) {
                Ok(Some(message)) => {
                    self.answer(&message);
                    return Poll::Ready(Ok(message));
                }
                Ok(None) => {}
                Err(error) => {
                    let code = error.close_code();
                    self.queue_close(Some(code), &error.to_string());
                    return Poll::Ready(Ok(Message::Close(Some(code))));
                }
            }
            if self.inbox.is_empty() {
                self.inbox = BytesMut::new();
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Ok(Message::Close(None)));
            }
        }
    }

    /// Queues a message, and empties it.
    pub fn queue(&mut self, is_text: bool, message: &mut Outbox) {
        if !self.has_closed {
            let header = ServerHeader::message(is_text, message.remaining());
            self.line.put(|out| {
                out.put(header.as_bytes());
                out.append(message);
            });
        }
    }

    /// Queues a ping.
    pub fn queue_ping(&mut self) {
        self.queue_control(&ServerHeader::ping(), b"");
    }

    /// Queues the end. Nothing is queued after it.
    pub fn queue_close(&mut self, code: Option<CloseCode>, reason: &str) {
        let mut payload = Vec::new();
        if let Some(code) = code {
            payload.extend_from_slice(&code.get().to_be_bytes());
            payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(123)]);
        }
        self.queue_control(&ServerHeader::close(payload.len()), &payload);
        self.has_closed = true;
    }

    /// Bytes that have not left.
    pub fn unsent(&self) -> usize {
        self.line.unsent()
    }

    /// Sends what is queued, as much at once as the system takes.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.poll_flush(cx)
    }

    /// The bytes below the messages.
    pub fn line(&self) -> &Arc<Line<S>> {
        &self.line
    }

    /// Ends the stream so that the last frames arrive: says that no more comes, then reads until
    /// the peer has ended it too.
    pub async fn finish(self) {
        let ending = async {
            poll_fn(|cx| self.line.poll_shutdown(cx)).await.ok()?;
            while poll_fn(|cx| self.line.poll_discard(cx)).await.ok()? > 0 {}
            Some(())
        };
        let _ = tokio::time::timeout(FINISH_TIMEOUT, ending).await;
    }

    fn answer(&mut self, message: &Message) {
        match message {
            Message::Ping(payload) => {
                self.queue_control(&ServerHeader::pong(payload.len()), payload);
            }
            Message::Close(code) => self.queue_close(*code, ""),
            Message::Binary(_) | Message::Pong | Message::Text(_) => {}
        }
    }

    fn queue_control(&mut self, header: &ServerHeader, payload: &[u8]) {
        if !self.has_closed {
            self.line.put(|out| {
                out.put(header.as_bytes());
                out.put(payload);
            });
        }
    }

    /// Reads what has arrived. What is idle waits with a buffer on the stack; the rest of a large
    /// message is read to where it belongs.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = self.decoder.wanted();
        if wanted > READ_BYTES {
            self.inbox.reserve(wanted.min(LARGE_READ_BYTES));
            return self.line.poll_read_buf(cx, &mut self.inbox);
        }
        let mut stack = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut stack);
        ready!(self.line.poll_read(cx, &mut buffer))?;
        self.inbox.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

/// A read at once; most messages are far smaller.
const READ_BYTES: usize = 8 * 1024;
/// A read at once of a message that is known to be large.
const LARGE_READ_BYTES: usize = 256 * 1024;
/// How long the peer's end of the connection is waited for.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
