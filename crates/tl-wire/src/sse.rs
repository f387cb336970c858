//! Server-Sent Events (HTML Living Standard §9.2, `text/event-stream`).
//!
//! Every block has an id, and the id is a cursor, so the browser's own EventSource resumes by itself.
//! An event is a block without a name, whose data is the event in the CloudEvents JSON format on one
//! line. Blocks with a name say something about the stream:
//!
//! | name | data |
//! | --- | --- |
//! | `caught-up` | `{"cursor":…}`: all there was has been delivered, what follows is live |
//! | `gap` | `{"after":…,"cursor":…}`: events were trimmed before they were read |
//! | `part`, `last-part` | a piece of the JSON of one large event; join the pieces |
//! | `problem` | an error in the form of RFC 9457; the stream ends |
//!
//! A heartbeat is a comment and an id without data: it dispatches nothing but moves the id on.

mod parser;

use std::time::Duration;

use tl_model::limits::SSE_EVENT_BYTES_MAX;
use tl_model::{Error, Form, Gap, Position, SharedEvent};

use crate::outbox::Outbox;
use crate::{json, page, problem};

pub use parser::{Block, Joiner, Parser, TooLong};

/// The media type.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// What becomes of events larger than [`SSE_EVENT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Large {
    /// Sent in parts.
    #[default]
    Split,
    /// Sent without data, with the attribute `dataref` saying where to get it.
    Reference,
}

/// Writes an event.
pub fn event(
    out: &mut Outbox,
    shared: &SharedEvent,
    at: Position,
    previous: Position,
    large: Large,
) {
    let body = shared.form(Form::Json, json::body);
    if body.len() + PLACES_BYTES_MAX > SSE_EVENT_BYTES_MAX {
        return match large {
            Large::Split => split(out, shared, at, previous),
            Large::Reference => reference(out, shared, at, previous),
        };
    }
    id(out, at);
    out.put(b"data: ");
    out.put_with(|buffer| json::places(buffer, at, Some(previous)));
    out.put_shared(body);
    out.put(b"\n\n");
}

/// Tells that all there was has been delivered.
pub fn caught_up(out: &mut Outbox, at: Position) {
    let data = format!("{{\"cursor\":\"{}\"}}", at.cursor());
    named(out, "caught-up", at, data.as_bytes());
}

/// Tells that events are gone.
pub fn gap(out: &mut Outbox, gap: Gap, log: Position) {
    let through = Position { offset: gap.through, ..log };
    named(out, "gap", through, &page::gap_json(gap, log));
}

/// Shows that the stream is alive, and moves the client's id on without waking it.
pub fn heartbeat(out: &mut Outbox, at: Position) {
    out.put(b": heartbeat\n");
    id(out, at);
    out.put(b"\n");
}

/// Says how long to wait before reconnecting.
pub fn retry(out: &mut Outbox, wait: Duration) {
    out.put(format!("retry: {}\n\n", wait.as_millis()).as_bytes());
}

/// Tells why the stream ends.
pub fn failure(out: &mut Outbox, error: &Error, status: u16, at: Position) {
    named(out, "problem", at, &problem::write(error, status));
}

/// Only the last part carries the event's own cursor: a client that is cut off in between gets the
/// whole event again.
fn split(out: &mut Outbox, shared: &SharedEvent, at: Position, previous: Position) {
    let json = json::delivered(shared.logged(), at, Some(previous));
    let mut rest = std::str::from_utf8(&json).unwrap_or_default();
    while rest.len() > SSE_EVENT_BYTES_MAX {
        let (part, after) = rest.split_at(rest.floor_char_boundary(SSE_EVENT_BYTES_MAX));
        named(out, "part", previous, part.as_bytes());
        rest = after;
    }
    named(out, "last-part", at, rest.as_bytes());
}

fn reference(out: &mut Outbox, shared: &SharedEvent, at: Position, previous: Position) {
    let reference = format!("/v1/events/{}", at.cursor());
    let json = json::delivered_by_reference(shared.logged(), at, Some(previous), &reference);
    id(out, at);
    out.put(b"data: ");
    out.put(&json);
    out.put(b"\n\n");
}

fn named(out: &mut Outbox, name: &str, at: Position, data: &[u8]) {
    id(out, at);
    out.put(b"event: ");
    out.put(name.as_bytes());
    out.put(b"\ndata: ");
    out.put(data);
    out.put(b"\n\n");
}

