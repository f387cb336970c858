//! A page of events over plain HTTP.

mod protobuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use tl_model::{Gap, LoggedEvent, Offset, Position};

use crate::draft::{Draft, ReceiveError, Received};
use crate::json;

pub use protobuf::read_protobuf;

/// The media type of [`Page::write`].
pub const JSON: &str = "application/json";
/// The media type of [`Page::write_lines`].
pub const NDJSON: &str = "application/x-ndjson";
/// The media type of [`Page::write_batch`].
pub const CLOUDEVENTS_BATCH: &str = "application/cloudevents-batch+json";

/// The media type of [`Page::write_protobuf`].
pub const PROTOBUF: &str = "application/protobuf";

/// Events with the place to go on from.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Events missed for good, before these.
    pub gap: Option<Gap>,
    /// The events, each with its place.
    pub events: &'a [(Offset, &'a LoggedEvent)],
    /// Where the next page begins; its epoch is that of every event.
    pub next: Position,
    /// Whether the log had nothing more when the page was made.
    pub caught_up: bool,
}

impl Page<'_> {
    /// `{"cursor":…,"caughtUp":…,"events":[…]}`.
    pub fn write(&self) -> Vec<u8> {
        let mut body = Vec::from(*b"{\"cursor\":\"");
        body.extend_from_slice(self.next.cursor().as_bytes());
        body.extend_from_slice(if self.caught_up { b"\",\"caughtUp\":true" } else { b"\"" });
        if let Some(gap) = self.gap {
            body.extend_from_slice(b",\"gap\":");
            body.extend_from_slice(&gap_json(gap, self.next));
        }
        body.extend_from_slice(b",\"events\":");
        self.write_array(&mut body);
        body.push(b'}');
        body
    }

    /// A JSON array of events (CloudEvents JSON 1.0.2 §4).
    pub fn write_batch(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.write_array(&mut body);
        body
    }

    /// One event a line.
    pub fn write_lines(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (offset, event) in self.events {
            body.extend_from_slice(&self.event(*offset, event));
            body.push(b'\n');
        }
        body
    }

    fn write_array(&self, body: &mut Vec<u8>) {
        body.push(b'[');
        for (index, (offset, event)) in self.events.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&self.event(*offset, event));
        }
        body.push(b']');
    }

    fn event(&self, offset: Offset, event: &LoggedEvent) -> Vec<u8> {
        json::delivered(event, Position { offset, ..self.next }, None)
    }
}

/// `{"after":…,"cursor":…}`: where reading had been, and where it goes on. `log` is any position in
/// the same log.
pub fn gap_json(gap: Gap, log: Position) -> Vec<u8> {
    let cursor = |offset| Position { offset, ..log }.cursor();
    let (after, through) = (cursor(gap.after), cursor(gap.through));
    format!("{{\"after\":\"{after}\",\"cursor\":\"{through}\"}}").into_bytes()
}

/// A page as a client received it.
#[derive(Clone, Debug)]
pub struct ReceivedPage {
    /// Events missed for good: where reading had been, and where it goes on.
    pub gap: Option<(Position, Position)>,
    /// The events.
    pub events: Vec<Received>,
    /// Where the next page begins.
    pub next: Position,
    /// Whether the log had nothing more when the page was made.
    pub caught_up: bool,
}

/// Why a body is not a page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Not the JSON of a page.
    #[error("the page is not legal: {0}")]
    Json(#[from] serde_json::Error),
    /// Not the message of a page.
    #[error("the page is not legal: {0}")]
    Protobuf(#[from] buffa::DecodeError),
    /// A cursor that is none.
    #[error("the page has an illegal cursor")]
    Cursor,
    /// An event that is none.
    #[error(transparent)]
    Event(#[from] ReceiveError),
}

/// Reads what [`Page::write`] wrote.
pub fn read(body: &[u8]) -> Result<ReceivedPage, PageError> {
    let page: PageJson<'_> = serde_json::from_slice(body)?;
    let position = |cursor: &str| cursor.parse().map_err(|_| PageError::Cursor);
    let gap = match page.gap {
        Some(gap) => Some((position(&gap.after)?, position(&gap.cursor)?)),
        None => None,
    };
    let received = |raw: &&RawValue| -> Result<Received, PageError> {
        Ok(serde_json::from_str::<Draft>(raw.get())?.receive()?)
    };
    let events = page.events.iter().map(received).collect::<Result<_, _>>()?;
    Ok(ReceivedPage { gap, events, next: position(&page.cursor)?, caught_up: page.caught_up })
}

/// Reads what [`gap_json`] wrote: where reading had been, and where it goes on.
pub fn read_gap(json: &[u8]) -> Result<(Position, Position), PageError> {
    let gap: GapJson = serde_json::from_slice(json)?;
    let position = |cursor: &str| cursor.parse().map_err(|_| PageError::Cursor);
    Ok((position(&gap.after)?, position(&gap.cursor)?))
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct PageJson<'a> {
    cursor: String,
    #[serde(default)]
    caught_up: bool,
    gap: Option<GapJson>,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize, Serialize)]
struct GapJson {
    after: String,
    cursor: String,
}

#[cfg(test)]
mod tests {
    use tl_model::{Channel, Epoch, Event};

    use super::*;

    fn logged(offset: u64) -> LoggedEvent {
        let event = Event::builder("1", "/s", "t").data(b"[\n1]").build().expect("legal");
        let channel = Channel::parse("a").expect("channel");
        let offset = Offset::new(offset);
        LoggedEvent { offset, previous: Offset::START, logged_at_ms: 0, channel, event }
    }

    fn position(offset: u64) -> Position {
        Position { epoch: Epoch::from_random(16), offset: Offset::new(offset) }
    }

    #[test]
    fn a_page_comes_back_as_it_was_in_both_forms() {
        let (first, second) = (logged(3), logged(5));
        let events = [(first.offset, &first), (second.offset, &second)];
        let gap = Some(Gap { after: Offset::new(1), through: Offset::new(2) });
        let page = Page { gap, events: &events, next: position(5), caught_up: true };
        let forms = [read(&page.write()), read_protobuf(&page.write_protobuf())];
        for read in forms {
            let read = read.expect("reads");
            assert_eq!(read.gap, Some((position(1), position(2))));
            assert_eq!((read.next, read.caught_up), (position(5), true));
            let places = read.events.iter().map(|event| event.at).collect::<Vec<_>>();
            assert_eq!(places, [position(3), position(5)]);
            assert_eq!(read.events[0].event, first.event);
        }
    }

    #[test]
    fn an_empty_page_is_short() {
        let page = Page { gap: None, events: &[], next: position(5), caught_up: false };
        assert_eq!(page.write(), br#"{"cursor":"100000000000115","events":[]}"#);
        assert_eq!(page.write_protobuf(), b"\x12\x0f100000000000115");
        assert_eq!(page.write_batch(), b"[]");
        assert_eq!(page.write_lines(), b"");
    }

    #[test]
    fn lines_hold_one_event_each() {
        let (first, second) = (logged(3), logged(5));
        let events = [(first.offset, &first), (second.offset, &second)];
        let page = Page { gap: None, events: &events, next: position(5), caught_up: true };
        let lines = String::from_utf8(page.write_lines()).expect("text");
        let read: Vec<Draft> =
            lines.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        assert_eq!(read.len(), 2);
    }
}
