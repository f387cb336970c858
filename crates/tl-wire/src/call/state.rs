//! The messages of documents.

use std::time::Duration;

use bytes::Bytes;

use tl_model::{
    Channel, Error, ErrorCode, Form, IdempotencyKey, LoggedEvent, Position, content_type,
};
use tl_protocol::frame::Receipt;

use super::{Condition, Read, contract, decode, encode, parameter_invalid, parse_limit};
use crate::draft::Draft;
use crate::frame::from_client::{parse_after, parse_key_text, parse_selection};
use crate::frame::from_server::receipt_message;
use crate::merge_patch;

/// How a document is to be changed.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// Whose document it is.
    pub channel: Channel,
    /// The new document, or what the request names of it.
    pub draft: Draft,
    /// What must be true of it.
    pub condition: Option<Condition<Position>>,
    /// The request's name, if it may be repeated.
    pub key: Option<IdempotencyKey>,
}

/// Reads `GetStateRequest`: whose document is wanted.
///
/// # Errors
///
/// `message_invalid`, `channel_invalid`.
pub fn read_get_state(form: Form, message: &[u8]) -> Result<Channel, Error> {
    let request: contract::GetStateRequest = decode(form, message)?;
    parse_channel(&request.channel)
}

/// Writes `GetStateResponse`. `at` is the event's place.
pub fn write_state(form: Form, document: &LoggedEvent, at: Position) -> Vec<u8> {
    let draft = Draft {
        channel: Some(document.channel.as_str().to_owned()),
        cursor: Some(at.cursor().as_str().to_owned()),
        ..Draft::from(&document.event)
    };
    encode(form, &contract::GetStateResponse { document: draft.into() })
}

/// Reads `PutStateRequest`.
///
/// # Errors
///
/// `message_invalid`, or a more precise code where a field names something that cannot be.
pub fn read_put_state(form: Form, message: &[u8]) -> Result<StateChange, Error> {
    let request: contract::PutStateRequest = decode(form, message)?;
    let draft = request.document.into_option();
    let condition = request.condition.into_option();
    change(&request.channel, draft, condition, &request.idempotency_key)
}

/// Writes `PutStateResponse`.
pub fn write_state_put(form: Form, receipt: &Receipt, is_new: bool, is_replayed: bool) -> Vec<u8> {
    let receipt = receipt_message(&Ok(receipt.clone())).into();
    let response = contract::PutStateResponse { receipt, created: is_new, replayed: is_replayed };
    encode(form, &response)
}

/// Reads `PatchStateRequest`: the merge patch, and what else is to be changed.
///
/// # Errors
///
/// As [`read_put_state`]; `event_invalid` if there is no patch, `media_type_unsupported` if it is of
/// another kind.
pub fn read_patch_state(form: Form, message: &[u8]) -> Result<(Bytes, StateChange), Error> {
    let request: contract::PatchStateRequest = decode(form, message)?;
    let draft = request.patch.into_option();
    let condition = request.condition.into_option();
    let mut change = change(&request.channel, draft, condition, &request.idempotency_key)?;
    let named = change.draft.data_content_type.take();
    let is_merge_patch =
        |it: &String| content_type::essence(it).eq_ignore_ascii_case(merge_patch::CONTENT_TYPE);
    if !named.as_ref().is_none_or(is_merge_patch) {
        let detail = "a patch is a merge patch, application/merge-patch+json (RFC 7396)";
        return Err(Error::new(ErrorCode::MediaTypeUnsupported, detail));
    }
    let patch = change.draft.data.take().ok_or_else(|| {
        Error::new(ErrorCode::EventInvalid, "the data of `patch` is a merge patch (RFC 7396)")
    })?;
    Ok((patch, change))
}

/// Writes `PatchStateResponse`.
pub fn write_state_patched(form: Form, receipt: &Receipt, is_replayed: bool) -> Vec<u8> {
    let receipt = receipt_message(&Ok(receipt.clone())).into();
    encode(form, &contract::PatchStateResponse { receipt, replayed: is_replayed })
}

/// Reads `DeleteStateRequest`.
///
/// # Errors
///
/// As [`read_put_state`]; `event_invalid` if the tombstone has data or extensions.
pub fn read_delete_state(form: Form, message: &[u8]) -> Result<StateChange, Error> {
    let request: contract::DeleteStateRequest = decode(form, message)?;
    let draft = request.tombstone.into_option();
    let condition = request.condition.into_option();
    let change = change(&request.channel, draft, condition, &request.idempotency_key)?;
    let Draft { data, data_content_type, extensions, .. } = &change.draft;
    if data.is_some() || data_content_type.is_some() || !extensions.is_empty() {
        let detail = "a tombstone has no data, no type of it, and no extensions of its own";
        return Err(Error::new(ErrorCode::EventInvalid, detail));
    }
    Ok(change)
}

/// Writes `DeleteStateResponse`.
pub fn write_state_deleted(form: Form, receipt: &Receipt, is_replayed: bool) -> Vec<u8> {
    let receipt = receipt_message(&Ok(receipt.clone())).into();
    encode(form, &contract::DeleteStateResponse { receipt, replayed: is_replayed })
}

/// Reads `ListStatesRequest`. Nobody waits for documents.
///
/// # Errors
///
/// `message_invalid`, `selection_invalid`, `cursor_invalid`, `parameter_invalid`.
pub fn read_list_states(form: Form, message: &[u8]) -> Result<Read, Error> {
    let request: contract::ListStatesRequest = decode(form, message)?;
    Ok(Read {
        selection: parse_selection(&request.channels)?,
        after: parse_after(&request.after)?,
        events_max: parse_limit(request.limit)?,
        wait: Duration::ZERO,
    })
}

fn change(
    channel: &str,
    draft: Option<Draft>,
    condition: Option<contract::StateCondition>,
    key: &str,
) -> Result<StateChange, Error> {
    let draft = draft.unwrap_or_default();
    if draft.channel.as_ref().is_some_and(|named| named != channel) {
        let detail = "the event names another channel than the request; leave it out there";
        return Err(parameter_invalid(detail));
    }
    Ok(StateChange {
        channel: parse_channel(channel)?,
        draft,
        condition: condition.map(parse_condition).transpose()?,
        key: parse_key_text(key)?,
    })
}

fn parse_channel(channel: &str) -> Result<Channel, Error> {
    Channel::parse(channel)
        .map_err(|error| Error::new(ErrorCode::ChannelInvalid, error.to_string()))
}

/// What is meant by one that says nothing is not known, and may be a condition of another version.
fn parse_condition(condition: contract::StateCondition) -> Result<Condition<Position>, Error> {
    use contract::state_condition::Condition as Named;
    match condition.condition {
        Some(Named::Exists(true)) => Ok(Condition::Exists),
        Some(Named::Exists(false)) => Ok(Condition::Absent),
        Some(Named::Last(cursor)) => cursor.parse().map(Condition::Last).map_err(|error| {
            Error::new(ErrorCode::CursorInvalid, format!("`condition.last`: {error}"))
        }),
        None => Err(parameter_invalid("`condition` has one of the members `last`, `exists`")),
    }
}
