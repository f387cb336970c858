//! What a body of many messages may hold and how long it may take, message by message.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use connectrpc::ConnectError;
use connectrpc::dispatcher::RequestStream;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep};

use tl_transport::http::axum::body::Body;
use tl_transport::http::http_body::{Body as HttpBody, Frame};
use tl_transport::http::{Room, Taken};
use tl_transport::model::limits::BODY_TIMEOUT;

use crate::error::failure;

/// The body of a call.
pub(crate) enum Messages {
    /// With its one message, read beforehand.
    One(Option<Bytes>),
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
            Self::One(message) => Poll::Ready(message.take().map(|it| Ok(Frame::data(it)))),
            Self::Many(body) => Pin::new(body).poll_frame(cx),
        }
    }
}

/// Messages of which the one that is handled takes its part of the memory for bodies: unpacked, it may be
/// far larger than it came.
pub(crate) struct Counted {
    messages: RequestStream,
    room: Room,
    taken: Taken,
}

impl Counted {
    pub(crate) fn new(messages: RequestStream, room: Room) -> Self {
        Self { messages, room, taken: Taken::default() }
    }
}

impl Stream for Counted {
    type Item = Result<Bytes, ConnectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Whoever wants the next one is done with the one before.
        self.taken = Taken::default();
        let message = ready!(self.messages.poll_next_unpin(cx));
        if let Some(Ok(message)) = &message {
            let Self { room, taken, .. } = &mut *self;
            room.make(taken, message.len()).map_err(|error| failure(&error))?;
        }
        Poll::Ready(message)
    }
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
    use futures_util::{FutureExt, stream};
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
        let message = Bytes::from(vec![0; FRAME_BYTES_MAX]);
        let streams = BODIES_BYTES_MAX / FRAME_BYTES_MAX;
        let open = || {
            let one = stream::iter([Ok(message.clone())]).chain(stream::pending());
            Counted::new(one.boxed(), room.clone())
        };
        let mut handled: Vec<_> = (0..streams).map(|_| open()).collect();
        for stream in &mut handled {
            assert!(matches!(stream.next().await, Some(Ok(_))), "there is room for so many");
        }
        let refused = open().next().await.expect("an error").expect_err("there is no room");
        assert_eq!(refused.code, connectrpc::ErrorCode::Unavailable);
        let done = handled[0].next().now_or_never();
        assert!(done.is_none(), "no other message has come");
        assert!(matches!(open().next().await, Some(Ok(_))), "one that is done with takes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn between_messages_a_body_may_rest() {
        let whole = vec![b"\0\0\0\0\x05ab".as_slice(), b"cde\0\0\0\0\0", b"\0\0\0\0\x01x"];
        let read = to_bytes(stalled(whole), usize::MAX);
        let rests = tokio::time::timeout(BODY_TIMEOUT * 2, read).await;
        assert!(rests.is_err(), "it is still open");
    }
}
