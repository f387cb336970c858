//! The messages of calls (`events.proto`, `schemas.proto`, `state.proto`) in their two forms.
//!
//! The server reads what is asked with the `read_` functions and writes its answers with the `write_`
//! functions. What a subscription delivers is written as the [frames](crate::frame) of a session.

mod details;
mod schemas;
mod state;

use std::borrow::Cow;
use std::time::Duration;

use serde::de::IgnoredAny;

use tl_model::limits::{FRAME_BYTES_MAX, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX};
use tl_model::{After, Error, ErrorCode, Form, Position, Selection};
use tl_protocol::frame::{Publish, Receipt};

use crate::batch::Elements;
use crate::draft::Stamp;
use crate::frame::from_client::{parse_after, parse_publish, parse_selection};
use crate::frame::from_server::{problem_message, receipt_message};
use crate::frame::{self, UNCOUNTED_BYTES_MAX, decode_message};
use crate::generated::throughline::v1 as contract;

pub use details::{Detail, details, read_problem};
pub use schemas::{
    SchemaChange, read_check_schema, read_get_schema, read_put_schema, write_schema,
    write_schema_checked, write_schema_put, write_schemas,
};
pub use state::{
    StateChange, read_delete_state, read_get_state, read_list_states, read_patch_state,
    read_put_state, write_state, write_state_deleted, write_state_patched, write_state_put,
};

/// What must be true of something for a change to be made: of a document, whose event has a place, or of
/// a schema, whose latest version has a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition<P> {
    /// There is none.
    Absent,
    /// There is one.
    Exists,
    /// The last is this one.
    Last(P),
}

/// What a reader asks for.
#[derive(Clone, Debug)]
pub struct Read {
    /// Which channels.
    pub selection: Selection,
    /// From where.
    pub after: After,
    /// Events in the page, at most.
    pub events_max: usize,
    /// How long to wait for one.
    pub wait: Duration,
}

/// What came of many publishes.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Events that were published.
    pub published: u64,
    /// The place of the last event that was logged.
    pub last: Option<Position>,
    /// Events that were refused.
    pub refused: u64,
    /// The first of them, by their place among all events, and why.
    pub refusals: Vec<(u64, Error)>,
}

/// Reads `PublishRequest` or `PublishManyRequest`, which have the same fields.
///
/// # Errors
///
/// `message_invalid`, or a more precise code where a field names something that cannot be.
pub fn read_publish(form: Form, message: &[u8], stamp: &dyn Stamp) -> Result<Publish, Error> {
    let request: contract::PublishRequest = decode(form, message)?;
    let publish = contract::Publish {
        request: 0,
        channel: request.channel,
        events: request.events,
        atomic: request.atomic,
        ephemeral: request.ephemeral,
        conditions: request.conditions,
        idempotency_key: request.idempotency_key,
    };
    parse_publish(&publish, stamp)
}

/// Writes `PublishResponse`.
pub fn write_published(
    form: Form,
    receipts: &[Result<Receipt, Error>],
    is_replayed: bool,
) -> Vec<u8> {
    let receipts = receipts.iter().map(receipt_message).collect();
    encode(form, &contract::PublishResponse { receipts, replayed: is_replayed })
}

/// Writes `PublishManyResponse`.
pub fn write_published_many(form: Form, published: &Published) -> Vec<u8> {
    let refusal = |(index, error): &(u64, Error)| contract::Refusal {
        index: *index,
        problem: problem_message(error).into(),
    };
    let cursor = published.last.map(|last| last.cursor().as_str().to_owned());
    let response = contract::PublishManyResponse {
        published: published.published,
        refused: published.refused,
        cursor: cursor.unwrap_or_default(),
        refusals: published.refusals.iter().map(refusal).collect(),
    };
    encode(form, &response)
}

/// Reads `ReadRequest`.
///
/// # Errors
///
/// `message_invalid`, `selection_invalid`, `cursor_invalid`, `parameter_invalid`.
pub fn read_read(form: Form, message: &[u8]) -> Result<Read, Error> {
    let request: contract::ReadRequest = decode(form, message)?;
    Ok(Read {
        selection: parse_selection(&request.channels)?,
        after: parse_after(&request.after)?,
        events_max: parse_limit(request.limit)?,
        wait: Duration::from_millis(request.wait_ms.into()),
    })
}

/// Reads `SubscribeRequest`: which channels, and from where.
///
/// # Errors
///
/// `message_invalid`, `selection_invalid`, `cursor_invalid`.
pub fn read_subscribe(form: Form, message: &[u8]) -> Result<(Selection, After), Error> {
    let request: contract::SubscribeRequest = decode(form, message)?;
    Ok((parse_selection(&request.channels)?, parse_after(&request.after)?))
}

/// Reads any message of a call.
///
/// # Errors
///
/// `message_invalid`.
pub fn decode<M>(form: Form, message: &[u8]) -> Result<M, Error>
where
    M: buffa::Message + serde::de::DeserializeOwned,
{
    if message.len() > FRAME_BYTES_MAX {
        return Err(too_large());
    }
    if form == Form::Json {
        check_object(message)?;
    }
    if form == Form::Json && message.len() > UNCOUNTED_BYTES_MAX {
        check_count(message)?;
    }
    decode_message(form, message).map_err(|error| invalid(form, &error))
}

fn invalid(form: Form, error: &dyn std::fmt::Display) -> Error {
    let detail = format!("the message is not valid {}: {error}", form.name());
    Error::new(ErrorCode::MessageInvalid, detail)
}

/// Writes any message of a call.
pub fn encode<M: buffa::Message + serde::Serialize>(form: Form, message: &M) -> Vec<u8> {
    frame::encode(form, message)
}

/// A list would be taken for the fields in their order.
fn check_object(message: &[u8]) -> Result<(), Error> {
    match message.trim_ascii_start().first() {
        Some(b'{') => Ok(()),
        _ => Err(Error::new(ErrorCode::MessageInvalid, "a message in JSON is an object: {…}")),
    }
}

/// The error for a message that is larger than anybody reads.
pub fn too_large() -> Error {
    let detail = format!(
        "a message has at most {FRAME_BYTES_MAX} bytes; publish fewer events at once, and link to \
         large data instead of sending it"
    );
    Error::new(ErrorCode::BodyTooLarge, detail)
}

fn parse_limit(limit: u32) -> Result<usize, Error> {
    match limit as usize {
        0 => Ok(PAGE_EVENTS_DEFAULT),
        limit if limit <= PAGE_EVENTS_MAX => Ok(limit),
        _ => Err(parameter_invalid(format!("`limit` is at most {PAGE_EVENTS_MAX}"))),
    }
}

fn parameter_invalid(detail: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorCode::ParameterInvalid, detail)
}

/// Refuses a list that would take far more memory than its text. Of protobuf this is a limit of the
/// decoder.
fn check_count(message: &[u8]) -> Result<(), Error> {
    #[derive(serde::Deserialize)]
    struct Lists {
        channels: Option<Elements<IgnoredAny>>,
        conditions: Option<Elements<IgnoredAny>>,
        events: Option<Elements<IgnoredAny>>,
    }
    // Whoever read it whole to tell what is wrong would fill its lists until there.
    let Lists { channels, conditions, events } =
        serde_json::from_slice(message).map_err(|error| invalid(Form::Json, &error))?;
    let mut lists = [channels, conditions, events].into_iter().flatten();
    lists.try_for_each(|list| list.in_bounds().map(drop))
}

#[cfg(test)]
mod tests;
