//! What caches may keep of an answer, for how long, and for whom (RFC 9111, RFC 8246).

use tl_transport::http::types::HeaderMap;
use tl_transport::http::types::header::{
    AUTHORIZATION, CACHE_CONTROL, COOKIE, ETAG, HeaderName, HeaderValue, VARY,
};

/// How long an answer is what the server would say again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Freshness {
    /// For ever: it tells what lies in the past.
    Immutable,
    /// Until something is logged, which is to be asked each time.
    Checked,
    /// For this once.
    Once,
}

/// For whom an answer was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Audience {
    /// Whoever asks.
    Everybody,
    /// Who has shown these credentials.
    OneClient,
}

impl Audience {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.contains_key(AUTHORIZATION) || headers.contains_key(COOKIE) {
            true => Self::OneClient,
            false => Self::Everybody,
        }
    }
}

/// The headers that tell caches what to do with an answer with this tag.
pub(crate) fn headers(
    freshness: Freshness,
    audience: Audience,
    tag: HeaderValue,
) -> [(HeaderName, HeaderValue); 3] {
    [
        (CACHE_CONTROL, HeaderValue::from_static(control(freshness, audience))),
        (ETAG, tag),
        (VARY, HeaderValue::from_static(VARIES)),
    ]
}

const fn control(freshness: Freshness, audience: Audience) -> &'static str {
    match (freshness, audience) {
        (Freshness::Immutable, Audience::Everybody) => "public, max-age=31536000, immutable",
        (Freshness::Immutable, Audience::OneClient) => "private, max-age=31536000, immutable",
        (Freshness::Checked, Audience::Everybody) => "public, no-cache",
        (Freshness::Checked, Audience::OneClient) => "private, no-cache",
        (Freshness::Once, _) => "no-store",
    }
}

/// What answers depend on beside the address. The host adds what it adds.
const VARIES: &str = "accept, authorization, cookie, last-event-id, origin";
