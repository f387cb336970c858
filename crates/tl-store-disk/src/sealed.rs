//! The index of a segment that is full: a file beside it that tells which channels it has and where
//! their events are.
//!
//! [Its layout](layout) is a few sections that can be searched where they lie; all of it is in
//! [`blocks`](crate::blocks). The segment is the truth: an index that is missing, unsound or of another
//! use of the segment is made anew from it.

mod build;
mod layout;

use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use tl_model::{Channel, Offset, Pattern, Selection};

use crate::blocks::{Blocks, in_blocks, store, unsound};
use crate::disk::{Disk, DiskFile, MemoryFile};
use crate::format::SegmentHeader;
use crate::scan::Segment;
use layout::{
    CHANNEL_BYTES, HEADER_BYTES, Header, PLACE_BYTES, POSTING_BYTES, RawChannel, Sections, u32_at,
    u64_at,
};

/// A full segment with its index.
pub(crate) struct Sealed {
    pub(crate) number: u64,
    /// The number of the first segment in whose place it is.
    pub(crate) first_number: u64,
    pub(crate) generation: u64,
    /// Of the segment.
    pub(crate) file: Arc<dyn DiskFile>,
    /// Where it begins and ends.
    pub(crate) follows: Offset,
    pub(crate) end: Offset,
    /// The highest `reserved to` of its batches.
    pub(crate) reserved_to: Offset,
    index: RwLock<Option<Index>>,
}

/// The index file of a segment.
#[derive(Clone)]
struct Index {
    sections: Sections,
    blocks: Arc<Blocks>,
}

/// Where one event is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) offset: Offset,
    pub(crate) position: u32,
    pub(crate) length: u32,
}

/// What a segment has of one channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ChannelEntry {
    pub(crate) name: String,
    /// The event before its first one here; if one is missing behind that, the last missing one.
    pub(crate) previous: Offset,
    /// Its last one here.
    pub(crate) last: Offset,
    pub(crate) logged_at_ms: u64,
    /// Bytes of its records here.
    pub(crate) bytes: u64,
    postings: Range<u32>,
}

/// The places of all events of a segment.
pub(crate) struct ByChannel {
    places: Vec<Found>,
    postings: Vec<u32>,
}

impl ByChannel {
    /// Those of one channel, in order.
    pub(crate) fn of(&self, entry: &ChannelEntry) -> io::Result<Vec<Found>> {
        let postings =
            self.postings.get(entry.postings.start as usize..entry.postings.end as usize);
        let place = |number: &u32| self.places.get(*number as usize).copied();
        let places = postings.and_then(|postings| postings.iter().map(place).collect());
        places.ok_or_else(|| unsound("a channel has events that are not there"))
    }
}

impl ChannelEntry {
    /// How many events.
    pub(crate) fn count(&self) -> u32 {
        self.postings.end - self.postings.start
    }
}

/// The name of the index of a segment.
pub(crate) fn index_name(number: u64) -> String {
    format!("{number:020}{INDEX_SUFFIX}")
}

/// The number of the segment whose index has this name.
pub(crate) fn index_number(name: &str) -> Option<u64> {
    name.strip_suffix(INDEX_SUFFIX)?.parse().ok()
}

impl Sealed {
    /// Opens the index of a segment that was filled in this use of it.
    ///
    /// # Errors
    ///
    /// There is none, or not a sound one of this use of the segment.
    pub(crate) fn open(
        disk: &dyn Disk,
        of: &SegmentHeader,
        file: Arc<dyn DiskFile>,
    ) -> io::Result<Self> {
        let index = Blocks::new(disk.open(&index_name(of.number))?);
        let header = Header::read(&index.read(0, HEADER_BYTES)?)?;
        if (header.number, header.generation) != (of.number, of.generation) {
            return Err(unsound("it is the index of something else"));
        }
        Ok(Self::new(header, of.first_number(), file, index))
    }

    /// Makes the index of a segment that ends at an offset. Where there is no room for it, it is kept
    /// in memory.
    ///
    /// # Errors
    ///
    /// The segment cannot be read, or is not what was written.
    pub(crate) fn make(disk: &dyn Disk, number: u64, end: Offset) -> io::Result<Self> {
        Self::make_of(disk, Segment::read(disk, number)?, end)
    }

    /// Makes the index of a segment that has been read.
    pub(crate) fn make_of(disk: &dyn Disk, segment: Segment, end: Offset) -> io::Result<Self> {
        let first_number = segment.header().map_or(segment.number, |it| it.first_number());
        let (header, index) = make_index(disk, &segment, end)?;
        Ok(Self::new(header, first_number, segment.file, index))
    }

