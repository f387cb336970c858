//! Where every kept event is: held in memory, rebuilt from the journal on opening.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use tl_model::{Channel, Gap, Newer, Offset, Rules, Selection};
use tl_store::{Bounds, LastLogged, Read};

use crate::disk::DiskFile;

/// Everything readers need to find events, and the writer to link them.
#[derive(Default)]
pub(crate) struct Index {
    head: Offset,
    tail: Offset,
    names: HashMap<Channel, ChannelId>,
    channels: Vec<ChannelIndex>,
    free: Vec<ChannelId>,
    segments: VecDeque<SegmentIndex>,
    unwritten: Unwritten,
}

/// A segment, from its first event on.
pub(crate) struct SegmentIndex {
    number: u64,
    file: Arc<dyn DiskFile>,
    follows: Offset,
    newest_ms: u64,
    places: Vec<Place>,
}

/// Where one event is within its segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) offset: Offset,
    pub(crate) channel: ChannelId,
    pub(crate) position: u32,
    pub(crate) length: u32,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ChannelId(u32);

struct ChannelIndex {
    name: Channel,
    /// Of kept events.
    offsets: VecDeque<Offset>,
    /// Bytes of the records of kept events.
    bytes: u64,
    /// The event before the oldest kept one; `START` if there was none.
    trimmed_to: Offset,
    /// The last event the writer has linked, perhaps not in the log yet.
    linked: Offset,
    last_logged_at_ms: u64,
}

/// What the end of the last segment will hold once it is written.
#[derive(Default)]
struct Unwritten {
    position: u32,
    bytes: Vec<u8>,
}

/// What to read for a page, in order.
pub(crate) struct Plan {
    pub(crate) gap: Option<Gap>,
    pub(crate) read_to: Offset,
    pub(crate) reached_end: bool,
    pub(crate) pieces: Vec<Piece>,
}

