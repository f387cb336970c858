//! Errors as calls tell them.

use connectrpc::{ConnectError, ErrorCode as Code, ErrorDetail};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use tl_transport::model::{Error, ErrorCode};
use tl_transport::wire::call::{Detail, details};

/// Why a call fails.
#[derive(Debug)]
pub(crate) struct Refusal(ConnectError);

impl Refusal {
    /// The same with one more detail, if that is not more than clients take.
    pub(crate) fn with(self, detail: Detail) -> Self {
        if detail.value.len() > DETAIL_BYTES_MAX {
            return self;
        }
        Self(self.0.with_detail(encoded(&detail)))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(failure(&error))
    }
}

impl From<ConnectError> for Refusal {
    fn from(error: ConnectError) -> Self {
        Self(error)
    }
}

impl From<Refusal> for ConnectError {
    fn from(Refusal(error): Refusal) -> Self {
        error
    }
}

/// An error with its status and details.
pub(crate) fn failure(error: &Error) -> ConnectError {
    let error = &Error { detail: shortened(&error.detail).into(), ..error.clone() };
    let failure = ConnectError::new(code(error.code), error.detail.as_ref());
    details(error).iter().fold(failure, |failure, detail| failure.with_detail(encoded(detail)))
}

/// What clients take of a text that may repeat all that they have sent.
fn shortened(text: &str) -> String {
    match text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)) {
        Some(short) if short.len() < text.len() => format!("{short}…"),
        _ => text.to_owned(),
    }
}

fn encoded(detail: &Detail) -> ErrorDetail {
    let value = Some(STANDARD_NO_PAD.encode(&detail.value));
    ErrorDetail { type_url: detail.name.to_owned(), value, debug: None }
}

/// The status of every error.
pub(crate) const fn code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::BatchTooLarge
        | ErrorCode::ChannelInvalid
        | ErrorCode::CursorInvalid
        | ErrorCode::EventInvalid
        | ErrorCode::EventTooLarge
        | ErrorCode::FrameInvalid
        | ErrorCode::KeyRequired
        | ErrorCode::MessageInvalid
        | ErrorCode::ParameterInvalid
        | ErrorCode::SchemaInvalid
        | ErrorCode::SchemaRequired
        | ErrorCode::SchemaViolated
        | ErrorCode::SelectionInvalid
        | ErrorCode::SubscriptionInvalid => Code::InvalidArgument,
        // What every library says of a message beyond what it reads.
        ErrorCode::BodyTooLarge
        | ErrorCode::FrameTooLarge
        | ErrorCode::LimitExceeded
        | ErrorCode::StoreFull => Code::ResourceExhausted,
        ErrorCode::BodyIncomplete
        | ErrorCode::Draining
        | ErrorCode::Overloaded
        | ErrorCode::StoreFailed => Code::Unavailable,
        ErrorCode::ChannelReserved | ErrorCode::OriginForbidden => Code::PermissionDenied,
        // Somebody was quicker: read again, then write again.
        ErrorCode::ConditionFailed | ErrorCode::KeyInUse | ErrorCode::StateContended => {
            Code::Aborted
        }
        ErrorCode::ConditionRequired | ErrorCode::SchemaIncompatible | ErrorCode::StateInvalid => {
            Code::FailedPrecondition
        }
        ErrorCode::CursorAhead | ErrorCode::CursorEpoch => Code::OutOfRange,
        ErrorCode::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorCode::Internal => Code::Internal,
        ErrorCode::KeyReused => Code::AlreadyExists,
        ErrorCode::NotFound | ErrorCode::StateDeleted => Code::NotFound,
        ErrorCode::MediaTypeUnsupported
        | ErrorCode::MethodNotAllowed
        | ErrorCode::NotAcceptable
        | ErrorCode::UpgradeRequired => Code::Unimplemented,
    }
}

/// gRPC tells a failure in headers, of which clients take 8 KiB as a rule: a text three times, twice of
/// them in base64, and the details.
const TEXT_BYTES_MAX: usize = 512;
const DETAIL_BYTES_MAX: usize = 2 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A text in headers has three letters for each byte that is not ASCII.
    #[test]
    fn a_failure_is_no_longer_than_what_clients_take() {
        for detail_bytes in [DETAIL_BYTES_MAX, 100_000] {
            let value = vec![0; detail_bytes];
            let detail = Detail { name: "throughline.v1.PublishResponse", value };
            for text in ["a".repeat(100_000), "€".repeat(100_000)] {
                let error = Error::new(ErrorCode::Overloaded, text);
                let failure = ConnectError::from(Refusal::from(error).with(detail.clone()));
                let message = failure.message.map_or(0, |text| 3 * text.len());
                let details = failure.details.iter();
                let details: usize = details
                    .map(|it| it.type_url.len() + it.value.as_ref().map_or(0, String::len))
                    .sum();
                // The details are packed into one status, together with the text, in base64 once more.
                assert!(message + details + TEXT_BYTES_MAX * 4 / 3 < 8 * 1024 - 1_024);
            }
        }
    }

    #[test]
    fn what_passes_by_itself_has_a_status_that_says_so() {
        for error in ErrorCode::ALL.iter().copied().filter(|error| error.is_retryable()) {
            let passes = [Code::Aborted, Code::DeadlineExceeded, Code::Internal];
            let passes = passes.contains(&code(error));
            let is_there = matches!(code(error), Code::Unavailable | Code::ResourceExhausted);
            assert!(passes || is_there, "{error}");
        }
    }
}
