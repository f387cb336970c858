//! Copying forward what outlives its neighbours, so that the space of the others is given back.
//!
//! A few neighbouring segments of which little is left become one sparse segment with the number of the
//! last of them. It gets that name once it is whole, synced and read back, and from then on it stands for
//! all of them, wherever a crash comes. Events keep their offsets, so no reader notices.
//!
//! A byte is copied only where another is given back for it, so it costs at most as much again as what
//! it frees; beside the segments there is one such file at a time.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use tl_model::{Channel, Epoch, Newer, Offset, Rules};

use crate::blocks::unsound;
use crate::disk::Disk;
use crate::format::{SegmentHeader, SegmentKind, event_bytes};
use crate::retention::{Judge, Remains, Seen, is_latest_only};
use crate::scan::{Record, Segment};
use crate::sealed::Sealed;
use crate::sealing::Sealer;
use crate::sparse::{LeftRecord, NEW_SPARSE_NAME, SparseSegment};
use crate::trimmed::Trimmed;

/// Looks through the log again and again, a part at a time, for segments of which little is left.
#[derive(Default)]
pub(crate) struct Compaction {
    /// The number of the segment to look at next, or of one before it.
    next: u64,
    seen: Seen,
    run: Run,
    /// What was seen counts for these only.
    rules: Rules,
}

/// Neighbouring segments of which little is left.
#[derive(Default)]
struct Run {
    segments: Vec<Remains>,
    /// Bytes of their files.
    bytes: u64,
    /// Bytes of what is left.
    left: u64,
}

/// What is gone of one channel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gone {
    pub(crate) count: u32,
    pub(crate) bytes: u64,
    pub(crate) last: Offset,
}

/// A sparse segment that is ready to take the place of others.
pub(crate) struct Replacement {
    pub(crate) sealed: Sealed,
    /// The numbers of the segments it stands for.
    pub(crate) numbers: Vec<u64>,
    pub(crate) gone: HashMap<Channel, Gone>,
    pub(crate) trimmed: Trimmed,
}

/// Where compaction works.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) epoch: Epoch,
    pub(crate) segment_bytes: u64,
}

/// How much may still be done in one go.
pub(crate) struct Budget {
    channels: usize,
    bytes: u64,
}

impl Compaction {
    /// Looks for the next segments that are worth compacting, and copies what is left of them. `None`
    /// once all segments were looked at, or for this time as many as the budget allows.
    ///
    /// Before what it returns is [put](Self::put) in its place, everything that was published until
    /// then must be synced: it may be why something else is not kept any more.
    pub(crate) fn find(
        &mut self,
        site: &Site,
        judge: &Judge<'_>,
        budget: &mut Budget,
    ) -> io::Result<Option<Replacement>> {
        if self.rules != *judge.rules {
            *self = Self { rules: judge.rules.clone(), ..Self::default() };
        }
        let found = self.try_find(site, judge, budget);
        if found.is_err() {
            // What was counted so far may be wrong.
            *self = Self::default();
        }
        found
    }

    /// Puts a sparse segment in the place of those it stands for.
    pub(crate) fn put(&mut self, site: &Site, replacement: Replacement) -> io::Result<()> {
        for (channel, gone) in &replacement.gone {
            let bytes = event_bytes(gone.bytes, u64::from(gone.count), channel.as_str());
            self.seen.forget(channel.as_str(), u64::from(gone.count), bytes);
        }
        site.sealer.replace(replacement)
    }

    fn try_find(
        &mut self,
        site: &Site,
        judge: &Judge<'_>,
        budget: &mut Budget,
    ) -> io::Result<Option<Replacement>> {
        let (sealed, newest) = site.sealer.sealed();
        let next = self.next;
        let ahead = sealed.iter().filter(|it| it.number >= next && it.number < newest);
        for segment in ahead {
            if budget.is_used_up() {
                return Ok(None);
            }
            let Some(remains) = judge.remains(segment, &mut self.seen)? else {
                *self = Self::default();
                return Ok(None);
            };
            budget.channels = budget.channels.saturating_sub(segment.channel_count());
            self.next = segment.number + 1;
            let run = self.run.offer(remains, site.segment_bytes);
            if let Some(run) = run.filter(|run| run.can_be_compacted(site)) {
                budget.bytes = budget.bytes.saturating_sub(run.bytes);
                return replacement(site, judge, &run).map(Some);
            }
        }
        let run = std::mem::take(self).run;
        match run.can_be_compacted(site) {
            true => replacement(site, judge, &run).map(Some),
            false => Ok(None),
        }
    }
}

