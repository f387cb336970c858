use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use tl_model::limits::{BODIES_BYTES_MAX, BODY_BYTES_FREE, BODY_IDLE_TIMEOUT, BODY_TIMEOUT};
use tl_model::{Error, ErrorCode};

use super::Coding;
use super::unpack::unpack;

/// The memory that the bodies of all requests share. Clones share it.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

/// The part of the room that one body takes, until this is dropped.
#[derive(Debug, Default)]
pub struct Taken(Option<OwnedSemaphorePermit>);

/// Bytes with the part of the room that they take.
struct Kept {
    bytes: Bytes,
    _taken: Taken,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BODIES_BYTES_MAX)))
    }
}

impl Room {
    /// Reads a body into memory, within bounds of size and time. It counts as there until what it takes is
    /// dropped.
    ///
    /// # Errors
    ///
    /// `body_too_large`, `body_incomplete`, `overloaded`.
    pub async fn read(&self, body: Body, bytes_max: usize) -> Result<(Bytes, Taken), Error> {
        read_body(body, None, bytes_max, self).await
    }

    /// The same bytes, which count as there until they are dropped.
    ///
    /// # Errors
    ///
    /// `overloaded`.
    pub fn keep(&self, bytes: Bytes) -> Result<Bytes, Error> {
        if bytes.len() <= BODY_BYTES_FREE {
            return Ok(bytes);
        }
        let mut taken = Taken::default();
        self.make(&mut taken, bytes.len())?;
        Ok(Bytes::from_owner(Kept { bytes, _taken: taken }))
    }

    /// Makes room for a body that has grown to this size.
    ///
    /// # Errors
    ///
    /// `overloaded`.
    pub fn make(&self, taken: &mut Taken, len: usize) -> Result<(), Error> {
        let has = taken.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = len.saturating_sub(BODY_BYTES_FREE + has);
        if missing == 0 {
            return Ok(());
        }
        let permits = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = self.0.clone().try_acquire_many_owned(permits).map_err(|_| no_room())?;
        match &mut taken.0 {
            Some(permit) => permit.merge(more),
            None => taken.0 = Some(more),
        }
        Ok(())
    }
}

/// Reads a body into memory, within bounds of size and time. One that is packed is unpacked once it is
/// all there, so that what comes slowly holds no more than what has come.
pub(crate) async fn read_body(
    body: Body,
    coding: Option<Coding>,
    bytes_max: usize,
    room: &Room,
) -> Result<(Bytes, Taken), Error> {
    let read = std::pin::pin!(collect(body, bytes_max, room));
    let (bytes, taken) = in_time(BODY_TIMEOUT, read).await??;
    match coding {
        None => Ok((bytes, taken)),
        Some(coding) => unpack(coding, &bytes, bytes_max, room),
    }
}

async fn collect(mut body: Body, bytes_max: usize, room: &Room) -> Result<(Bytes, Taken), Error> {
    let mut taken = Taken::default();
    let mut first: Option<Bytes> = None;
    let mut more = BytesMut::new();
    loop {
        let data = match in_time(BODY_IDLE_TIMEOUT, body.frame()).await? {
            None => break,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => {
                let detail = "the request broke off before its body was complete";
                return Err(Error::new(ErrorCode::BodyIncomplete, detail));
            }
        };
        let len = first.as_ref().map_or(0, Bytes::len) + more.len() + data.len();
        if len > bytes_max {
            return Err(too_large(bytes_max));
        }
        room.make(&mut taken, len)?;
        // Most bodies come in one piece, which needs no copy.
        match first {
            None => first = Some(data),
            Some(_) => more.extend_from_slice(&data),
        }
    }
    let first = first.unwrap_or_default();
    if more.is_empty() {
        return Ok((first, taken));
    }
    let mut whole = BytesMut::with_capacity(first.len() + more.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&more);
    Ok((whole.freeze(), taken))
}

/// Waits for something that has mostly come already, which needs no timer.
async fn in_time<F: Future + Unpin>(limit: Duration, mut what: F) -> Result<F::Output, Error> {
    match futures_util::poll!(&mut what) {
        Poll::Ready(come) => Ok(come),
        Poll::Pending => tokio::time::timeout(limit, what).await.map_err(|_| too_slow()),
    }
}

fn no_room() -> Error {
    let detail = "large bodies are sent to this server faster than it takes them in; send smaller \
                  ones, or send it again";
    Error::new(ErrorCode::Overloaded, detail).retry_after(NO_ROOM_WAIT)
}

pub(super) fn too_large(bytes_max: usize) -> Error {
    let detail = format!("a body has at most {bytes_max} bytes here; send several requests");
    Error::new(ErrorCode::BodyTooLarge, detail)
}

fn too_slow() -> Error {
    Error::new(ErrorCode::BodyIncomplete, "the body came too slowly; nothing was done with it")
}

/// The largest body comes in this time on a connection of 70 Mbit/s.
const NO_ROOM_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    /// A body that comes in pieces, with a pause before each.
    fn slow_body(pieces: usize, pause: Duration) -> Body {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(Bytes::from_static(b"xx"))
        });
        Body::from_stream(pieces)
    }

    async fn code(body: Body, bytes_max: usize) -> Result<usize, ErrorCode> {
        let read = read_body(body, None, bytes_max, &Room::default()).await;
        read.map(|(bytes, _)| bytes.len()).map_err(|error| error.code)
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_are_bounded_in_size_and_time() {
        let second = Duration::from_secs(1);
        assert_eq!(code(Body::empty(), 0).await, Ok(0));
        assert_eq!(code(slow_body(3, second), 6).await, Ok(6));
        assert_eq!(code(slow_body(3, second), 5).await, Err(ErrorCode::BodyTooLarge));
        assert_eq!(code(slow_body(3, second * 21), 6).await, Err(ErrorCode::BodyIncomplete));
        assert_eq!(code(slow_body(500, second), 5_000).await, Err(ErrorCode::BodyIncomplete));
    }

    #[tokio::test]
    async fn large_bodies_share_their_room_and_small_ones_need_none() {
        let room = Room(Arc::new(Semaphore::new(1_000)));
        let read = async |len: usize| {
            let body = Body::from(vec![0; len]);
            read_body(body, None, usize::MAX, &room).await.map_err(|it| it.code)
        };
        let large = read(BODY_BYTES_FREE + 600).await.expect("there is room");
        let refused = read(BODY_BYTES_FREE + 401).await.map(drop);
        assert_eq!(refused, Err(ErrorCode::Overloaded));
        assert!(read(BODY_BYTES_FREE + 400).await.is_ok());
        assert!(read(BODY_BYTES_FREE).await.is_ok());
        drop(large);
        let kept = room.keep(vec![0; BODY_BYTES_FREE + 600].into()).expect("there is room");
        let refused = read(BODY_BYTES_FREE + 401).await.map(drop);
        assert_eq!(refused, Err(ErrorCode::Overloaded));
        drop(kept);
        assert!(read(BODY_BYTES_FREE + 1_000).await.is_ok());
    }
}