    fn new(header: Header, first_number: u64, file: Arc<dyn DiskFile>, blocks: Blocks) -> Self {
        let Header { number, generation, follows, end, reserved_to, sections } = header;
        let index = RwLock::new(Some(Index { sections, blocks: Arc::new(blocks) }));
        Self { number, first_number, generation, file, follows, end, reserved_to, index }
    }

    /// A segment whose index is still to be [made anew](Self::make_anew). Until then whoever reads it is
    /// told that it is unsound. What it had reserved may be told too high.
    pub(crate) fn without_index(
        of: &SegmentHeader,
        file: Arc<dyn DiskFile>,
        end: Offset,
        reserved_to: Offset,
    ) -> Self {
        let SegmentHeader { number, generation, follows, .. } = *of;
        let first_number = of.first_number();
        let index = RwLock::default();
        Self { number, first_number, generation, file, follows, end, reserved_to, index }
    }

    /// Whether there is an index.
    pub(crate) fn has_index(&self) -> bool {
        self.index().is_ok()
    }

    /// Makes the index anew, because it proved to be unsound or is not there.
    pub(crate) fn make_anew(&self, disk: &dyn Disk) -> io::Result<()> {
        let segment = Segment::read(disk, self.number)?;
        if segment.header().is_none_or(|header| header.generation != self.generation) {
            return Err(unsound("another segment has taken its place"));
        }
        let (Header { sections, .. }, blocks) = make_index(disk, &segment, self.end)?;
        let index = Index { sections, blocks: Arc::new(blocks) };
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Some(index);
        Ok(())
    }

    /// Whether it has no events.
    pub(crate) fn is_empty(&self) -> bool {
        self.follows == self.end || self.index().is_ok_and(|index| index.sections.events == 0)
    }

    /// How many events it has.
    pub(crate) fn event_count(&self) -> io::Result<usize> {
        Ok(self.index()?.sections.events as usize)
    }

    /// How many channels it has.
    pub(crate) fn channel_count(&self) -> usize {
        self.index().map_or(0, |index| index.sections.channels as usize)
    }

    /// The numbers of the places of a selection, rising.
    pub(crate) fn select(&self, selection: &Selection) -> io::Result<Vec<u32>> {
        let mut ranges = Vec::new();
        for pattern in selection.patterns() {
            match pattern.channel() {
                Some(channel) => ranges.extend(self.postings_of(&channel)?),
                None => self.match_pattern(pattern, &mut ranges)?,
            }
        }
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup();
        let mut selected = Vec::new();
        for range in joined(ranges) {
            selected.extend(self.postings(range)?);
        }
        selected.sort_unstable();
        Ok(selected)
    }

    /// The number of the first place behind an offset.
    pub(crate) fn first_behind(&self, offset: Offset) -> io::Result<u32> {
        let events = self.index()?.sections.events;
        partition_point(events, |number| Ok(self.place(number)?.offset <= offset))
    }

    /// The places from a number on, as many as are cheap to read together.
    pub(crate) fn places_from(&self, number: u32) -> io::Result<Vec<Found>> {
        let count = self.index()?.sections.events.saturating_sub(number).min(PLACES_READ);
        self.places(number, count)
    }

    /// The places of all events, to be looked up by channel.
    pub(crate) fn places_by_channel(&self) -> io::Result<ByChannel> {
        let events = self.index()?.sections.events;
        Ok(ByChannel {
            places: self.places(0, events)?,
            postings: self.postings(0..events)?.collect(),
        })
    }

    /// Where the last event of a channel is.
    pub(crate) fn last_place(&self, entry: &ChannelEntry) -> io::Result<Found> {
        let last = self.postings(entry.postings.end - 1..entry.postings.end)?.next();
        self.place(last.ok_or_else(|| unsound("a channel has no events"))?)
    }

