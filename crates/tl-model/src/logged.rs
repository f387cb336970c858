use crate::channel::Channel;
use crate::event::Event;
use crate::position::Offset;

/// What the log says of an event it has taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// The event's own place.
    pub offset: Offset,
    /// The place of the event before it in the same channel; `START` for a channel's first.
    pub previous: Offset,
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
