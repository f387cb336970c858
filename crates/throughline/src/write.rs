//! What all commands that write have in common.

use clap::Args;

use tl_client::{ChangeOptions, ClientError, Condition, IdempotencyKey};
use tl_model::{ErrorCode, Position};
use tl_wire::json;

use crate::CliError;

/// On what terms to write.
#[derive(Args, Debug)]
pub(crate) struct WriteArgs {
    /// Write only if the channel's last event is still the one with this cursor.
    #[arg(long, value_name = "CURSOR")]
    if_match: Option<Position>,
    /// A name for this request, such as a random UUID: while the server cannot be reached it is
    /// repeated, and however often that is, also by running the command again, it has its effect once.
    #[arg(long, value_name = "KEY", value_parser = IdempotencyKey::parse)]
    idempotency_key: Option<IdempotencyKey>,
}

impl WriteArgs {
    pub(crate) fn options(&self) -> ChangeOptions {
        let condition = self.if_match.map_or(Condition::Any, Condition::Last);
        ChangeOptions { condition, idempotency_key: self.idempotency_key.clone() }
    }
}

/// What the data most probably is.
pub(crate) fn media_type(data: &[u8]) -> &'static str {
    match data {
        data if json::is_json(data) => "application/json",
        data if std::str::from_utf8(data).is_ok() => "text/plain",
        _ => "application/octet-stream",
    }
}

/// The error, with what to type next.
pub(crate) fn explain(error: ClientError, channel: &str) -> CliError {
    let ClientError::Refused(refused) = &error else { return error.into() };
    match hint(refused.code, channel) {
        Some(hint) => CliError::Other(format!("{error}\n{hint}")),
        None => error.into(),
    }
}

/// What to type next, where the server can only speak of requests.
pub(crate) fn hint(code: ErrorCode, channel: &str) -> Option<String> {
    let hint = match code {
        ErrorCode::ConditionFailed => format!(
            "see what it is now with `throughline state get {channel}`, and give the cursor that it \
             tells to --if-match"
        ),
        ErrorCode::ConditionRequired => format!(
            "here, that is --if-match with the cursor that `throughline state get {channel}` tells, or \
             --if-absent"
        ),
        ErrorCode::KeyRequired => "here, that is --idempotency-key".to_owned(),
        ErrorCode::NotFound | ErrorCode::StateDeleted => {
            format!("here, that is `throughline state put {channel} DATA`")
        }
        _ => return None,
    };
    Some(hint)
}
