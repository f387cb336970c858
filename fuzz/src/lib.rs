//! What the fuzz targets share.

use tl_model::{Channel, Epoch, Event, LoggedEvent, Offset, Position};
use tl_wire::draft::Stamp;

/// Fills in the same every time, so that what is read twice is equal.
pub struct FixedStamp;

impl Stamp for FixedStamp {
    fn id(&self) -> String {
        "stamped".to_owned()
    }

    fn time(&self) -> String {
        "2026-01-31T12:00:00Z".to_owned()
    }
}

/// The channel that events are published to.
pub fn channel() -> Channel {
    Channel::parse("orders.eu").expect("a channel")
}

/// An event that the log has taken.
pub fn logged(event: Event) -> LoggedEvent {
    let (offset, previous) = (Offset::new(2), Offset::FIRST);
    LoggedEvent { offset, previous, logged_at_ms: 0, channel: channel(), event }
}

/// A place in the log.
pub fn position(offset: Offset) -> Position {
    Position { epoch: Epoch::from_random(16), offset }
}

/// Takes a stream and where to cut it out of one input: a count, so many sizes of pieces, then the
/// stream. The sizes repeat until the stream ends; without any it stays whole.
pub fn cut(input: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let Some((count, rest)) = input.split_first() else {
        return (input, vec![input]);
    };
    let count = usize::from(*count % SIZES_LIMIT).min(rest.len());
    let (sizes, stream) = rest.split_at(count);
    if sizes.is_empty() {
        return (stream, vec![stream]);
    }
    (stream, pieces(stream, sizes))
}

fn pieces<'a>(stream: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        // A piece of nothing would never come to the end.
        let (piece, after) = rest.split_at(usize::from(*size).clamp(1, rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Few sizes are enough to cut anywhere, and leave more of the input to the stream.
const SIZES_LIMIT: u8 = 8;
