//! What a body of many messages may hold and how long it may take, message by message.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use connectrpc::dispatcher::RequestStream;
use futures_util::StreamExt;
use tokio::time::{Instant, Sleep};

use tl_transport::http::axum::body::Body;
use tl_transport::http::http_body::{Body as HttpBody, Frame};
use tl_transport::http::{Room, Taken};
use tl_transport::model::limits::BODY_TIMEOUT;

use crate::error::failure;

/// The body of a call.
pub(crate) enum Messages {
    /// With its one message, read beforehand.
    One(Option<(Bytes, Taken)>),
    Many(Bounded),
}

/// A body in which every message that has begun takes its part of the memory for bodies, and has to be
/// whole in time. Between messages it may rest for ever.
pub(crate) struct Bounded {
    body: Body,
    room: Room,
    taken: Taken,
    /// What has come of the length of the next message, behind its flags.
    head: Vec<u8>,
    /// Bytes of the message that have not come.
    missing: usize,
    has: usize,
    late: Option<Pin<Box<Sleep>>>,
}

/// Why a body is not read on.
#[derive(Debug)]
pub(crate) enum Unbounded {
    Broken,
    NoRoom,
    TooSlow,
}

impl Bounded {
    pub(crate) fn new(body: Body, room: Room) -> Self {
        let (taken, head) = (Taken::default(), Vec::with_capacity(HEAD_BYTES));
        Self { body, room, taken, head, missing: 0, has: 0, late: None }
    }

    /// Follows the messages; notes how much of one that is not whole has come.
    fn follow(&mut self, mut data: &[u8]) -> Result<(), Unbounded> {
        while !data.is_empty() {
            if self.missing == 0 {
                let (head, rest) = data.split_at(data.len().min(HEAD_BYTES - self.head.len()));
                self.head.extend_from_slice(head);
                data = rest;
                if let [_, len @ ..] = self.head.as_slice()
                    && let Ok(len) = <[u8; 4]>::try_from(len)
                {
                    self.missing = u32::from_be_bytes(len) as usize;
                    self.head.clear();
                }
            } else {
                let come = self.missing.min(data.len());
                (self.missing, self.has) = (self.missing - come, self.has + come);
                data = &data[come..];
            }
            if self.missing == 0 && self.head.is_empty() {
                (self.has, self.taken, self.late) = (0, Taken::default(), None);
            }
        }
        if self.missing > 0 || !self.head.is_empty() {
            self.late.get_or_insert_with(|| {
                Box::pin(tokio::time::sleep_until(Instant::now() + BODY_TIMEOUT))
            });
        }
        self.room.make(&mut self.taken, self.has).map_err(|_| Unbounded::NoRoom)
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Unbounded;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unbounded>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(frame)) => frame.map_err(|_| Unbounded::Broken)?,
            Poll::Pending => {
                let late = self.late.as_mut().map(|late| late.as_mut().poll(cx));
                return match late {
                    Some(Poll::Ready(())) => Poll::Ready(Some(Err(Unbounded::TooSlow))),
                    _ => Poll::Pending,
                };
            }
        };
        if let Some(data) = frame.data_ref() {
            self.follow(data)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = Unbounded;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unbounded>>> {
        match self.get_mut() {
            Self::One(message) => Poll::Ready(message.take().map(|(it, _)| Ok(Frame::data(it)))),
            Self::Many(body) => Pin::new(body).poll_frame(cx),
        }
    }
}

/// Messages that take their part of the memory for bodies until they are dropped: unpacked, they may be far
/// larger than they came.
pub(crate) fn counted(messages: RequestStream, room: Room) -> RequestStream {
    messages.map(move |message| room.keep(message?).map_err(|error| failure(&error))).boxed()
}

impl std::error::Error for Unbounded {}

impl std::fmt::Display for Unbounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Broken => "the body broke off",
            Self::NoRoom => "large messages are sent faster than this server takes them in",
            Self::TooSlow => "a message came too slowly",
        })
    }
}

/// Flags and length of a message.
const HEAD_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tl_transport::http::axum::body::to_bytes;
    use tl_transport::model::limits::{BODIES_BYTES_MAX, FRAME_BYTES_MAX};

    use super::*;

    /// Pieces of a body, and then nothing for ever.
    fn stalled(pieces: Vec<&'static [u8]>) -> Body {
        let pieces = stream::iter(pieces).map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(pieces.chain(stream::pending()));
        Body::new(Bounded::new(body, Room::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_has_begun_has_to_be_whole_in_time() {
        for begun in [vec![b"\0\0\0\0\x05abcd".as_slice()], vec![b"\0\0", b"\0"]] {
            let read = to_bytes(stalled(begun), usize::MAX);
            let read = tokio::time::timeout(BODY_TIMEOUT * 2, read).await.expect("it ends");
            assert!(read.expect_err("it is too slow").to_string().contains("too slowly"));
        }
    }

    #[tokio::test]
    async fn messages_that_are_handled_share_the_memory_for_bodies() {
        let room = Room::default();
        let large = Bytes::from(vec![0; FRAME_BYTES_MAX]);
        let messages = stream::repeat(large).map(Ok).boxed();
        let mut messages = counted(messages, room);
        let mut handled = Vec::new();
        for _ in 0..BODIES_BYTES_MAX / FRAME_BYTES_MAX {
            handled.push(messages.next().await.expect("a message").expect("there is room"));
        }
        let refused = messages.next().await.expect("an error").expect_err("there is no room");
        assert_eq!(refused.code, connectrpc::ErrorCode::Unavailable);
        drop(handled.pop());
        assert!(messages.next().await.expect("a message").is_ok(), "one was dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn between_messages_a_body_may_rest() {
        let whole = vec![b"\0\0\0\0\x05ab".as_slice(), b"cde\0\0\0\0\0", b"\0\0\0\0\x01x"];
        let read = to_bytes(stalled(whole), usize::MAX);
        let rests = tokio::time::timeout(BODY_TIMEOUT * 2, read).await;
        assert!(rests.is_err(), "it is still open");
    }
}