impl Budget {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        Self { channels: CHANNELS_LOOKED_AT_MAX, bytes: segment_bytes * SEGMENTS_COPIED_MAX }
    }

    fn is_used_up(&self) -> bool {
        self.channels == 0 || self.bytes == 0
    }
}

impl Run {
    /// Takes in the next segment. Returns the run before it, if that cannot go on.
    fn offer(&mut self, remains: Remains, segment_bytes: u64) -> Option<Self> {
        let bytes = remains.segment.file.size().unwrap_or_default();
        let is_small = bytes * 4 <= segment_bytes;
        let is_sparse = remains.bytes * 2 <= bytes;
        let fits = self.left + remains.bytes <= segment_bytes
            && self.bytes + bytes <= segment_bytes * RUN_SEGMENTS_MAX;
        let is_next = is_small || is_sparse;
        let before = (!fits || !is_next).then(|| std::mem::take(self));
        if is_next {
            self.bytes += bytes;
            self.left += remains.bytes;
            self.segments.push(remains);
        }
        before
    }

    /// Whether no more is copied than is given back, and nothing of it is gone.
    fn can_be_compacted(&self, site: &Site) -> bool {
        let segments: Vec<_> = self.segments.iter().map(|it| &it.segment).collect();
        let cost = self.left + MIN_FILE_BYTES;
        !segments.is_empty() && cost * 2 <= self.bytes && site.sealer.holds(&segments)
    }
}

/// Copies what is left of a run into a file that is whole and synced.
fn replacement(site: &Site, judge: &Judge<'_>, run: &Run) -> io::Result<Replacement> {
    let (Some(first), Some(last)) = (run.segments.first(), run.segments.last()) else {
        return Err(unsound("a run of no segments"));
    };
    let mut copying = Copying::new(judge);
    for remains in run.segments.iter().rev() {
        copying.look_through(&*site.disk, remains)?;
    }
    let Copied { left, gone, trimmed, reserved_to } = copying.finish();
    let sources = run.segments.iter().map(|it| it.segment.generation);
    let new = SparseSegment {
        header: SegmentHeader {
            epoch: site.epoch,
            number: last.segment.number,
            generation: mixed(sources),
            follows: first.segment.follows,
            kind: SegmentKind::Sparse { first: first.segment.first_number },
        },
        end: last.segment.end,
        reserved_to,
        trimmed: &trimmed,
        records: left.iter(),
    };
    let sealed = new.write(&*site.disk).inspect_err(|_| drop(site.disk.remove(NEW_SPARSE_NAME)))?;
    let numbers = run.segments.iter().map(|it| it.segment.number).collect();
    Ok(Replacement { sealed, numbers, gone, trimmed })
}

/// What of some segments is copied. They are looked through from the last one to the first, and each from
/// its end, as what comes later decides what is kept.
struct Copying<'a> {
    judge: &'a Judge<'a>,
    /// Channels that have had an expired event, so that nothing before it is kept either.
    expired: HashSet<Channel>,
    left: Vec<LeftRecord>,
    /// The last events of channels, where they have expired.
    last: Vec<(Record, LeftRecord)>,
    gone: HashMap<Channel, Gone>,
    trimmed: Trimmed,
    reserved_to: Offset,
}

/// What is copied, and what is not.
struct Copied {
    left: Vec<LeftRecord>,
    gone: HashMap<Channel, Gone>,
    trimmed: Trimmed,
    reserved_to: Offset,
}

impl<'a> Copying<'a> {
    fn new(judge: &'a Judge<'a>) -> Self {
        let (left, last, trimmed) = (Vec::new(), Vec::new(), Trimmed::default());
        let (expired, gone, reserved_to) = (HashSet::new(), HashMap::new(), Offset::FIRST);
        Self { judge, expired, left, last, gone, trimmed, reserved_to }
    }

