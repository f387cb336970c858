//! Where every kept event is.
//!
//! The oldest segments are [sealed](crate::sealed): their indexes are files. Those behind them, the
//! one that is being filled and those that wait to be sealed, are in [memory](crate::recent). What is
//! known of a channel as a whole is in the [heads](crate::heads).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use tl_model::{Channel, Offset, Pattern, Selection};
use tl_store::{Bounds, LastLogged, Read};

use crate::disk::DiskFile;
use crate::heads::{ChannelId, Head, Heads};
use crate::recent::Recent;
use crate::sealed::{ChannelEntry, Found, Sealed};
use crate::trimmed::Trimmed;

/// Everything readers need to find events, and the writer to link them.
#[derive(Default)]
pub(crate) struct Index {
    head: Offset,
    tail: Offset,
    heads: Heads,
    sealed: VecDeque<Arc<Sealed>>,
    recent: VecDeque<Recent>,
    /// What is missing behind the head.
    trimmed: Trimmed,
    /// How often segments were dropped or replaced.
    trims: u64,
    /// How many segments were dropped and are not forgotten yet.
    forgetting: usize,
    unwritten: Unwritten,
}

/// What the end of the last segment will hold once it is written.
#[derive(Default)]
struct Unwritten {
    position: u32,
    bytes: Vec<u8>,
}

/// The index, shared between the writer and all readers.
#[derive(Default)]
pub(crate) struct SharedIndex(RwLock<Index>);

impl SharedIndex {
    pub(crate) fn new(index: Index) -> Self {
        Self(RwLock::new(index))
    }

    // The index is never left half changed, so a panic of one thread need not stop the others.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where to look for the next events of a page.
pub(crate) enum Plan {
    /// In these segments, in order, before anything else.
    Sealed(Vec<Arc<Sealed>>),
    /// Here, and nowhere else. One more than fits into a page, if there is more.
    Recent {
        found: Vec<(Source, Found)>,
        /// Where the log ended.
        end: Offset,
    },
}

/// What of the log is there, at one moment, for one selection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct View {
    pub(crate) bounds: Bounds,
    /// The last offset that may be missing of the selection.
    pub(crate) trimmed_to: Offset,
    /// Differs as soon as something else is missing.
    pub(crate) trims: u64,
}

