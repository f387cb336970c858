//! What all requests that write have in common: conditions, idempotency keys, and being repeated.

use bytes::Bytes;
use reqwest::RequestBuilder;
use reqwest::header::{IF_MATCH, IF_NONE_MATCH};

use tl_model::{Error, ErrorCode, IdempotencyKey, Position};

use crate::answer::{accepted, body};
use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::ClientError;

/// What must be true of a channel for a request to have its effect. If it is not, the request is
/// refused with `condition_failed`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Any,
    /// It has no document: there was no event yet, or the last one deleted it. Over sessions and
    /// calls, only that there was no event yet.
    Absent,
    /// Its last event is the one at this place.
    Last(Position),
}

/// On what terms a document is to be changed.
#[derive(Clone, Debug, Default)]
pub struct ChangeOptions {
    /// What must be true of the channel.
    pub condition: Condition,
    /// The request's name. With it, the client repeats the request by itself if it cannot know what
    /// has become of it, or the server cannot take it right now; it has its effect once.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Client {
    /// Sends a request that writes, and reads the whole answer. What is named by a key is repeated.
    pub(crate) async fn write(
        &self,
        request: RequestBuilder,
        options: &ChangeOptions,
    ) -> Result<Bytes, ClientError> {
        let request = match options.condition {
            Condition::Any => request,
            Condition::Absent => request.header(IF_NONE_MATCH, "*"),
            Condition::Last(place) => request.header(IF_MATCH, format!("\"{}\"", place.cursor())),
        };
        let key = options.idempotency_key.as_ref();
        let request = match key {
            Some(key) => request.header("idempotency-key", quoted(key)),
            None => request,
        };
        let attempt = || async {
            let request = request.try_clone().expect("its body is in memory");
            body(accepted(request).await?).await
        };
        repeated(key, attempt).await
    }
}

/// Tries once; with a key until it is answered for good, or has been tried often enough.
pub(crate) async fn repeated<T, F>(
    key: Option<&IdempotencyKey>,
    attempt: impl Fn() -> F,
) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut backoff = Backoff::default();
    let repeats_max = if key.is_some() { REPEATS_MAX } else { 0 };
    for _ in 0..repeats_max {
        match attempt().await {
            Err(error) if may_pass(&error) => {
                let wait = backoff.after_failure(error.retry_after(), fastrand::u64(..));
                tokio::time::sleep(wait).await;
            }
            answered => return answered,
        }
    }
    attempt().await
}

/// Whether the same request may be answered otherwise in a moment. An answer that makes no sense is
/// not, however often it is asked for.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Address(_) | ClientError::Protocol(_) => false,
        ClientError::Connection(_) => true,
        ClientError::Refused(error) => is_for_now(error),
    }
}

/// Whether the server takes the same request in a moment. A full disk takes somebody to make room.
pub(crate) fn is_for_now(error: &Error) -> bool {
    error.code.is_retryable() && error.code != ErrorCode::StoreFull
}

/// A string of RFC 9651.
fn quoted(key: &IdempotencyKey) -> String {
    format!("\"{}\"", key.as_str().replace('\\', "\\\\").replace('"', "\\\""))
}

/// Enough for a server that is started again, about 13 seconds altogether, 26 at the most, unless
/// the server asks for more patience.
const REPEATS_MAX: usize = 7;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse(text).expect("a key")
    }

    /// How often something is tried that fails so many times.
    async fn tried(
        key: Option<&IdempotencyKey>,
        failures: usize,
        code: Option<ErrorCode>,
    ) -> usize {
        let tries = Cell::new(0);
        let error = || match code {
            Some(code) => ClientError::Refused(Error::new(code, "no")),
            None => ClientError::Connection("cut".into()),
        };
        let attempt = || {
            tries.set(tries.get() + 1);
            let is_answered = tries.get() > failures;
            async move { if is_answered { Ok(()) } else { Err(error()) } }
        };
        let answered = repeated(key, attempt).await;
        assert_eq!(answered.is_ok(), tries.get() > failures);
        tries.get()
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_has_a_key_is_repeated_and_not_for_ever() {
        let key = Some(&key("k"));
        assert_eq!(tried(None, 9, None).await, 1);
        assert_eq!(tried(key, 0, None).await, 1);
        assert_eq!(tried(key, 3, None).await, 4);
        assert_eq!(tried(key, 99, None).await, REPEATS_MAX + 1);
        for passing in [ErrorCode::Draining, ErrorCode::KeyInUse, ErrorCode::Overloaded] {
            assert_eq!(tried(key, 1, Some(passing)).await, 2, "{passing}");
        }
        for lasting in [ErrorCode::ConditionFailed, ErrorCode::KeyReused, ErrorCode::StoreFull] {
            assert_eq!(tried(key, 9, Some(lasting)).await, 1, "{lasting}");
        }
    }

    #[test]
    fn keys_are_sent_as_strings() {
        assert_eq!(quoted(&key("8e03978e")), "\"8e03978e\"");
        assert_eq!(quoted(&key(r#"a"b\c"#)), r#""a\"b\\c""#);
    }
}
