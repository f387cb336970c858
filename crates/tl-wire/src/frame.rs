//! The frames of the two-way protocol in their two forms.
//!
//! The server reads what clients say with [`read_client`] and writes what it says with
//! [`write_server`], sharing the bytes of events between all who get them. A client uses the
//! generated messages themselves, through [`write_client`] and [`read_server`].

pub(crate) mod from_client;
pub(crate) mod from_server;

use buffa::{DecodeOptions, Message};
use serde::de::IgnoredAny;

use tl_model::limits::{BATCH_EVENTS_MAX, FRAME_BYTES_MAX};
use tl_model::{Error, ErrorCode, Form, SelectionError};
use tl_protocol::frame::ClientFrame;

use crate::batch::Elements;
use crate::draft::Stamp;
use crate::generated::throughline::v1 as contract;

pub use from_client::{parse_conditions, parse_key};
pub use from_server::{write_events, write_server};

/// Reads a frame of a client.
///
/// # Errors
///
/// `frame_invalid` with what is wrong with it, or a more precise code where a field names something
/// that cannot be, such as a channel or a cursor.
pub fn read_client(form: Form, message: &[u8], stamp: &dyn Stamp) -> Result<ClientFrame, Error> {
    if message.len() > FRAME_BYTES_MAX {
        return Err(too_large());
    }
    if form == Form::Json && message.len() > UNCOUNTED_BYTES_MAX {
        check_count(message)?;
    }
    from_client::parse(decode(form, message)?, stamp)
}

/// Writes a frame as a client.
pub fn write_client(form: Form, frame: &contract::ClientFrame) -> Vec<u8> {
    encode(form, frame)
}

/// Reads a frame of the server.
///
/// # Errors
///
/// `frame_invalid`: the server, or something on the way, does not keep to the contract.
pub fn read_server(form: Form, message: &[u8]) -> Result<contract::ServerFrame, Error> {
    decode(form, message)
}

/// The error for a frame that is larger than anybody reads.
pub fn too_large() -> Error {
    let detail = format!(
        "a frame has at most {FRAME_BYTES_MAX} bytes; publish at most {BATCH_EVENTS_MAX} events \
         at once, and link to large data instead of sending it"
    );
    Error::new(ErrorCode::FrameTooLarge, detail)
}

/// Refuses a list that would take far more memory than its text. Of protobuf this is a limit of the
/// decoder.
fn check_count(message: &[u8]) -> Result<(), Error> {
    #[derive(serde::Deserialize)]
    struct Frame {
        publish: Option<Publish>,
        subscribe: Option<Subscribe>,
    }
    #[derive(serde::Deserialize)]
    struct Publish {
        events: Option<Elements<IgnoredAny>>,
        conditions: Option<Elements<IgnoredAny>>,
    }
    #[derive(serde::Deserialize)]
    struct Subscribe {
        channels: Option<Elements<IgnoredAny>>,
    }
    // Whoever read it whole to tell what is wrong would fill its lists until there.
    let Frame { publish, subscribe } =
        serde_json::from_slice(message).map_err(|error| invalid(Form::Json, &error))?;
    let channels = subscribe.and_then(|subscribe| subscribe.channels);
    if channels.is_some_and(|channels| channels.in_bounds().is_err()) {
        let detail = SelectionError::TooMany.to_string();
        return Err(Error::new(ErrorCode::SelectionInvalid, detail));
    }
    let Some(Publish { events, conditions }) = publish else { return Ok(()) };
    let mut lists = [events, conditions].into_iter().flatten();
    lists.try_for_each(|list| list.in_bounds().map(drop))
}

fn decode<M>(form: Form, message: &[u8]) -> Result<M, Error>
where
    M: Message + serde::de::DeserializeOwned,
{
    decode_message(form, message).map_err(|error| invalid(form, &error))
}

fn invalid(form: Form, error: &dyn std::fmt::Display) -> Error {
    let detail = format!("the frame is not valid {}: {error}", form.name());
    Error::new(ErrorCode::FrameInvalid, detail)
}

/// Reads a message whose lists take no more memory than those of the largest batch.
pub(crate) fn decode_message<M>(form: Form, message: &[u8]) -> Result<M, DecodeMessageError>
where
    M: Message + serde::de::DeserializeOwned,
{
    match form {
        Form::Json => Ok(serde_json::from_slice(message)?),
        Form::Protobuf => {
            let options = DecodeOptions::new().with_element_memory_limit(ELEMENTS_BYTES_MAX);
            Ok(options.decode_from_slice(message)?)
        }
    }
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeMessageError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Protobuf(#[from] buffa::DecodeError),
}

pub(crate) fn encode<M: Message + serde::Serialize>(form: Form, message: &M) -> Vec<u8> {
    match form {
        // The messages hold nothing that JSON cannot express.
        Form::Json => serde_json::to_vec(message).unwrap_or_default(),
        Form::Protobuf => message.encode_to_vec(),
    }
}

/// What the lists of a frame may take in memory once it is decoded: twice what the largest batch does
/// whose events have all the extensions they may.
pub(crate) const ELEMENTS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// No list in a frame in JSON that is no longer takes much memory.
pub(crate) const UNCOUNTED_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
