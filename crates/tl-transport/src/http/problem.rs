use ::http::StatusCode;
use ::http::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};

use tl_model::{Error, ErrorCode};
use tl_wire::problem;

use super::{Response, respond};

/// The error that a response tells.
#[derive(Clone, Debug)]
pub(crate) struct Refused(pub(crate) Error);

/// The response that tells an error.
pub fn problem_response(error: &Error) -> Response {
    let status = status(error.code);
    let body = problem::write(error, status.as_u16());
    let mut response = respond(status, problem::CONTENT_TYPE, body);
    response.extensions_mut().insert(Refused(error.clone()));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = error.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1_000) as u64));
    }
    response
}

/// The status of every error.
pub const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BatchTooLarge
        | ErrorCode::BodyTooLarge
        | ErrorCode::EventTooLarge
        | ErrorCode::FrameTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::BodyIncomplete => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::ChannelInvalid
        | ErrorCode::CursorInvalid
        | ErrorCode::EventInvalid
        | ErrorCode::FrameInvalid
        | ErrorCode::KeyRequired
        | ErrorCode::MessageInvalid
        | ErrorCode::ParameterInvalid
        | ErrorCode::SchemaInvalid
        | ErrorCode::SelectionInvalid
        | ErrorCode::SubscriptionInvalid => StatusCode::BAD_REQUEST,
        ErrorCode::ChannelReserved | ErrorCode::OriginForbidden => StatusCode::FORBIDDEN,
        ErrorCode::ConditionFailed => StatusCode::PRECONDITION_FAILED,
        // The place the cursor names is gone for good: nobody need try again.
        ErrorCode::CursorAhead | ErrorCode::CursorEpoch | ErrorCode::StateDeleted => {
            StatusCode::GONE
        }
        ErrorCode::ConditionRequired => StatusCode::PRECONDITION_REQUIRED,
        ErrorCode::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Draining | ErrorCode::Overloaded | ErrorCode::StoreFailed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::KeyInUse | ErrorCode::StateContended | ErrorCode::StateInvalid => {
            StatusCode::CONFLICT
        }
        ErrorCode::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::LimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::MediaTypeUnsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::SchemaIncompatible => StatusCode::CONFLICT,
        ErrorCode::SchemaRequired | ErrorCode::SchemaViolated => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::StoreFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
    }
}

#[cfg(test)]
mod tests {
    use tl_model::Fault;

    use super::*;

    #[test]
    fn four_hundreds_are_the_callers_and_five_hundreds_ours() {
        for code in ErrorCode::ALL {
            let is_server = status(*code).is_server_error();
            assert_eq!(is_server, code.fault() == Fault::Server, "{code}");
        }
    }
}
