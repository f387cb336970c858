use std::io::{self, Write};

use ::http::StatusCode;
use ::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
};
use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Body as _;
use http_body_util::BodyExt;

use tl_model::content_type;

use super::{Coding, Response, coded, vary};

/// Packs an answer as the client wants it, if that is worth its while. What is not whole in memory,
/// such as a stream, is left alone.
pub(crate) async fn pack(mut response: Response, coding: Option<Coding>) -> Response {
    let is_unchanged = response.status() == StatusCode::NOT_MODIFIED;
    let whole = response.body().size_hint().exact();
    let is_packable = whole.is_some() && is_compressible(response.headers());
    if is_unchanged || is_packable {
        vary(response.headers_mut(), "accept-encoding");
    }
    match coding {
        Some(coding) if is_packable && whole >= Some(PACKED_BYTES_MIN) => {
            // Boxed: what few answers need does not make the others larger.
            Box::pin(pack_whole(response, coding)).await
        }
        _ => response,
    }
}

/// The bytes packed.
///
/// # Errors
///
/// The coder's; none are known to come.
pub(crate) fn packed(coding: Coding, plain: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Brotli => {
            let mut packed = Vec::with_capacity(plain.len() / 4);
            let buffer = BROTLI_BUFFER_BYTES;
            let (quality, window) = (BROTLI_QUALITY, BROTLI_WINDOW_LOG);
            let mut writer = brotli::CompressorWriter::new(&mut packed, buffer, quality, window);
            writer.write_all(plain)?;
            // Dropping it writes the end.
            drop(writer);
            Ok(packed)
        }
        Coding::Gzip => {
            let packed = Vec::with_capacity(plain.len() / 4);
            let mut writer = GzEncoder::new(packed, Compression::new(GZIP_LEVEL));
            writer.write_all(plain)?;
            writer.finish()
        }
        Coding::Zstd => zstd::bulk::compress(plain, ZSTD_LEVEL),
    }
}

async fn pack_whole(response: Response, coding: Coding) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(plain) = body.collect().await else {
        // What is in memory does not break off.
        return Response::from_parts(parts, Body::empty());
    };
    let plain = plain.to_bytes();
    match pack_aside(plain.clone(), coding).await {
        Some(packed) if packed.len() < plain.len() => {
            mark(&mut parts.headers, coding, packed.len());
            Response::from_parts(parts, packed.into())
        }
        _ => Response::from_parts(parts, plain.into()),
    }
}

/// Large bodies keep no other connection waiting meanwhile.
async fn pack_aside(plain: Bytes, coding: Coding) -> Option<Vec<u8>> {
    if plain.len() < ASIDE_BYTES_MIN {
        return packed(coding, &plain).ok();
    }
    let packing = tokio::task::spawn_blocking(move || packed(coding, &plain));
    packing.await.ok()?.ok()
}

/// Says how the body is packed. Packed in another way it is another representation, with a tag of its
/// own (RFC 9110 §8.8.3.3).
fn mark(headers: &mut HeaderMap, coding: Coding, len: usize) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    if let Some(tag) = headers.get(ETAG).and_then(|tag| coded(tag, coding)) {
        headers.insert(ETAG, tag);
    }
}

/// Text and what is written in it; what else there is has most often been packed already. A stream of
/// events is never held back to be packed.
fn is_compressible(headers: &HeaderMap) -> bool {
    if headers.contains_key(CONTENT_ENCODING) {
        return false;
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.map(content_type::essence).unwrap_or_default();
    let essence = essence.to_ascii_lowercase();
    let is_text = essence.starts_with("text/") && essence != "text/event-stream";
    is_text
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || COMPRESSIBLE.contains(&essence.as_str())
}

const COMPRESSIBLE: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/protobuf",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
];
/// Less fits one packet either way.
const PACKED_BYTES_MIN: u64 = 1_024;
/// More takes longer to pack than others should wait: a millisecond or two.
const ASIDE_BYTES_MIN: usize = 128 * 1024;
/// Quick levels: JSON loses nine tenths of its size to any of them, and the next level costs more
/// time than it saves on the way.
const BROTLI_QUALITY: u32 = 4;
const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// A window of 256 KiB keeps the memory of packing small; events repeat each other at short distances.
const BROTLI_WINDOW_LOG: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::respond;

    async fn packed_as(content_type: &'static str, len: usize) -> Response {
        let mut response = respond(StatusCode::OK, content_type, vec![b'x'; len]);
        response.headers_mut().insert(ETAG, HeaderValue::from_static("\"tag\""));
        pack(response, Some(Coding::Gzip)).await
    }

    #[tokio::test]
    async fn an_answer_is_packed_if_that_is_worth_it() {
        let response = packed_as("application/json; charset=utf-8", 2_000).await;
        let header = |name| response.headers().get(name).and_then(|it| it.to_str().ok());
        assert_eq!(header("content-encoding"), Some("gzip"));
        assert_eq!(header("etag"), Some("\"tag-gzip\""));
        assert_eq!(header("vary"), Some("accept-encoding"));
        let len = response.body().size_hint().exact().expect("it is whole").to_string();
        assert_eq!(header("content-length"), Some(len.as_str()));
        for (content_type, len, varies) in [
            ("application/json", 1_023, true),
            ("image/png", 2_000, false),
            ("text/event-stream", 2_000, false),
        ] {
            let response = packed_as(content_type, len).await;
            assert_eq!(response.headers().get(CONTENT_ENCODING), None, "{content_type}");
            assert_eq!(response.headers().contains_key("vary"), varies, "{content_type}");
            assert_eq!(response.headers()[ETAG], "\"tag\"", "{content_type}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_never_packed() {
        let pieces = futures_util::stream::pending::<Result<Bytes, io::Error>>();
        let mut response = Response::new(Body::from_stream(pieces));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = pack(response, Some(Coding::Zstd)).await;
        assert_eq!(response.headers().get(CONTENT_ENCODING), None);
    }

    #[tokio::test]
    async fn a_large_body_is_packed_aside() {
        for coding in Coding::ALL {
            let plain = Bytes::from(b"0123456789".repeat(ASIDE_BYTES_MIN));
            assert!(pack_aside(plain, coding).await.expect("packs").len() < ASIDE_BYTES_MIN);
        }
    }
}
