use std::time::{Duration, SystemTime};

use ::http::header::{HeaderName, HeaderValue, LINK};

/// That a route is going to be taken away.
#[derive(Clone, Copy, Debug)]
pub struct Deprecation {
    /// Since when nobody new should use it, in seconds since 1970.
    pub since: u64,
    /// When it stops answering, likewise; `None` while that is open.
    pub sunset: Option<u64>,
    /// Where its users read what to use instead.
    pub successor: &'static str,
}

impl Deprecation {
    /// What clients are told with every answer: `Deprecation` (RFC 9745), `Sunset` (RFC 8594), and
    /// the links of both.
    pub(super) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let link = |relation| format!("<{}>; rel=\"{relation}\"", self.successor);
        let mut told = vec![
            (HeaderName::from_static("deprecation"), format!("@{}", self.since)),
            (LINK, link("deprecation")),
        ];
        if let Some(sunset) = self.sunset {
            let sunset = SystemTime::UNIX_EPOCH + Duration::from_secs(sunset);
            told.push((HeaderName::from_static("sunset"), httpdate::fmt_http_date(sunset)));
            told.push((LINK, link("sunset")));
        }
        let legal = |(name, text)| Some((name, HeaderValue::try_from(text).ok()?));
        told.into_iter().filter_map(legal).collect()
    }
}