/// Where a record is.
#[derive(Clone)]
pub(crate) enum Source {
    Disk(Arc<dyn DiskFile>),
    Memory(Bytes),
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { head: Offset::FIRST, tail: Offset::FIRST, ..Self::default() }
    }

    // The writer's side

    /// Adds a segment behind all others. `follows` is where what came before it ended.
    pub(crate) fn push_segment(&mut self, number: u64, file: Arc<dyn DiskFile>, follows: Offset) {
        self.recent.push_back(Recent::new(number, file, follows));
    }

    /// The channel's id, and its last event.
    ///
    /// A channel that is not known may have been forgotten with all its events, so its first event
    /// names the end of what was trimmed as the one before it: readers are told of a gap rather than
    /// of none. So does the first event of any channel behind what was lost.
    pub(crate) fn link(&mut self, channel: &Channel) -> (ChannelId, Offset) {
        let unknown = self.missing_to(channel.as_str());
        let id = self.heads.find_or_add(channel.as_str(), unknown);
        let lost = self.trimmed.lost();
        let head = self.heads.head_mut(id);
        head.is_linked = true;
        (id, head.last.max(lost))
    }

    /// Adds an event behind all others.
    pub(crate) fn push(&mut self, channel: ChannelId, found: Found, previous: Offset, at_ms: u64) {
        let head = self.heads.head_mut(channel);
        if head.count == 0 || head.last != previous {
            head.trimmed_to = previous;
        }
        head.is_linked = false;
        head.count += 1;
        head.bytes += u64::from(found.length);
        head.last = found.offset;
        head.logged_at_ms = at_ms;
        let segment = self.recent.back_mut().expect("a segment is pushed before its events");
        segment.push(channel, found, previous);
        self.move_tail(found.offset, found.offset.next());
    }

    /// Moves the tail on, over offsets that may have been given out and lost.
    pub(crate) fn skip_to(&mut self, tail: Offset) {
        self.move_tail(tail, self.tail.max(tail));
    }

    /// Keeps readable what is not in the file yet: all of it, of which the beginning may be held
    /// already.
    pub(crate) fn hold_unwritten(&mut self, position: u32, bytes: &[u8]) {
        let held = self.unwritten.bytes.len();
        self.unwritten.position = position;
        self.unwritten.bytes.extend_from_slice(&bytes[held..]);
    }

    /// What was unwritten is in the file now.
    pub(crate) fn release_unwritten(&mut self) {
        self.unwritten = Unwritten::default();
    }

    // Sealing and trimming

    /// The oldest full segment that is not sealed, and where it ends.
    pub(crate) fn unsealed(&self) -> Option<(u64, Offset)> {
        let next = self.recent.get(1)?;
        self.recent.front().map(|segment| (segment.number, next.follows))
    }

    /// Takes the index file of the oldest segment in the place of what is in memory, and returns that:
    /// giving it back takes a while.
    #[must_use]
    pub(crate) fn seal(&mut self, sealed: Sealed) -> Option<Recent> {
        let is_next = self.unsealed().is_some_and(|(number, _)| number == sealed.number);
        is_next.then(|| self.sealed.push_back(Arc::new(sealed)))?;
        self.recent.pop_front()
    }

    /// Adds a segment behind all others whose index file was there already.
    pub(crate) fn push_sealed(&mut self, sealed: Sealed) {
        self.move_tail(sealed.follows, sealed.end);
        self.sealed.push_back(Arc::new(sealed));
    }

    /// Adds what a sealed segment has of a channel, behind what is known of it.
    pub(crate) fn push_entry(&mut self, entry: &ChannelEntry) {
        let id = self.heads.find_or_add(&entry.name, entry.previous);
        let head = self.heads.head_mut(id);
        if head.count > 0 && head.last != entry.previous {
            head.trimmed_to = entry.previous;
        }
        head.count += entry.count();
        head.bytes += entry.bytes;
        head.last = entry.last;
        head.logged_at_ms = entry.logged_at_ms;
    }

    /// Makes room for the heads of so many channels.
    pub(crate) fn reserve_heads(&mut self, channels: usize) {
        self.heads.reserve(channels);
    }

    /// Adds what a checkpoint says of a channel.
    pub(crate) fn push_head(&mut self, name: &str, head: Head) {
        self.heads.add(name, head);
    }

    /// The heads in some places as they were when the last sealed segment was full; `None` behind the
    /// last place.
    pub(crate) fn sealed_heads(&self, start: usize, count: usize) -> Option<Vec<(&str, Head)>> {
        let ids = self.heads.range(start..start + count);
        // A place that is free has no name any more.
        let heads = ids.filter_map(|id| self.sealed_head(id).map(|it| (self.heads.name(id), it)));
        (start < self.heads.len()).then(|| heads.collect())
    }

    /// A head without the events of the recent segments; `None` if it has no others.
    fn sealed_head(&self, id: ChannelId) -> Option<Head> {
        let mut head = self.heads.head(id).clone();
        for mentions in self.recent.iter().rev().filter_map(|segment| segment.mentions(id)) {
            head.count -= mentions.count();
            head.bytes -= mentions.bytes;
            // When that one was logged is not known here. Nobody asks: on opening, the recent segments
            // tell of later ones.
            head.last = mentions.previous;
        }
        head.is_linked = false;
        (head.count > 0).then_some(head)
    }

    /// How many channels there are, about.
    pub(crate) fn channels(&self) -> usize {
        self.heads.len()
    }

    /// All sealed segments, the oldest first.
    pub(crate) fn sealed(&self) -> Vec<Arc<Sealed>> {
        self.sealed.iter().cloned().collect()
    }

    /// The number of the last segment that has events.
    pub(crate) fn newest_with_events(&self) -> Option<u64> {
        let mut recent = self.recent.iter().rev();
        let recent = recent.find(|segment| segment.first().is_some());
        let sealed = || self.sealed.iter().rev().find(|segment| !segment.is_empty());
        recent.map(|segment| segment.number).or_else(|| sealed().map(|segment| segment.number))
    }

    /// Lets go of the oldest segments, up to and including this number. What the heads know of their
    /// events is to be [forgotten](Self::forget) afterwards.
    pub(crate) fn drop_segments(&mut self, through: u64) -> Vec<Arc<Sealed>> {
        let count = self.sealed.partition_point(|segment| segment.number <= through);
        let dropped: Vec<_> = self.sealed.drain(..count).collect();
        self.forgetting += dropped.len();
        let sealed = self.sealed.front().map(|segment| segment.follows);
        let recent = || self.recent.iter().find_map(Recent::first);
        self.head = sealed.or_else(recent).unwrap_or(self.tail);
        self.trimmed.forget_up_to(self.head.previous());
        self.trims += 1;
        dropped
    }

    /// Notes what is missing behind the head.
    pub(crate) fn note_trimmed(&mut self, trimmed: &Trimmed) {
        self.trimmed.merge(trimmed);
        self.trimmed.forget_up_to(self.head.previous());
        self.trims += 1;
    }

    /// Takes a sparse segment in the place of those that it stands for.
    pub(crate) fn replace(&mut self, sparse: Sealed) {
        let is_before = |segment: &Arc<Sealed>| segment.number < sparse.first_number;
        let start = self.sealed.partition_point(is_before);
        let end = self.sealed.partition_point(|segment| segment.number <= sparse.number);
        self.sealed.drain(start..end);
        self.sealed.insert(start, Arc::new(sparse));
        self.trims += 1;
    }

    /// Whether the heads still count events that were dropped.
    pub(crate) fn is_forgetting(&self) -> bool {
        self.forgetting > 0
    }

    /// All that a dropped segment had is forgotten.
    pub(crate) fn has_forgotten(&mut self) {
        self.forgetting -= 1;
    }

    /// Forgets events of a channel that are gone: so many, up to this one.
    pub(crate) fn forget(&mut self, channel: &str, count: u32, bytes: u64, last: Offset) {
        let Some(id) = self.heads.find(channel) else { return };
        let head = self.heads.head_mut(id);
        head.count -= count.min(head.count);
        head.bytes -= bytes.min(head.bytes);
        head.trimmed_to = head.trimmed_to.max(last);
        if head.count == 0 && !head.is_linked {
            self.heads.remove(id);
        }
    }

    /// What is known of a channel that has kept events.
    pub(crate) fn kept(&self, channel: &str) -> Option<&Head> {
        let head = self.heads.find(channel).map(|id| self.heads.head(id));
        head.filter(|head| head.count > 0)
    }

    // The readers' side

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { head: self.head, tail: self.tail }
    }

    pub(crate) fn last(&self, channel: &Channel) -> Option<LastLogged> {
        let head = self.kept(channel.as_str())?;
        Some(LastLogged { offset: head.last, logged_at_ms: head.logged_at_ms })
    }

    /// What of the log is there for a selection.
    pub(crate) fn view(&self, selection: &Selection) -> View {
        let trimmed_to = selection.patterns().iter().map(|pattern| self.trimmed_to(pattern));
        let trimmed_to = trimmed_to.max().unwrap_or_default();
        View { bounds: self.bounds(), trimmed_to, trims: self.trims }
    }

    /// Where to look for the next events of a page.
    pub(crate) fn plan(&self, read: &Read) -> Plan {
        let first = self.sealed.partition_point(|segment| segment.end <= read.after.next());
        let sealed: Vec<_> = self.sealed.range(first..).cloned().collect();
        match sealed.is_empty() {
            true => Plan::Recent { found: self.plan_recent(read), end: self.tail },
            false => Plan::Sealed(sealed),
        }
    }

    fn trimmed_to(&self, pattern: &Pattern) -> Offset {
        let head = pattern.channel().and_then(|channel| self.heads.find(channel.as_str()));
        let Some(head) = head.map(|id| self.heads.head(id)) else {
            return self.missing_to(pattern.as_str());
        };
        // What is missing before an event that is kept, that event tells; what is missing behind the
        // last one, only damage can be.
        let lost = self.trimmed.lost();
        let known = if lost > head.last { lost } else { head.trimmed_to };
        // Rather a gap too many for a moment than one too few.
        if self.is_forgetting() { known.max(self.head.previous()) } else { known }
    }

    /// The last offset that may be missing of a pattern, or of a channel that is not known.
    fn missing_to(&self, pattern: &str) -> Offset {
        self.trimmed.of(pattern).max(self.head.previous())
    }

    fn plan_recent(&self, read: &Read) -> Vec<(Source, Found)> {
        let mut selected = Selected::of(&read.selection, &self.heads);
        let (mut planned, mut bytes) = (Vec::new(), 0);
        for segment in &self.recent {
            let is_last = self.recent.back().is_some_and(|last| last.number == segment.number);
            let wanted = read.events_max.saturating_add(1) - planned.len();
            for found in selected.find(segment, read.after, wanted) {
                planned.push((self.source(segment, &found, is_last), found));
                if planned.len() > read.events_max || bytes >= read.bytes_max {
                    return planned;
                }
                bytes += crate::format::record_cost(found.length);
            }
        }
        planned
    }

    fn source(&self, segment: &Recent, found: &Found, is_last: bool) -> Source {
        if is_last && !self.unwritten.bytes.is_empty() && found.position >= self.unwritten.position
        {
            let start = (found.position - self.unwritten.position) as usize;
            let record = &self.unwritten.bytes[start..start + found.length as usize];
            return Source::Memory(Bytes::copy_from_slice(record));
        }
        Source::Disk(segment.file.clone())
    }

    fn move_tail(&mut self, first: Offset, tail: Offset) {
        if self.head == self.tail {
            self.head = first;
        }
        self.tail = tail;
    }
}

/// A selection, resolved as far as the heads allow.
enum Selected<'a> {
    Channels(Vec<ChannelId>),
    Patterns { selection: &'a Selection, heads: &'a Heads, known: HashMap<ChannelId, bool> },
}

impl<'a> Selected<'a> {
    fn of(selection: &'a Selection, heads: &'a Heads) -> Self {
        let channels = selection.patterns().iter().map(|pattern| pattern.channel());
        match channels.collect::<Option<Vec<_>>>() {
            None => Self::Patterns { selection, heads, known: HashMap::new() },
            Some(channels) => {
                let ids = channels.iter().filter_map(|channel| heads.find(channel.as_str()));
                Self::Channels(ids.collect())
            }
        }
    }

    fn find(&mut self, segment: &Recent, after: Offset, count: usize) -> Vec<Found> {
        match self {
            Self::Channels(ids) => segment.of_channels(ids, after, count),
            Self::Patterns { selection, heads, known } => {
                let matches = |id| {
                    Channel::parse(heads.name(id)).is_ok_and(|channel| selection.matches(&channel))
                };
                let is_meant = |id| *known.entry(id).or_insert_with(|| matches(id));
                segment.matching(is_meant, after, count)
            }
        }
    }
}
