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

use tl_model::{Epoch, Offset, Rules};

use crate::blocks::unsound;
use crate::disk::Disk;
use crate::format::{SegmentHeader, SegmentKind, event_bytes, read_record_header};
use crate::retention::{Judge, Remains, Seen, Share, is_latest_only};
use crate::scan::read_header;
use crate::sealed::{Found, Sealed};
use crate::sealing::{Gone, Replacement, Sealer};
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
    /// Channels of the segments, which are what a run holds in memory.
    shares: usize,
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
        for (channel, gone) in site.sealer.replace(replacement)? {
            let bytes = event_bytes(gone.bytes, u64::from(gone.count), &channel);
            self.seen.forget(&channel, u64::from(gone.count), bytes);
        }
        Ok(())
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
            if let Some(found) = run.and_then(|run| run.compact(site, judge, budget)) {
                return Ok(Some(found));
            }
        }
        // The next pass begins the next time.
        let run = std::mem::take(self).run;
        let found = run.compact(site, judge, budget);
        budget.channels = 0;
        Ok(found)
    }
}

impl Budget {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        Self { channels: CHANNELS_LOOKED_AT_MAX, bytes: segment_bytes * SEGMENTS_COPIED_MAX }
    }

    /// Whether nothing more is to be done this time.
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
        let shares = remains.left.len() + remains.expired.len();
        let fits = self.left + remains.bytes <= segment_bytes
            && self.bytes + bytes <= segment_bytes * RUN_SEGMENTS_MAX
            && self.shares + shares <= RUN_SHARES_MAX;
        let is_next = is_small || is_sparse;
        let before = (!fits || !is_next).then(|| std::mem::take(self));
        if is_next {
            self.bytes += bytes;
            self.left += remains.bytes;
            self.shares += shares;
            self.segments.push(remains);
        }
        before
    }

    /// Copies what is left, if that is worth it. What cannot be read stays as it is, and is told; the
    /// others go on.
    fn compact(&self, site: &Site, judge: &Judge<'_>, budget: &mut Budget) -> Option<Replacement> {
        if !self.can_be_compacted(site) {
            return None;
        }
        budget.bytes = budget.bytes.saturating_sub(self.bytes);
        let replacement = replacement(site, judge, self).inspect_err(|error| {
            let last = self.segments.last().map(|it| it.segment.number);
            tracing::error!(%error, last, "segments of which little is left stay for now");
        });
        replacement.ok()
    }

    /// Whether no more is written than is given back, and all of it is still there.
    fn can_be_compacted(&self, site: &Site) -> bool {
        let segments: Vec<_> = self.segments.iter().map(|it| &it.segment).collect();
        let cost = self.left + MIN_FILE_BYTES + site.sealer.checkpoint_bytes();
        !segments.is_empty() && self.left + cost <= self.bytes && site.sealer.holds(&segments)
    }
}

/// Copies what is left of a run into a file that is whole and synced.
fn replacement(site: &Site, judge: &Judge<'_>, run: &Run) -> io::Result<Replacement> {
    let (Some(first), Some(last)) = (run.segments.first(), run.segments.last()) else {
        return Err(unsound("a run of no segments"));
    };
    let mut copying = Copying::new(judge);
    for remains in run.segments.iter().rev() {
        copying.look_through(remains)?;
    }
    let Copied { left, gone, trimmed, reserved_to } = copying.finish()?;
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
        records: left,
    };
    let sealed = new.write(&*site.disk).inspect_err(|_| drop(site.disk.remove(NEW_SPARSE_NAME)))?;
    let numbers = run.segments.iter().map(|it| it.segment.number).collect();
    Ok(Replacement { sealed, numbers, gone, trimmed })
}

/// What of some segments is copied. They are looked through from the last one to the first, and the events
/// of a channel from its last one, as what comes later decides what is kept.
struct Copying<'a> {
    judge: &'a Judge<'a>,
    /// Channels that have had an expired event, so that nothing before it is kept either.
    expired: HashSet<String>,
    left: Vec<LeftRecord>,
    /// The last events of channels, where they have expired.
    last: Vec<LastEvent>,
    gone: HashMap<String, Gone>,
    trimmed: Trimmed,
    reserved_to: Offset,
}

/// What is copied, and what is not.
struct Copied {
    left: Vec<LeftRecord>,
    gone: HashMap<String, Gone>,
    trimmed: Trimmed,
    reserved_to: Offset,
}

/// An event that is the last one of its channel.
struct LastEvent {
    channel: String,
    segment: Arc<Sealed>,
    found: Found,
}

impl<'a> Copying<'a> {
    fn new(judge: &'a Judge<'a>) -> Self {
        let (left, last, trimmed) = (Vec::new(), Vec::new(), Trimmed::default());
        let (expired, gone, reserved_to) = (HashSet::new(), HashMap::new(), Offset::FIRST);
        Self { judge, expired, left, last, gone, trimmed, reserved_to }
    }

