//! The store contract: what the engine may rely on, whatever keeps the log.
//!
//! [`LogStore`] is the contract, [`conformance`] the suite that every store passes, and
//! [`MemoryStore`] the simplest store that does.

#[cfg(feature = "conformance")]
pub mod conformance;
mod memory;

use std::pin::Pin;

use tl_model::{
    Appended, Channel, Durability, Epoch, Gap, LoggedEvent, NewEvent, Offset, Rules, Selection,
};

pub use memory::MemoryStore;

/// A future that is at home on any thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One durable, ordered log of events of many channels.
///
/// ```text
///             trimmed     kept                          not yet
///            ┌──────────┬──────────────────────────────┬ ─ ─ ─ ─
///   offsets  │ 1 2 3 4  │ 5   6   7   9   10   11   12 │ 13
///            └──────────┴──────────────────────────────┴ ─ ─ ─ ─
///                         head                           tail
/// ```
///
/// # What every store keeps
///
/// - **Order.** Offsets rise strictly in the order of the calls to [`append`](Self::append), and
///   within a batch in the order of its events. They start at 1. The store may skip some, but not
///   within a batch.
/// - **One writer.** The engine calls `append` from one place and waits for each call to end before
///   it makes the next. Every other method may be called at any time from anywhere.
/// - **Durability.** When `append` returns, the batch is as safe as its [`Durability`] says, and so
///   is every batch before it that asked for no more than that. A batch is atomic: after a crash
///   either all its events are there or none.
/// - **Visible means kept.** An event is read only after its `append` returned. An event once read
///   at an offset is that event for ever; no offset is given out twice, not even one lost with
///   weaker durability.
/// - **Reading is exact.** [`read`](Self::read) returns the kept events of the selection, all of
///   them, in order, up to its limit, or says what was trimmed. A failed checksum is an error, never
///   a shorter answer.
/// - **Fail stop.** After a failure to write or sync, every later `append` fails, until the store is
///   opened anew; reading goes on.
pub trait LogStore: Send + Sync + 'static {
    /// The identity of this log, unchanged for as long as it exists.
    fn epoch(&self) -> Epoch;

    /// Where the log begins and ends right now. Cheap.
    fn bounds(&self) -> Bounds;

    /// Appends a batch and returns what became of each event, in order.
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>>;

    /// Reads what is kept of a selection behind an offset. The future stands on its own, so that a
    /// reader can keep it while it does something else.
    fn read(&self, read: Read) -> BoxFuture<'static, Result<Page, ReadError>>;

    /// The last event logged in a channel, also when it has been trimmed since; `None` if the
    /// channel is unknown, or if all its events were trimmed so long ago that it was forgotten.
    fn last(&self, channel: &Channel) -> Option<LastLogged>;

    /// Lets go of what the rules no longer keep, as far as that is worth it. One caller at a time waits for
    /// it to end.
    fn trim(&self, rules: &Rules, now_ms: u64) -> BoxFuture<'_, Result<(), TrimError>>;

    /// Makes everything accepted so far as safe as `fsync` makes it.
    fn flush(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}

/// The oldest kept offset and the next to be written; equal while nothing is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// The oldest offset that may hold an event.
    pub head: Offset,
    /// The offset the next event will have, at the least.
    pub tail: Offset,
}

impl Bounds {
    /// The gap to tell a reader behind an offset, of whose selection events up to `trimmed_to` may have
    /// been trimmed. `next` is the place of the first event that is left for it; without one, where the
    /// page ends.
    ///
    /// There is none also while the next event follows right behind: whatever is missing is missing
    /// behind that, and a page must end there.
    pub fn gap(self, after: Offset, trimmed_to: Offset, next: Offset) -> Option<Gap> {
        let through = trimmed_to.max(self.head.previous()).min(next.previous());
        (trimmed_to > after && through > after).then_some(Gap { after, through })
    }
}

/// Events to append together, all or none.
#[derive(Clone, Debug)]
pub struct Batch {
    /// How safe the batch must be before `append` returns; not [`Durability::None`].
    pub durability: Durability,
    /// When the server took the events, in milliseconds since 1970.
    pub logged_at_ms: u64,
    /// At least one.
    pub events: Vec<NewEvent>,
}

/// What to read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Which channels.
    pub selection: Selection,
    /// Only events behind this offset.
    pub after: Offset,
    /// At most so many events.
    pub events_max: usize,
    /// Events until their [cost](LoggedEvent::cost) together reaches this; always at least one.
    pub bytes_max: usize,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Events that the reader may have missed for good, to be told before the events. What is left of
    /// the selection goes on behind it.
    pub gap: Option<Gap>,
    /// The gap speaks of all that is missing up to here, also between the events that follow it. Who has
    /// been told of it need not be told again.
    pub trimmed_to: Offset,
    /// The events, in order.
    pub events: Vec<LoggedEvent>,
    /// Nothing of the selection up to and including this offset is missing from the page.
    pub read_to: Offset,
    /// Whether the log had nothing more of the selection.
    pub reached_end: bool,
}

/// The last event a channel has had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LastLogged {
    /// Its place.
    pub offset: Offset,
    /// When it was logged, in milliseconds since 1970.
    pub logged_at_ms: u64,
}

/// Why a batch was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room for more. Nothing has stopped: once there is room, appending goes on.
    #[error("the disk is full")]
    Full,
    /// The log has stopped taking events because writing or syncing failed.
    #[error("the log has stopped: {0}")]
    Stopped(String),
}

/// Why a page could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Stored bytes are not what was written.
    #[error("the log is damaged at offset {offset}: {reason}")]
    Damaged {
        /// The first event that cannot be trusted.
        offset: Offset,
        /// What was found, for operators.
        reason: String,
    },
    /// The operating system would not read.
    #[error("the log cannot be read: {0}")]
    Io(String),
}

/// Why trimming failed. What was trimmed before stays trimmed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the log cannot be trimmed: {0}")]
pub struct TrimError(pub String);