    fn look_through(&mut self, disk: &dyn Disk, remains: &Remains) -> io::Result<()> {
        let segment = Segment::read(disk, remains.segment.number)?;
        let header = segment.header().filter(|it| it.generation == remains.segment.generation);
        let header = header.ok_or_else(|| unsound("a segment is not the one it was"))?;
        let mut batches = segment.batches(&header);
        let mut records = Vec::new();
        for (position, batch) in batches.by_ref() {
            records.extend(segment.records(position, &batch));
        }
        if batches.end != remains.segment.end {
            return Err(unsound("a segment does not end where it ended"));
        }
        let mut newer = remains.newer.clone();
        for record in records.into_iter().rev() {
            let bytes = segment.record_bytes(&record);
            let copied = || LeftRecord { offset: record.offset, bytes: bytes.to_vec() };
            if self.is_left(&record, newer.get_mut(record.channel.as_str())) {
                self.left.push(copied());
            } else if self.judge.is_last(&record.channel, record.offset) {
                let copied = copied();
                self.last.push((record, copied));
            } else {
                self.lose(&record);
            }
        }
        self.reserved_to = self.reserved_to.max(remains.segment.reserved_to);
        self.trimmed.merge(&segment.trimmed().ok_or_else(|| unsound("a header makes no sense"))?);
        Ok(())
    }

    /// What is left, in order. The last event of a channel is kept with it while any other of the channel
    /// is: only it tells what came before it, and the next one what came before that.
    fn finish(mut self) -> Copied {
        for (record, copied) in std::mem::take(&mut self.last) {
            let gone = self.gone.get(&record.channel).map_or(0, |gone| gone.count);
            match self.judge.kept(&record.channel) > u64::from(gone) + 1 {
                true => self.left.push(copied),
                false => self.lose(&record),
            }
        }
        self.left.sort_unstable_by_key(|record| record.offset);
        let Self { left, gone, trimmed, reserved_to, .. } = self;
        Copied { left, gone, trimmed, reserved_to }
    }

    /// Whether a record is kept. `newer` is what its channel has behind it, if any of that is.
    fn is_left(&mut self, record: &Record, newer: Option<&mut Newer>) -> bool {
        let retention = self.judge.retention(&record.channel);
        let bytes = event_bytes(u64::from(record.length), 1, record.channel.as_str());
        let age = self.judge.age(record.logged_at_ms);
        if let Some(newer) = newer
            && !self.expired.contains(&record.channel)
            && !retention.expires(age, bytes, *newer)
        {
            newer.count += 1;
            newer.bytes += bytes;
            return true;
        }
        self.expired.insert(record.channel.clone());
        false
    }

    fn lose(&mut self, record: &Record) {
        let retention = self.judge.retention(&record.channel);
        // A stored value that was replaced is missed by nobody who asks for many of them.
        let is_superseded =
            is_latest_only(&retention) && !self.judge.is_last(&record.channel, record.offset);
        if !is_superseded {
            self.trimmed.note(record.channel.as_str(), record.offset);
        }
        let gone = self.gone.entry(record.channel.clone()).or_default();
        gone.count += 1;
        gone.bytes += u64::from(record.length);
        gone.last = gone.last.max(record.offset);
    }
}

/// The generation of a segment that is made of others: another one for other segments.
fn mixed(generations: impl Iterator<Item = u64>) -> u64 {
    generations.fold(1, |mixed, generation| mixed.wrapping_mul(ODD) ^ generation.rotate_left(7))
}

/// Channels of segments that are looked at in one go: well below a second.
const CHANNELS_LOOKED_AT_MAX: usize = 500_000;
/// Segments whose remains are copied in one go: about what a busy server writes between two of them.
const SEGMENTS_COPIED_MAX: u64 = 16;
/// Segments that become one, at the most: as many as are read without a stop.
const RUN_SEGMENTS_MAX: u64 = 8;
/// What a sparse segment of no events and its index take.
const MIN_FILE_BYTES: u64 = 8 * 1024;
/// Spreads what is multiplied by it over all bits.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
