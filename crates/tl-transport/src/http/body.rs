use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use tl_model::limits::{BODY_IDLE_TIMEOUT, BODY_TIMEOUT};
use tl_model::{Error, ErrorCode};

/// Reads a body into memory, within bounds of size and time.
pub async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, Error> {
    let read = collect(body, bytes_max);
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(read) => read,
        Err(_) => Err(too_slow()),
    }
}

async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Error> {
    let mut first: Option<Bytes> = None;
    let mut more = BytesMut::new();
    loop {
        let Ok(frame) = tokio::time::timeout(BODY_IDLE_TIMEOUT, body.frame()).await else {
            return Err(too_slow());
        };
        let data = match frame {
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
        // Most bodies come in one piece, which needs no copy.
        match first {
            None => first = Some(data),
            Some(_) => more.extend_from_slice(&data),
        }
    }
    let first = first.unwrap_or_default();
    if more.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + more.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&more);
    Ok(whole.freeze())
}

fn too_large(bytes_max: usize) -> Error {
    let detail = format!("a body has at most {bytes_max} bytes here; send several requests");
    Error::new(ErrorCode::BodyTooLarge, detail)
}

fn too_slow() -> Error {
    Error::new(ErrorCode::BodyIncomplete, "the body came too slowly; nothing was done with it")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let read = read_body(body, bytes_max).await;
        read.map(|bytes| bytes.len()).map_err(|error| error.code)
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
}
