//! Errors over plain HTTP: `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use tl_model::{Error, ErrorCode};
use tl_protocol::frame::Receipt;

use crate::frame::from_server::receipt_message;
use crate::generated::throughline::v1 as contract;

/// The media type.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Writes an error. `status` is repeated from the response, so that the body makes sense alone.
pub fn write(error: &Error, status: u16) -> Vec<u8> {
    json(error, status, None)
}

/// Writes the error of a batch, with the answer for each of its events.
pub fn write_batch(error: &Error, status: u16, results: &[Result<Receipt, Error>]) -> Vec<u8> {
    json(error, status, Some(results.iter().map(receipt_message).collect()))
}

/// Adds the trace that the request belonged to.
pub fn with_trace(mut problem: Vec<u8>, trace: &str) -> Vec<u8> {
    if problem.pop_if(|last| *last == b'}').is_some() {
        problem.extend_from_slice(format!(",\"traceId\":\"{trace}\"}}").as_bytes());
    }
    problem
}

fn json(error: &Error, status: u16, receipts: Option<Vec<contract::Receipt>>) -> Vec<u8> {
    let problem = Problem {
        kind: Some(format!("urn:throughline:error:{}", error.code).into()),
        title: Some(error.code.title().into()),
        status: Some(status),
        detail: Some(error.detail.as_ref().into()),
        code: Some(error.code.as_str().into()),
        retryable: error.code.is_retryable(),
        retry_after_ms: error.retry_after.map(|wait| wait.as_millis() as u64),
        receipts,
    };
    // A problem holds nothing that JSON cannot express.
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// Reads an error as a client; `None` if the body is no problem of this server.
pub fn read(json: &[u8]) -> Option<Error> {
    let problem: Problem<'_> = serde_json::from_slice(json).ok()?;
    let code: ErrorCode = problem.code?.parse().ok()?;
    let error = Error::new(code, problem.detail?.into_owned());
    Some(match problem.retry_after_ms {
        Some(wait) => error.retry_after(Duration::from_millis(wait)),
        None => error,
    })
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'a, str>>,
    #[serde(default)]
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<Vec<contract::Receipt>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_whose_and_when() {
        let wait = Duration::from_secs(2);
        let error = Error::new(ErrorCode::Overloaded, "too much at once").retry_after(wait);
        let json = write(&error, 503);
        let expected = concat!(
            r#"{"type":"urn:throughline:error:overloaded","title":"The server is busy","#,
            r#""status":503,"detail":"too much at once","code":"overloaded","retryable":true,"#,
            r#""retryAfterMs":2000}"#,
        );
        assert_eq!(String::from_utf8_lossy(&json), expected);
        assert_eq!(read(&json), Some(error.clone()));
        let traced = with_trace(json, "4bf9");
        assert!(traced.ends_with(br#","retryAfterMs":2000,"traceId":"4bf9"}"#));
        assert_eq!(read(&traced), Some(error));
        assert_eq!(with_trace(Vec::new(), "4bf9"), b"");
        assert_eq!(read(b"<html>"), None);
        assert_eq!(read(b"{\"code\":\"unheard_of\",\"detail\":\"x\"}"), None);
    }
}