fn id(out: &mut Outbox, at: Position) {
    out.put(b"id: ");
    out.put(at.cursor().as_bytes());
    out.put(b"\n");
}

/// More than the two cursors and their names take.
const PLACES_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use tl_model::{Channel, Epoch, ErrorCode, Event, LoggedEvent, Offset};

    use super::*;
    use crate::draft::Draft;

    fn position(offset: u64) -> Position {
        Position { epoch: Epoch::from_random(16), offset: Offset::new(offset) }
    }

    fn shared(data: &[u8]) -> SharedEvent {
        let event = Event::builder("1", "/s", "t").data_content_type("text/plain").data(data);
        let event = event.build().expect("legal");
        let channel = Channel::parse("a").expect("channel");
        let (offset, previous) = (Offset::new(2), Offset::START);
        SharedEvent::new(LoggedEvent { offset, previous, logged_at_ms: 0, channel, event })
    }

    fn written(write: impl FnOnce(&mut Outbox)) -> String {
        let mut out = Outbox::new();
        write(&mut out);
        String::from_utf8(out.take_all().to_vec()).expect("text")
    }

    #[test]
    fn an_event_is_an_id_and_one_line_of_json() {
        let text =
            written(|out| event(out, &shared(b"x\ny"), position(2), position(1), Large::Split));
        let expected = concat!(
            "id: 100000000000112\n",
            "data: {\"cursor\":\"100000000000112\",\"previous\":\"100000000000111\",",
            "\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",",
            "\"datacontenttype\":\"text/plain\",\"channel\":\"a\",\"data\":\"x\\ny\"}\n\n",
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn everything_else_has_a_name_or_wakes_nobody() {
        assert_eq!(
            written(|out| heartbeat(out, position(2))),
            ": heartbeat\nid: 100000000000112\n\n"
        );
        assert_eq!(written(|out| retry(out, Duration::from_secs(2))), "retry: 2000\n\n");
        assert_eq!(
            written(|out| caught_up(out, position(2))),
            "id: 100000000000112\nevent: caught-up\ndata: {\"cursor\":\"100000000000112\"}\n\n"
        );
        let trimmed = Gap { after: Offset::new(1), through: Offset::new(2) };
        let text = written(|out| gap(out, trimmed, position(9)));
        assert!(text.starts_with("id: 100000000000112\nevent: gap\ndata: {\"after\":"), "{text}");
        let error = Error::new(ErrorCode::StoreFailed, "x");
        let text = written(|out| failure(out, &error, 503, position(2)));
        assert!(text.contains("event: problem\ndata: {\"type\":"), "{text}");
    }

    #[test]
    fn a_large_event_is_sent_in_parts_that_fit() {
        let data = "ü€".repeat(SSE_EVENT_BYTES_MAX / 2);
        let shared = shared(data.as_bytes());
        let text = written(|out| event(out, &shared, position(2), position(1), Large::Split));
        let longest = text.lines().map(str::len).max();
        assert!(longest <= Some("data: ".len() + SSE_EVENT_BYTES_MAX), "{longest:?}");
        let mut parser = Parser::new();
        parser.feed(text.as_bytes()).expect("short lines");
        let mut joiner = Joiner::default();
        let blocks: Vec<_> = std::iter::from_fn(|| parser.next_block()).collect();
        let ids: Vec<_> = blocks.iter().map(|block| block.id.clone()).collect();
        let (last, parts) = ids.split_last().expect("blocks");
        assert!(parts.len() >= 2 && parts.iter().all(|id| **id == *position(1).cursor()));
        assert_eq!(**last, *position(2).cursor());
        let joined: Vec<_> = blocks.into_iter().filter_map(|block| joiner.join(block)).collect();
        assert_eq!(joined.len(), 1);
        let draft: Draft = serde_json::from_str(&joined[0].data).expect("an event");
        assert_eq!(draft.data.as_deref(), Some(data.as_bytes()));
    }

    #[test]
    fn a_large_event_can_be_a_reference() {
        let shared = shared(&vec![b'x'; SSE_EVENT_BYTES_MAX]);
        let text = written(|out| event(out, &shared, position(2), position(1), Large::Reference));
        assert!(text.contains("\"dataref\":\"/v1/events/100000000000112\"}"), "{text}");
    }
}