/// A record, or several that lie one behind the other.
pub(crate) enum Piece {
    Disk { file: Arc<dyn DiskFile>, position: u32, length: u32, first: Offset },
    Memory(Bytes),
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { head: Offset::FIRST, tail: Offset::FIRST, ..Self::default() }
    }

    // The writer's side

    /// Adds a segment behind all others. `follows` is where what came before it ended.
    pub(crate) fn push_segment(&mut self, number: u64, file: Arc<dyn DiskFile>, follows: Offset) {
        let places = Vec::new();
        self.segments.push_back(SegmentIndex { number, file, follows, newest_ms: 0, places });
    }

    /// The channel's id, and the offset its next event is to name as the one before it.
    ///
    /// A channel that is not known may have been forgotten with all its events, so its first event
    /// names the end of what was trimmed: readers are told of a gap rather than of none.
    pub(crate) fn link(&mut self, channel: &Channel, offset: Offset) -> (ChannelId, Offset) {
        let id = self.channel_id(channel);
        let linked = &mut self.channels[id.0 as usize].linked;
        (id, std::mem::replace(linked, offset))
    }

    /// Adds an event behind all others.
    pub(crate) fn push(&mut self, place: Place, previous: Offset, logged_at_ms: u64) {
        let channel = &mut self.channels[place.channel.0 as usize];
        if channel.offsets.is_empty() {
            channel.trimmed_to = previous;
        }
        channel.offsets.push_back(place.offset);
        channel.bytes += u64::from(place.length);
        channel.linked = place.offset;
        channel.last_logged_at_ms = logged_at_ms;
        let segment = self.segments.back_mut().expect("a segment is pushed before its events");
        segment.newest_ms = segment.newest_ms.max(logged_at_ms);
        segment.places.push(place);
        if self.head == self.tail {
            self.head = place.offset;
        }
        self.tail = place.offset.next();
    }

    /// Moves the tail on, over offsets that may have been given out and lost.
    pub(crate) fn skip_to(&mut self, tail: Offset) {
        if self.head == self.tail {
            self.head = tail;
        }
        self.tail = self.tail.max(tail);
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

    /// How many of the oldest segments hold only events that have expired. Never all of them.
    pub(crate) fn expired_segments(&self, rules: &Rules, now_ms: u64) -> usize {
        let mut older = HashMap::new();
        let without_last = self.segments.len().saturating_sub(1);
        let candidates = self.segments.iter().take(without_last);
        candidates.take_while(|it| self.is_expired(it, rules, now_ms, &mut older)).count()
    }

    /// Forgets the oldest segments. Returns their numbers.
    pub(crate) fn forget_segments(&mut self, count: usize) -> Vec<u64> {
        let segments: Vec<_> = self.segments.drain(..count).collect();
        for place in segments.iter().flat_map(|segment| &segment.places) {
            self.forget(place);
        }
        let oldest = self.segments.iter().find_map(|segment| segment.places.first());
        self.head = oldest.map_or(self.tail, |place| place.offset);
        segments.iter().map(|segment| segment.number).collect()
    }

    // The readers' side

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { head: self.head, tail: self.tail }
    }

    pub(crate) fn last(&self, channel: &Channel) -> Option<LastLogged> {
        let channel = &self.channels[self.names.get(channel)?.0 as usize];
        let offset = *channel.offsets.back()?;
        Some(LastLogged { offset, logged_at_ms: channel.last_logged_at_ms })
    }

    /// Finds the events of a page.
    pub(crate) fn plan(&self, read: &Read) -> Plan {
        let trimmed_to = |channel: &Channel| self.trimmed_to(channel);
        let gap = self.bounds().gap(&read.selection, read.after, trimmed_to);
        let wanted = read.events_max.saturating_add(1);
        let offsets = self.select(&read.selection, read.after, wanted);
        let mut plan = Plan { gap, read_to: read.after, reached_end: false, pieces: Vec::new() };
        let (mut events, mut bytes) = (0, 0);
        for offset in offsets {
            if events == read.events_max || bytes >= read.bytes_max {
                return plan;
            }
            let (segment, place) = self.place(offset);
            events += 1;
            bytes += crate::format::record_cost(place.length);
            plan.read_to = offset;
            self.add_piece(&mut plan.pieces, segment, place);
        }
        plan.read_to = self.tail.previous().max(read.after);
        plan.reached_end = true;
        plan
    }

    fn trimmed_to(&self, channel: &Channel) -> Offset {
        match self.names.get(channel) {
            Some(id) => self.channels[id.0 as usize].trimmed_to,
            None => self.head.previous(),
        }
    }

    /// The offsets of a selection behind a place, in order, at most so many.
    fn select(&self, selection: &Selection, after: Offset, count: usize) -> Vec<Offset> {
        let channels: Option<Vec<_>> =
            selection.patterns().iter().map(|pattern| pattern.channel()).collect();
        match channels {
            Some(channels) => self.select_channels(&channels, after, count),
            None => self.select_patterns(selection, after, count),
        }
    }

    fn select_channels(&self, channels: &[Channel], after: Offset, count: usize) -> Vec<Offset> {
        let known = channels.iter().filter_map(|channel| self.names.get(channel));
        let mut offsets = Vec::new();
        for id in known {
            let channel = &self.channels[id.0 as usize].offsets;
            let start = channel.partition_point(|offset| *offset <= after);
            offsets.extend(channel.range(start..).take(count));
        }
        if channels.len() > 1 {
            offsets.sort_unstable();
            offsets.truncate(count);
        }
        offsets
    }

    fn select_patterns(&self, selection: &Selection, after: Offset, count: usize) -> Vec<Offset> {
        let mut matches: HashMap<ChannelId, bool> = HashMap::new();
        let segments = self.segments.range(self.segment_of(after.next())..);
        let places = segments.flat_map(|segment| {
            let start = segment.places.partition_point(|place| place.offset <= after);
            &segment.places[start..]
        });
        let is_selected = |place: &&Place| {
            let name = || &self.channels[place.channel.0 as usize].name;
            *matches.entry(place.channel).or_insert_with(|| selection.matches(name()))
        };
        places.filter(is_selected).take(count).map(|place| place.offset).collect()
    }

    /// The segment that holds an offset, or would.
    fn segment_of(&self, offset: Offset) -> usize {
        let behind = self.segments.partition_point(|segment| segment.follows <= offset);
        behind.saturating_sub(1)
    }

    fn place(&self, offset: Offset) -> (&SegmentIndex, &Place) {
        let segment = &self.segments[self.segment_of(offset)];
        let index = segment.places.partition_point(|place| place.offset < offset);
        (segment, &segment.places[index])
    }

    /// Adds a record to what is to be read, joining it to the one before if they are neighbours.
    fn add_piece(&self, pieces: &mut Vec<Piece>, segment: &SegmentIndex, place: &Place) {
        let is_last = self.segments.back().is_some_and(|last| last.number == segment.number);
        let unwritten = &self.unwritten;
        if is_last && !unwritten.bytes.is_empty() && place.position >= unwritten.position {
            let start = (place.position - unwritten.position) as usize;
            let record = &unwritten.bytes[start..start + place.length as usize];
            return pieces.push(Piece::Memory(Bytes::copy_from_slice(record)));
        }
        if let Some(Piece::Disk { file, position, length, .. }) = pieces.last_mut()
            && Arc::ptr_eq(file, &segment.file)
            && *position + *length == place.position
            && *length < PIECE_BYTES
        {
            *length += place.length;
            return;
        }
        let (file, first) = (segment.file.clone(), place.offset);
        let (position, length) = (place.position, place.length);
        pieces.push(Piece::Disk { file, position, length, first });
    }

    // Below both

    fn channel_id(&mut self, name: &Channel) -> ChannelId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let unknown = match self.head == Offset::FIRST {
            true => Offset::START,
            false => self.head.previous(),
        };
        // A copy of its own: the name may be part of a large buffer.
        let name = Channel::parse(name.as_str()).expect("it is a name already");
        let channel = ChannelIndex {
            name: name.clone(),
            offsets: VecDeque::new(),
            bytes: 0,
            trimmed_to: unknown,
            linked: unknown,
            last_logged_at_ms: 0,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.channels[id.0 as usize] = channel;
                id
            }
            None => {
                self.channels.push(channel);
                ChannelId(self.channels.len() as u32 - 1)
            }
        };
        self.names.insert(name, id);
        id
    }

    fn forget(&mut self, place: &Place) {
        let channel = &mut self.channels[place.channel.0 as usize];
        channel.offsets.pop_front();
        channel.bytes -= u64::from(place.length);
        channel.trimmed_to = place.offset;
        if channel.offsets.is_empty() {
            self.names.remove(&channel.name);
            self.free.push(place.channel);
        }
    }

    /// Whether all events of a segment have expired. `older` counts what its channels have in this
    /// segment and before it. The age of an event is at least that of its segment's newest one.
    fn is_expired(
        &self,
        segment: &SegmentIndex,
        rules: &Rules,
        now_ms: u64,
        older: &mut HashMap<ChannelId, Newer>,
    ) -> bool {
        let age = Duration::from_millis(now_ms.saturating_sub(segment.newest_ms));
        segment.places.iter().all(|place| {
            let channel = &self.channels[place.channel.0 as usize];
            let bytes = u64::from(place.length);
            let seen = older.entry(place.channel).or_default();
            seen.count += 1;
            seen.bytes += bytes;
            let newer = Newer {
                count: channel.offsets.len() as u64 - seen.count,
                bytes: channel.bytes - seen.bytes,
            };
            rules.of(&channel.name).retention.expires(age, bytes, newer)
        })
    }
}

/// A read from disk is at most about this long, so that one page of many small events is a few
/// reads and one of many large events does not need one huge buffer.
const PIECE_BYTES: u32 = 1024 * 1024;