    fn look_through(&mut self, remains: &Remains) -> io::Result<()> {
        let segment = &remains.segment;
        let (_, trimmed) =
            read_header(&*segment.file)?.ok_or_else(|| unsound("a segment has no header"))?;
        let places = self.judge.mend(segment, segment.places_by_channel())?;
        let places = places.ok_or_else(|| unsound("an index was unsound and is mended"))?;
        for share in &remains.expired {
            self.lose(share, &places.of(&share.entry)?, segment);
        }
        let mut bytes = Vec::new();
        if !remains.left.is_empty() {
            bytes.resize(segment.file.size()? as usize, 0);
            segment.file.read_at(&mut bytes, 0)?;
        }
        for share in &remains.left {
            self.divide(share, &places.of(&share.entry)?, segment, &bytes)?;
        }
        self.reserved_to = self.reserved_to.max(segment.reserved_to);
        self.trimmed.merge(&trimmed);
        Ok(())
    }

    /// Copies what is left of a channel.
    fn divide(
        &mut self,
        share: &Share,
        events: &[Found],
        segment: &Arc<Sealed>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut newer = share.newer;
        let mut first = events.len();
        for found in events.iter().rev() {
            let (record, logged_at_ms) = record_at(bytes, found)?;
            let its_bytes = event_bytes(u64::from(found.length), 1, &share.entry.name);
            let age = self.judge.age(logged_at_ms);
            let is_behind_expired = self.expired.contains(&share.entry.name);
            if is_behind_expired || share.retention.expires(age, its_bytes, newer) {
                break;
            }
            first -= 1;
            newer.count += 1;
            newer.bytes += its_bytes;
            self.left.push(LeftRecord { offset: found.offset, bytes: record.to_vec() });
        }
        self.lose(share, &events[..first], segment);
        Ok(())
    }

    /// Gives up events of a channel.
    fn lose(&mut self, share: &Share, events: &[Found], segment: &Arc<Sealed>) {
        let channel = &share.entry.name;
        let Some((newest, older)) = events.split_last() else { return };
        self.expired.insert(channel.clone());
        let events = match self.judge.is_last(channel, newest.offset) {
            false => events,
            true => {
                let (channel, segment) = (channel.clone(), segment.clone());
                self.last.push(LastEvent { channel, segment, found: *newest });
                older
            }
        };
        // A stored value that was replaced is missed by nobody who asks for many of them.
        let is_missed = !is_latest_only(&share.retention);
        self.count(channel, events, is_missed);
    }

    fn count(&mut self, channel: &str, events: &[Found], is_missed: bool) {
        let Some(last) = events.last().map(|found| found.offset) else { return };
        if is_missed {
            self.trimmed.note(channel, last);
        }
        let gone = self.gone.entry(channel.to_owned()).or_default();
        gone.count += events.len() as u32;
        gone.bytes += events.iter().map(|found| u64::from(found.length)).sum::<u64>();
        gone.last = gone.last.max(last);
    }

    /// What is left, in order. The last event of a channel is kept with it while any other of the channel
    /// is: only it tells what came before it, and the next one what came before that.
    fn finish(mut self) -> io::Result<Copied> {
        for LastEvent { channel, segment, found } in std::mem::take(&mut self.last) {
            let gone = self.gone.get(&channel).map_or(0, |gone| gone.count);
            if self.judge.kept(&channel) > u64::from(gone) + 1 {
                let mut bytes = vec![0; found.length as usize];
                segment.file.read_at(&mut bytes, u64::from(found.position))?;
                record_at(&bytes, &Found { position: 0, ..found })?;
                self.left.push(LeftRecord { offset: found.offset, bytes });
            } else {
                self.count(&channel, &[found], true);
            }
        }
        self.left.sort_unstable_by_key(|record| record.offset);
        let Self { left, gone, trimmed, reserved_to, .. } = self;
        Ok(Copied { left, gone, trimmed, reserved_to })
    }
}

/// The record at a place, which must be the one that was written there, and when it was logged.
fn record_at<'b>(segment: &'b [u8], found: &Found) -> io::Result<(&'b [u8], u64)> {
    let start = found.position as usize;
    let record = segment.get(start..start + found.length as usize);
    let header = record.and_then(read_record_header);
    match record.zip(header) {
        Some((record, (header, length)))
            if header.offset == found.offset && length == record.len() =>
        {
            Ok((record, header.logged_at_ms))
        }
        _ => Err(io::Error::other(format!("the log is damaged at offset {}", found.offset))),
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
/// Channels of the segments that become one, unless one alone has more: some 50 MB.
const RUN_SHARES_MAX: usize = 250_000;
/// What a sparse segment of no events and its index take.
const MIN_FILE_BYTES: u64 = 8 * 1024;
/// Spreads what is multiplied by it over all bits.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
