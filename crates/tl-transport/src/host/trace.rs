//! Which trace a request belongs to (W3C Trace Context), so that what a client was told and what the
//! server has logged can be found by each other.

use std::fmt;

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::body::Body;
use http_body_util::BodyExt;

use tl_engine::Engine;
use tl_wire::problem;

use crate::http::{Refused, Response};

/// The id of a trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TraceId(u128);

impl TraceId {
    /// The one that the client names; `None` if it names none, or not as the standard says.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all("traceparent").iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        Self::parse(line.to_str().ok()?)
    }

    fn new(engine: &Engine) -> Self {
        let random = || u128::from(engine.environment().random());
        Self(random() << 64 | random())
    }

    /// Version, trace, parent and flags, such as `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
    /// Later versions may have more behind them.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut next = |digits| parts.next().and_then(|part| hex(part, digits));
        let (version, trace, parent, _) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let has_more = parts.next().is_some();
        let is_legal = version != 0xff && trace != 0 && parent != 0 && (version != 0 || !has_more);
        is_legal.then_some(Self(trace))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Whether a response tells an error.
pub(super) fn is_problem(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|content_type| content_type == problem::CONTENT_TYPE)
}

/// Names the trace in a response that tells an error, and logs the error if it is the server's.
pub(super) async fn put(response: Response, trace: Option<TraceId>, engine: &Engine) -> Response {
    let trace = trace.unwrap_or_else(|| TraceId::new(engine));
    if response.status().is_server_error() {
        log(&response, trace);
    }
    let (mut parts, body) = response.into_parts();
    // What is in memory does not break off.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = problem::with_trace(body.into(), &trace.to_string());
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Response::from_parts(parts, Body::from(body))
}

fn log(response: &Response, trace: TraceId) {
    let status = response.status().as_u16();
    let Some(Refused(error)) = response.extensions().get() else {
        tracing::error!(%trace, status, "a request has failed");
        return;
    };
    // What passes by itself has been logged where it was met, and may concern many at once.
    match error.code.is_retryable() {
        true => {
            tracing::info!(%trace, status, code = %error.code, detail = %error.detail, "a request was put off")
        }
        false => {
            tracing::error!(%trace, status, code = %error.code, detail = %error.detail, "a request has failed")
        }
    }
}

/// So many lower-case digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == digits && is_hex).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_of_a_request_is_found_or_it_has_none() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let found = |text: &str| TraceId::parse(text).map(|it| it.to_string());
        let legal = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(found(&legal).as_deref(), Some(trace));
        assert_eq!(found(&format!("cc{}-more", &legal[2..])).as_deref(), Some(trace));
        for illegal in [
            "",
            "00",
            &format!("ff{}", &legal[2..]),
            &format!("{legal}-more"),
            &legal.to_uppercase(),
            &legal[..legal.len() - 1],
            &legal.replace(trace, &"0".repeat(32)),
            &legal.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &legal.replace("4b", "4-"),
            &legal.replace("4b", "+b"),
        ] {
            assert_eq!(found(illegal), None, "{illegal}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(TraceId::of(&headers), None);
        for expected in [Some(trace.to_owned()), None] {
            headers.append("traceparent", legal.parse().expect("legal"));
            assert_eq!(TraceId::of(&headers).map(|it| it.to_string()), expected);
        }
    }
}
