//! What a pass over a store has found.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use tl_model::{Channel, Epoch, LoggedEvent, Offset};

/// What a store holds, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The identity of the log.
    pub epoch: Epoch,
    /// Segments that have been begun.
    pub segments: u64,
    /// Whole batches.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of the events' data.
    pub data_bytes: u64,
    /// Bytes of all files of the journal.
    pub disk_bytes: u64,
    /// What each channel has.
    pub channels: HashMap<Channel, ChannelReport>,
    /// The places of the first and the last event.
    pub offsets: Option<(Offset, Offset)>,
    /// When the oldest and the newest event were logged, in milliseconds since 1970.
    pub logged_at_ms: Option<(u64, u64)>,
    /// Where the torn end of a power loss begins. It holds nothing that was synced, and is cut off
    /// when a server opens the store.
    pub torn: Option<Torn>,
    /// What was synced and cannot be read, in order.
    pub damage: Vec<Damage>,
}

/// What a channel has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChannelReport {
    /// How many events.
    pub events: u64,
    /// Bytes of their data.
    pub data_bytes: u64,
}

/// Where a torn end begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Torn {
    /// The file.
    pub segment: String,
    /// The place in it.
    pub position: u64,
}

/// One piece of damage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The file.
    pub segment: String,
    /// The place in it from which on it cannot be read.
    pub position: u64,
    /// The offsets that are lost with it; some of them may never have held an event. Empty if all
    /// events could be read all the same; up to the highest number if nobody can tell how many.
    pub offsets: Range<Offset>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// The ways in which a store is damaged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DamageKind {
    /// A checksum does not match, or a batch does not follow the one before it.
    Batch,
    /// The segment belongs to another log.
    Foreign,
    /// The header of the segment is not what was written.
    Header,
    /// The file is gone.
    Missing,
    /// The operating system cannot read the file.
    Unreadable(String),
}

impl Report {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            segments: 0,
            batches: 0,
            events: 0,
            data_bytes: 0,
            disk_bytes: 0,
            channels: HashMap::new(),
            offsets: None,
            logged_at_ms: None,
            torn: None,
            damage: Vec::new(),
        }
    }

    /// Whether a server can open the store and every synced event is there.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    pub(crate) fn count(&mut self, event: &LoggedEvent) {
        let data_bytes = event.event.data().map_or(0, |data| data.len() as u64);
        self.events += 1;
        self.data_bytes += data_bytes;
        let (offset, at) = (event.offset, event.logged_at_ms);
        self.offsets = Some((self.offsets.map_or(offset, |(first, _)| first), offset));
        let (oldest, newest) = self.logged_at_ms.unwrap_or((at, at));
        self.logged_at_ms = Some((oldest.min(at), newest.max(at)));
        if !self.channels.contains_key(&event.channel) {
            // A copy of its own: the name is part of the whole segment.
            let name = Channel::parse(event.channel.as_str()).expect("it is a name already");
            self.channels.insert(name, ChannelReport::default());
        }
        let channel = self.channels.get_mut(&event.channel).expect("it has just been added");
        channel.events += 1;
        channel.data_bytes += data_bytes;
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, position, offsets, kind } = self;
        match kind {
            DamageKind::Batch => write!(f, "{segment} is damaged from byte {position} on")?,
            DamageKind::Foreign => write!(f, "{segment} belongs to another log")?,
            DamageKind::Header => write!(f, "{segment} has a damaged header")?,
            DamageKind::Missing => write!(f, "{segment} is missing")?,
            DamageKind::Unreadable(why) => write!(f, "{segment} cannot be read ({why})")?,
        }
        match (offsets.start, offsets.end) {
            (start, end) if start >= end => write!(f, "; no event is lost with it"),
            (start, end) if end.get() == u64::MAX => write!(f, "; lost: offsets from {start} on"),
            (start, end) => write!(f, "; lost: offsets {start} to {}", end.previous()),
        }
    }
}
