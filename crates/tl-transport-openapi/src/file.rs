use aws_lc_rs::digest::{SHA256, digest};

use tl_transport::http::types::StatusCode;
use tl_transport::http::types::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use tl_transport::http::{Exchange, Response};
use tl_transport::model::Error;

/// A file that is handed out as it was committed.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    tag: HeaderValue,
}

impl File {
    /// A file of this media type. Its entity tag is its digest, the same on every server that has it.
    pub(crate) fn new(
        name: &'static str,
        content_type: &'static str,
        bytes: &'static [u8],
    ) -> Self {
        let tag = HeaderValue::from_str(&format!("\"{}\"", &sha256(bytes)[..TAG_DIGITS]));
        let tag = tag.expect("hexadecimal digits are legal in any header");
        Self { name, content_type, bytes, tag }
    }

    /// The file; 304 if the client has it. It is kept by caches, but asked for each time: a server that
    /// is replaced by a newer one is described anew at once.
    pub(crate) fn answer(&self, exchange: &Exchange) -> Result<Response, Error> {
        exchange.query().finish()?;
        let is_known = is_among(exchange.headers(), &self.tag);
        let bytes = if is_known { &[] } else { self.bytes };
        let mut response = Response::new(bytes.into());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ETAG, self.tag.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        Ok(response)
    }
}

/// The digest of bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the client has what this tag validates (RFC 9110 §13.1.2).
fn is_among(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|tags| tags.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// As many as it takes that no two versions of a file share a tag.
const TAG_DIGITS: usize = 16;