    /// Everything the segment has of its channels, by name; some at a time.
    pub(crate) fn channels(&self) -> impl Iterator<Item = io::Result<Vec<ChannelEntry>>> + '_ {
        let (count, error) = match self.index() {
            Ok(index) => (index.sections.channels, None),
            Err(error) => (0, Some(Err(error))),
        };
        let starts = (0..count).step_by(CHANNELS_READ as usize);
        error.into_iter().chain(starts.map(|start| self.entries(start, CHANNELS_READ)))
    }

    fn postings_of(&self, channel: &Channel) -> io::Result<Option<Range<u32>>> {
        let number = self.first_named(channel.as_str())?;
        let entry = self.entries(number, 1)?.pop();
        let entry = entry.filter(|entry| entry.name == channel.as_str());
        Ok(entry.map(|entry| entry.postings))
    }

    /// The channels that a pattern can match lie together: they begin as it does.
    fn match_pattern(&self, pattern: &Pattern, ranges: &mut Vec<Range<u32>>) -> io::Result<()> {
        let literal = pattern.as_str().split(['*', '>']).next().unwrap_or_default();
        let mut number = self.first_named(literal)?;
        let channels = self.index()?.sections.channels;
        while number < channels {
            for entry in self.entries(number, CHANNELS_READ)? {
                if !entry.name.starts_with(literal) {
                    return Ok(());
                }
                let channel = Channel::parse(&entry.name);
                let channel = channel.map_err(|_| unsound("a channel has no legal name"))?;
                ranges.extend(pattern.matches(&channel).then_some(entry.postings));
                number += 1;
            }
        }
        Ok(())
    }

    /// The number of the first channel whose name is not before this.
    fn first_named(&self, name: &str) -> io::Result<u32> {
        partition_point(self.index()?.sections.channels, |number| {
            let entry = self.entries(number, 1)?.pop();
            Ok(entry.is_some_and(|entry| entry.name.as_str() < name))
        })
    }

    fn entries(&self, start: u32, count: u32) -> io::Result<Vec<ChannelEntry>> {
        let Index { sections, .. } = self.index()?;
        let count = count.min(sections.channels.saturating_sub(start)) as usize;
        if count == 0 {
            return Ok(Vec::new());
        }
        let at = sections.channels_at() + u64::from(start) * CHANNEL_BYTES as u64;
        let raw = self.read(at, (count + 1) * CHANNEL_BYTES)?;
        let raw: Vec<_> = raw.chunks(CHANNEL_BYTES).map(RawChannel::read).collect();
        let names = raw[0].name..raw[count].name;
        let len = names.end.checked_sub(names.start).ok_or_else(|| unsound("names go back"))?;
        let text = self.read(sections.names_at() + u64::from(names.start), len as usize)?;
        let entry = |pair: &[RawChannel]| pair[0].entry(&pair[1], &text, names.start);
        raw.windows(2).map(entry).collect()
    }

    fn postings(&self, range: Range<u32>) -> io::Result<impl Iterator<Item = u32> + use<>> {
        let at =
            self.index()?.sections.postings_at() + u64::from(range.start) * POSTING_BYTES as u64;
        let bytes = self.read(at, (range.end - range.start) as usize * POSTING_BYTES)?;
        let numbers = (0..bytes.len() / POSTING_BYTES).map(move |at| u32_at(&bytes, at * 4));
        Ok(numbers)
    }

    fn place(&self, number: u32) -> io::Result<Found> {
        let place = self.places(number, 1)?.pop();
        place.ok_or_else(|| unsound("there is no such place"))
    }

    fn places(&self, number: u32, count: u32) -> io::Result<Vec<Found>> {
        let at = HEADER_BYTES as u64 + u64::from(number) * PLACE_BYTES as u64;
        let bytes = self.read(at, count as usize * PLACE_BYTES)?;
        let place = |bytes: &[u8]| Found {
            offset: Offset::new(u64_at(bytes, 0)),
            position: u32_at(bytes, 8),
            length: u32_at(bytes, 12),
        };
        Ok(bytes.chunks(PLACE_BYTES).map(place).collect())
    }

    fn read(&self, position: u64, len: usize) -> io::Result<Vec<u8>> {
        self.index()?.blocks.read(position, len)
    }

    fn index(&self) -> io::Result<Index> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner).clone();
        index.ok_or_else(|| unsound("the index is not made yet"))
    }
}

fn make_index(disk: &dyn Disk, segment: &Segment, end: Offset) -> io::Result<(Header, Blocks)> {
    let content = build::content(segment, end)?;
    let header = Header::read(&content)?;
    let file = match store(disk, &index_name(segment.number), &content) {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(%error, segment = segment.number, "an index is kept in memory");
            Arc::new(MemoryFile::new(in_blocks(&content)))
        }
    };
    Ok((header, Blocks::new(file)))
}

/// Ranges that touch, as one.
fn joined(ranges: Vec<Range<u32>>) -> Vec<Range<u32>> {
    let mut joined: Vec<Range<u32>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

/// The first number of those below `count` that is not before what is looked for.
fn partition_point(count: u32, is_before: impl Fn(u32) -> io::Result<bool>) -> io::Result<u32> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match is_before(middle)? {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    Ok(low)
}

const INDEX_SUFFIX: &str = ".index";
/// Places in one block.
const PLACES_READ: u32 = 255;
/// Channels read at once: some 160 KiB with their names.
const CHANNELS_READ: u32 = 2_048;

#[cfg(test)]
mod tests;
