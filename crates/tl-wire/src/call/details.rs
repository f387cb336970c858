//! What goes with the status of a failed call, so that programs can act on it (`google.rpc.Status`).

use std::time::Duration;

use buffa::encoding::encode_varint;
use buffa::types::{put_len_delimited_header, put_string_field};
use buffa::{DecodeOptions, Message};

use tl_model::Error;

use crate::frame::from_server::problem_message;
use crate::generated::throughline::v1 as contract;

/// One detail: what message it is, and its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Detail {
    /// The message's full name.
    pub name: &'static str,
    /// Its binary form.
    pub value: Vec<u8>,
}

/// What goes with an error: the reason as `google.rpc.ErrorInfo`, when to try again as
/// `google.rpc.RetryInfo` where that makes sense, and both as `throughline.v1.Problem`.
pub fn details(error: &Error) -> Vec<Detail> {
    let mut details = vec![Detail { name: "google.rpc.ErrorInfo", value: error_info(error) }];
    if error.code.is_retryable() {
        let wait = error.retry_after.unwrap_or(RETRY_DELAY);
        details.push(Detail { name: "google.rpc.RetryInfo", value: retry_info(wait) });
    }
    let problem = problem_message(error).encode_to_vec();
    details.push(Detail { name: PROBLEM, value: problem });
    details
}

/// Reads the detail that says most, as a client; `None` if this is another one, or illegal.
pub fn read_problem(name: &str, value: &[u8]) -> Option<contract::Problem> {
    let name = name.rsplit('/').next();
    (name == Some(PROBLEM)).then(|| DecodeOptions::new().decode_from_slice(value).ok())?
}

/// `google.rpc.ErrorInfo`: 1 reason, 2 domain, 3 metadata. Reasons are in capitals (AIP-193).
fn error_info(error: &Error) -> Vec<u8> {
    let mut info = Vec::new();
    put_string_field(1, &error.code.as_str().to_uppercase(), &mut info);
    put_string_field(2, DOMAIN, &mut info);
    let retryable = if error.code.is_retryable() { "true" } else { "false" };
    let mut entry = Vec::new();
    put_string_field(1, "retryable", &mut entry);
    put_string_field(2, retryable, &mut entry);
    put_len_delimited_header(3, entry.len() as u64, &mut info);
    info.extend_from_slice(&entry);
    info
}

/// `google.rpc.RetryInfo`: 1 retry_delay, a `google.protobuf.Duration` of 1 seconds, 2 nanos.
fn retry_info(wait: Duration) -> Vec<u8> {
    let mut duration = Vec::new();
    for (number, value) in [(1, wait.as_secs()), (2, wait.subsec_nanos().into())] {
        if value != 0 {
            encode_varint(number << 3, &mut duration);
            encode_varint(value, &mut duration);
        }
    }
    let mut info = Vec::new();
    put_len_delimited_header(1, duration.len() as u64, &mut info);
    info.extend_from_slice(&duration);
    info
}

/// Whose reasons these are.
const DOMAIN: &str = "throughline";
const PROBLEM: &str = "throughline.v1.Problem";
/// What passes by itself usually does so within a second.
const RETRY_DELAY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tl_model::ErrorCode;

    use super::*;

    #[test]
    fn details_say_why_and_when_to_try_again() {
        let wait = Duration::from_millis(2_500);
        let error = Error::new(ErrorCode::Overloaded, "too much at once").retry_after(wait);
        let details = details(&error);
        let names: Vec<_> = details.iter().map(|detail| detail.name).collect();
        assert_eq!(names, ["google.rpc.ErrorInfo", "google.rpc.RetryInfo", PROBLEM]);
        let info = b"\x0a\x0aOVERLOADED\x12\x0bthroughline\x1a\x11\x0a\x09retryable\x12\x04true";
        assert_eq!(details[0].value, info);
        // 2 s and 500,000,000 ns.
        assert_eq!(details[1].value, b"\x0a\x08\x08\x02\x10\x80\xca\xb5\xee\x01");
        let typed = format!("type.googleapis.com/{PROBLEM}");
        let problem = read_problem(&typed, &details[2].value).expect("a problem");
        assert_eq!((problem.code.as_str(), problem.retryable), ("overloaded", true));
        assert_eq!(problem.retry_after_ms, Some(2_500));
        assert_eq!(read_problem("google.rpc.ErrorInfo", &details[0].value), None);
    }

    #[test]
    fn what_cannot_succeed_later_says_no_time() {
        let details = details(&Error::new(ErrorCode::EventInvalid, "no"));
        assert!(details.iter().all(|detail| detail.name != "google.rpc.RetryInfo"));
    }
}
