use crate::channel::Channel;
use crate::event::Event;
use crate::position::Offset;

/// An event on its way into the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewEvent {
    /// Where to.
    pub channel: Channel,
    /// What.
    pub event: Event,
}

/// What the log says of an event it has taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// The event's own place.
    pub offset: Offset,
    /// The place of the event before it in the same channel; `START` for a channel's first.
    pub previous: Offset,
}

/// A part of the log that is no longer there: events behind `after`, up to and including `through`,
/// were trimmed before they were read. Not every offset in between need have held an event that the
/// reader wanted, but at least one may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap {
    /// The place the reader had reached.
    pub after: Offset,
    /// The place behind which reading goes on.
    pub through: Offset,
}

/// An event in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoggedEvent {
    /// Its place.
    pub offset: Offset,
    /// The place of the event before it in the same channel; `START` for a channel's first. It
    /// outlives that event, so a reader can tell that something was trimmed.
    pub previous: Offset,
    /// When the log took it, in milliseconds since 1970.
    pub logged_at_ms: u64,
    /// Where it was published.
    pub channel: Channel,
    /// What was published.
    pub event: Event,
}

impl LoggedEvent {
    /// What the event costs in memory and in limits counted in bytes.
    pub fn cost(&self) -> usize {
        self.event.encoded().len() + self.channel.as_str().len() + size_of::<Self>()
    }
}
