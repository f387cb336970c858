//! gRPC-Web in its text form: the binary form in base64, for clients that cannot read binary streams.
//!
//! Each piece of a response is encoded on its own, with its padding, so that it can be read when it comes;
//! requests may come in such pieces, too (gRPC-Web protocol, "text-encoded responses").

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use tl_transport::http::axum::body::Body;
use tl_transport::http::http_body::{self, Frame};
use tl_transport::http::types::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use tl_transport::http::{Request, Response};

/// The request of somebody who wants the answer in the text form, too, in the binary form.
pub(crate) fn to_binary(request: &mut Request) {
    let headers = request.headers_mut();
    replace_type(headers, TEXT, BINARY);
    headers.remove(CONTENT_LENGTH);
    let text = std::mem::take(request.body_mut());
    *request.body_mut() = Body::new(Decoded { text, rest: BytesMut::new() });
}

/// The same response in the text form.
pub(crate) fn to_text(response: Response) -> Response {
    let (mut parts, binary) = response.into_parts();
    replace_type(&mut parts.headers, BINARY, TEXT);
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::new(Encoded(binary)))
}

/// What stands behind the name, the codec, stays.
fn replace_type(headers: &mut HeaderMap, from: &str, to: &str) {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let replaced = content_type.and_then(|content_type| {
        let codec = content_type.strip_prefix(from)?;
        HeaderValue::try_from(format!("{to}{codec}")).ok()
    });
    if let Some(replaced) = replaced {
        headers.insert(CONTENT_TYPE, replaced);
    }
}

/// A body that is decoded as it comes.
struct Decoded {
    text: Body,
    /// Letters of a group of four that is not complete.
    rest: BytesMut,
}

impl http_body::Body for Decoded {
    type Data = Bytes;
    type Error = NoText;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NoText>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.text).poll_frame(cx)) else {
                let is_whole = self.rest.is_empty();
                return Poll::Ready((!is_whole).then(|| {
                    self.rest.clear();
                    Err(NoText)
                }));
            };
            let Ok(data) = frame.map_err(|_| NoText)?.into_data() else { continue };
            self.rest.extend_from_slice(&data);
            let groups = self.rest.len() / 4 * 4;
            if groups > 0 {
                let text = self.rest.split_to(groups);
                return Poll::Ready(Some(decode(&text).map(Frame::data)));
            }
        }
    }
}

/// Pieces that were encoded on their own may follow each other, so padding may stand anywhere.
pub(crate) fn decode(text: &[u8]) -> Result<Bytes, NoText> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut rest = text;
    while !rest.is_empty() {
        let padding = rest.chunks_exact(4).position(|group| group.ends_with(b"="));
        let (piece, more) = rest.split_at(padding.map_or(rest.len(), |group| group * 4 + 4));
        STANDARD.decode_vec(piece, &mut bytes).map_err(|_| NoText)?;
        rest = more;
    }
    Ok(bytes.into())
}

/// A body that is encoded as it leaves.
struct Encoded(Body);

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        let encoded = |frame: Frame<Bytes>| frame.map_data(|data| STANDARD.encode(data).into());
        Poll::Ready(frame.map(|frame| frame.map(encoded)))
    }
}

/// The body broke off, or is no base64.
#[derive(Debug)]
pub(crate) struct NoText;

impl std::error::Error for NoText {}

impl std::fmt::Display for NoText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body broke off, or is not base64")
    }
}

const BINARY: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";
