//! Several events in one body.

use std::fmt;
use std::marker::PhantomData;

use buffa::{DecodeError, DecodeOptions, Message};
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use tl_model::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use tl_model::{Error, ErrorCode};

use crate::draft::Draft;
use crate::frame::ELEMENTS_BYTES_MAX;
use crate::generated::throughline::v1 as contract;
use crate::json;

/// Reads a JSON array of events (CloudEvents JSON 1.0.2 §4). An element that is no event fails
/// alone.
///
/// # Errors
///
/// `event_invalid` if it is no array, `batch_too_large`.
pub fn read_array(body: &[u8]) -> Result<Vec<Result<Draft, Error>>, Error> {
    let elements: Elements<&RawValue> = serde_json::from_slice(body).map_err(invalid)?;
    let read = |element: &&RawValue| json::read(element.get().as_bytes()).map_err(invalid);
    Ok(elements.in_bounds()?.iter().map(read).collect())
}

/// Reads one event a line; empty lines are passed over. A line that is no event fails alone.
///
/// # Errors
///
/// `batch_too_large`.
pub fn read_lines(body: &[u8]) -> Result<Vec<Result<Draft, Error>>, Error> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.take(BATCH_EVENTS_MAX + 1).collect();
    if lines.len() > BATCH_EVENTS_MAX {
        return Err(too_large());
    }
    Ok(lines.into_iter().map(|line| json::read(line).map_err(invalid)).collect())
}

/// Reads the message `throughline.v1.Publish`. Its channel is that of every event that names none.
///
/// # Errors
///
/// `event_invalid` if it is no such message, `batch_too_large`.
pub fn read_publish(body: &Bytes) -> Result<contract::Publish, Error> {
    let options = DecodeOptions::new().with_element_memory_limit(ELEMENTS_BYTES_MAX);
    let publish = options.decode(&mut body.clone());
    let mut publish: contract::Publish = publish.map_err(|error| match error {
        DecodeError::ElementMemoryLimitExceeded => too_large(),
        error => {
            let detail = format!("the body is not a message `throughline.v1.Publish`: {error}");
            Error::new(ErrorCode::EventInvalid, detail)
        }
    })?;
    if publish.events.len() > BATCH_EVENTS_MAX {
        return Err(too_large());
    }
    if !publish.channel.is_empty() {
        for draft in &mut publish.events {
            draft.channel.get_or_insert_with(|| publish.channel.clone());
        }
    }
    Ok(publish)
}

/// Writes what [`read_publish`] reads, as a client.
pub fn write_publish(publish: &contract::Publish) -> Vec<u8> {
    publish.encode_to_vec()
}

/// The error for a batch that is larger than anybody publishes at once.
pub(crate) fn too_large() -> Error {
    let detail =
        format!("a batch has at most {BATCH_EVENTS_MAX} events and {BATCH_BYTES_MAX} bytes");
    Error::new(ErrorCode::BatchTooLarge, detail)
}

/// The elements of an array, as many as a batch may have. An element takes far more memory than the
/// two bytes it may be written in, so those beyond are passed over.
pub(crate) struct Elements<T> {
    elements: Vec<T>,
    are_too_many: bool,
}

impl<T> Elements<T> {
    /// The elements, if there are no more than there may be.
    pub(crate) fn in_bounds(self) -> Result<Vec<T>, Error> {
        if self.are_too_many { Err(too_large()) } else { Ok(self.elements) }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Elements<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor(PhantomData))
    }
}

struct ElementsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ElementsVisitor<T> {
    type Value = Elements<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Elements<T>, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < BATCH_EVENTS_MAX {
            match array.next_element()? {
                Some(element) => elements.push(element),
                None => return Ok(Elements { elements, are_too_many: false }),
            }
        }
        let mut are_too_many = false;
        while array.next_element::<IgnoredAny>()?.is_some() {
            are_too_many = true;
        }
        Ok(Elements { elements, are_too_many })
    }
}

fn invalid(error: serde_json::Error) -> Error {
    Error::new(ErrorCode::EventInvalid, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(drafts: Result<Vec<Result<Draft, Error>>, Error>) -> Vec<String> {
        let id = |draft: Result<Draft, _>| match draft {
            Ok(draft) => draft.id.unwrap_or_default(),
            Err(_) => "error".to_owned(),
        };
        drafts.expect("a batch").into_iter().map(id).collect()
    }

    #[test]
    fn elements_that_are_no_events_fail_alone() {
        let array = br#"[{"id":"1"}, 7, {"id":"2"}]"#;
        assert_eq!(ids(read_array(array)), ["1", "error", "2"]);
        let lines = b"{\"id\":\"1\"}\r\n\n nonsense\n{\"id\":\"2\"}";
        assert_eq!(ids(read_lines(lines)), ["1", "error", "2"]);
        assert!(read_array(b"{}").is_err());
        assert!(read_array(b"[{}").is_err());
    }

    #[test]
    fn a_message_is_bounded_while_it_is_read() {
        let read = |count: usize| {
            // So many empty events.
            let body = Bytes::from(b"\x1a\x00".repeat(count));
            read_publish(&body).map(|publish| publish.events.len()).map_err(|error| error.code)
        };
        assert_eq!(read(BATCH_EVENTS_MAX), Ok(BATCH_EVENTS_MAX));
        assert_eq!(read(BATCH_EVENTS_MAX + 1), Err(ErrorCode::BatchTooLarge));
        assert_eq!(read(BATCH_BYTES_MAX / 2), Err(ErrorCode::BatchTooLarge));
        let nonsense = read_publish(&Bytes::from_static(b"nonsense"));
        assert_eq!(nonsense.expect_err("refused").code, ErrorCode::EventInvalid);
    }

    #[test]
    fn a_batch_is_bounded_before_it_is_read() {
        let read = |count: usize| {
            let array = format!("[{}]", vec!["7"; count].join(","));
            [read_array(array.as_bytes()), read_lines("7\n".repeat(count).as_bytes())]
        };
        for batch in read(BATCH_EVENTS_MAX) {
            assert_eq!(batch.expect("in bounds").len(), BATCH_EVENTS_MAX);
        }
        for batch in read(BATCH_EVENTS_MAX + 1) {
            assert_eq!(batch.expect_err("too many").code, ErrorCode::BatchTooLarge);
        }
    }
}
