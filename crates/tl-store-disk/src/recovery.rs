//! Opening a journal: finding the end, and what is known of every segment before it.
//!
//! Of a segment that is full its index file tells what it has. Without one, and always of the last
//! segment, batches are read in order for as long as each is whole and follows the one before. Where
//! that ends in the last segment, the log ends, unless something later proves that more was there
//! once: then it is damage, and opening fails. The torn end of a power loss is cut off.

use std::io;

use tl_model::{Epoch, Offset};

use crate::blocks::unsound;
use crate::checkpoint::{Checkpoint, Covered};
use crate::disk::Disk;
use crate::format::{BatchHeader, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentKind};
use crate::index::Index;
use crate::journal::{Active, Resume};
use crate::scan::{Segment, read_header, standing};
use crate::sealed::{Found, Sealed, index_number};
use crate::segments::{segment_name, segment_number};
use crate::sparse::NEW_SPARSE_NAME;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Bytes that had been synced are not what was written.
    #[error(
        "the log is damaged: {segment} cannot be read from byte {position}, where the event at \
         offset {offset} was; restore the store from a backup, or see `throughline store repair`"
    )]
    Damaged {
        /// Which file.
        segment: String,
        /// Where in it.
        position: u64,
        /// The first event that cannot be trusted.
        offset: Offset,
    },
    /// A segment of another log.
    #[error(
        "{0} belongs to another log; put the file back where it came from, or restore the store's \
         own FORMAT file"
    )]
    Foreign(String),
    /// The operating system would not.
    #[error("the journal cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A file is gone.
    #[error(
        "the log is damaged: {0} is missing; restore the store from a backup, or see \
         `throughline store repair`"
    )]
    Missing(String),
}

/// Finds what the journal has, for the index.
pub(crate) fn recover(
    disk: &dyn Disk,
    epoch: Epoch,
    index: &mut Index,
) -> Result<Resume, RecoveryError> {
    let names = disk.list()?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|it| segment_number(it)).collect();
    numbers.sort_unstable();
    let header_of = |number| Ok(read_header(&*disk.open(&segment_name(number))?)?.map(|it| it.0));
    let segments = standing(epoch, &numbers, header_of)?;
    let mut reader = Reader::new(disk, epoch, index, &segments);
    reader.take_checkpoint();
    let mut active = None;
    let mut next_number = segments.first().map_or(FIRST_SEGMENT, |(first, _)| *first);
    for &(first, number) in &segments {
        let is_last = segments.last() == Some(&(first, number));
        if first != next_number {
            return Err(RecoveryError::Missing(segment_name(next_number)));
        }
        next_number = number + 1;
        reader.tell_progress(number);
        match reader.header(number)? {
            Some(header) if reader.is_full(&header) && reader.take_sealed(&header)? => {}
            Some(header) => active = reader.take(&header, is_last)?,
            // A crash came between naming the file and writing to it: the name is free.
            None if is_last => next_number = number,
            None => return Err(damage(number, 0, reader.end())),
        }
    }
    let (end, reserved_to) = (reader.end(), reader.reserved_to);
    // Nothing is removed of a log that is refused.
    remove_leftovers(disk, &names, &segments);
    Ok(Resume { active, next_number, end, reserved_to, checkpoint: reader.checkpoint })
}

/// Removes segments that a sparse one stands for, and indexes of segments that are gone. What cannot be
/// removed does no harm.
fn remove_leftovers(disk: &dyn Disk, names: &[String], segments: &[(u64, u64)]) {
    let stands = |number| segments.binary_search_by_key(&number, |(_, number)| *number).is_ok();
    for name in names {
        let number = segment_number(name).or_else(|| index_number(name));
        if number.is_some_and(|number| !stands(number)) || name == NEW_SPARSE_NAME {
            drop(disk.remove(name));
        }
    }
}

/// Takes in one segment after the other.
struct Reader<'a> {
    disk: &'a dyn Disk,
    epoch: Epoch,
    index: &'a mut Index,
    /// All segments: the number of the first each stands for, and its own.
    segments: &'a [(u64, u64)],
    /// The segments of which the heads know already.
    checkpoint: Option<Covered>,
    /// Where the last batch ended; unknown before the first segment.
    end: Option<Offset>,
    reserved_to: Offset,
    /// Where reading the segment before ended.
    reached: Option<(u64, u64)>,
    /// Whether a segment before had no index: those behind it are read as well, as segments are
    /// sealed in order.
    is_past_sealed: bool,
}

impl<'a> Reader<'a> {
    fn new(
        disk: &'a dyn Disk,
        epoch: Epoch,
        index: &'a mut Index,
        segments: &'a [(u64, u64)],
    ) -> Self {
        Self {
            disk,
            epoch,
            index,
            segments,
            checkpoint: None,
            end: None,
            reserved_to: Offset::FIRST,
            reached: None,
            is_past_sealed: false,
        }
    }

    /// Takes the checkpoint, if it is one of the segments there are.
    fn take_checkpoint(&mut self) {
        let Ok(checkpoint) = Checkpoint::read(self.disk) else { return };
        let segments = self.segments.iter().map(|(_, number)| *number);
        let covered = segments.take_while(|number| *number <= checkpoint.covered.last);
        let headers = covered.map(|number| self.sound_header(number));
        let headers = headers.map(|it| it.map(|it| (it.number, it.generation)));
        let Ok(headers) = headers.collect::<io::Result<Vec<_>>>() else { return };
        if checkpoint.covered.is_of(&headers) {
            match checkpoint.load(self.index) {
                Ok(()) => self.checkpoint = Some(checkpoint.covered),
                Err(error) => {
                    tracing::warn!(%error, "the checkpoint makes no sense");
                    *self.index = Index::new();
                }
            }
        }
    }

    fn sound_header(&self, number: u64) -> io::Result<SegmentHeader> {
        let file = self.disk.open(&segment_name(number))?;
        let header = read_header(&*file)?.filter(|(header, _)| header.number == number);
        header.map(|(header, _)| header).ok_or_else(|| unsound("it has no header"))
    }

    fn end(&self) -> Offset {
        self.end.unwrap_or(Offset::FIRST)
    }

    /// The header of a segment, unless the file has not been begun under its present name.
    fn header(&mut self, number: u64) -> Result<Option<SegmentHeader>, RecoveryError> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let file = self.disk.open(&segment_name(number))?;
        if file.size()? < SEGMENT_HEADER_BYTES as u64 {
            // A crash came while it was made.
            return Ok(None);
        }
        file.read_at(&mut bytes, 0)?;
        match read_header(&*file)? {
            Some((header, _)) if header.epoch != self.epoch => {
                Err(RecoveryError::Foreign(segment_name(number)))
            }
            Some((header, trimmed)) if header.number == number => {
                self.index.note_trimmed(&trimmed);
                Ok(Some(header))
            }
            // Zeros, or an earlier segment, and nothing says that more was synced than there is.
            earlier if earlier.is_some() || bytes == [0; SEGMENT_HEADER_BYTES] => {
                let is_unbegun = Segment::read(self.disk, number)?.synced_to() <= self.end();
                if is_unbegun { Ok(None) } else { Err(damage(number, 0, self.end())) }
            }
            _ => Err(damage(number, 0, self.end())),
        }
    }

    /// Tells how far it is, where more has to be read than the end.
    fn tell_progress(&self, number: u64) {
        let last = self.segments.last().map_or(number, |(_, last)| *last);
        let is_known = self.checkpoint.is_some_and(|covered| number <= covered.last);
        if !is_known && number < last && number.is_multiple_of(PROGRESS_SEGMENTS) {
            tracing::info!(segment = number, last, "reading what the log has");
        }
    }

    /// Whether nothing is written to a segment any more.
    fn is_full(&self, header: &SegmentHeader) -> bool {
        let is_last = self.segments.last().is_some_and(|(_, last)| *last == header.number);
        !is_last || header.kind != SegmentKind::Dense
    }

    /// Takes a full segment by its index. Returns whether it has a sound one.
    fn take_sealed(&mut self, header: &SegmentHeader) -> Result<bool, RecoveryError> {
        if self.is_past_sealed {
            return Ok(false);
        }
        self.check_reached(header.follows)?;
        match self.sealed(header) {
            Ok(sealed) => {
                self.end = Some(sealed.end);
                self.reserved_to = self.reserved_to.max(sealed.reserved_to);
                self.reached = Some((sealed.number, sealed.file.size()?));
                self.index.push_sealed(sealed);
            }
            Err(error) => {
                let segment = segment_name(header.number);
                tracing::info!(segment, %error, "a segment without a sound index is read instead");
                self.is_past_sealed = true;
            }
        }
        Ok(!self.is_past_sealed)
    }

    /// Opens an index, and adds what it has of every channel.
    fn sealed(&mut self, header: &SegmentHeader) -> io::Result<Sealed> {
        let file = self.disk.open(&segment_name(header.number))?;
        let opened = Sealed::open(self.disk, header, file.clone());
        if let Some(covered) = self.checkpoint.filter(|covered| header.number <= covered.last) {
            // What is known of its channels is known already: publishing need not wait for it.
            return opened.or_else(|_| {
                let end = if header.number == covered.last { None } else { self.end_of(header)? };
                let end = end.unwrap_or(covered.end);
                Ok(Sealed::without_index(header, file, end, covered.reserved_to))
            });
        }
        let sealed = opened.or_else(|_| self.make_sealed(header))?;
        // All of it is read before any of it is taken, so that it is taken whole or not at all.
        let channels = sealed.channels().collect::<io::Result<Vec<_>>>()?;
        channels.iter().flatten().for_each(|entry| self.index.push_entry(entry));
        Ok(sealed)
    }

    /// Makes an index that is missing or unsound. The next segment says where this one ends; one that was
    /// written as a whole knows it itself.
    fn make_sealed(&mut self, header: &SegmentHeader) -> io::Result<Sealed> {
        tracing::info!(segment = segment_name(header.number), "an index is made anew");
        if header.kind != SegmentKind::Dense {
            let segment = Segment::read(self.disk, header.number)?;
            let end = segment.batches(header).last().map_or(header.follows, |(_, it)| it.end());
            if segment.is_cut(end) {
                return Err(unsound("it does not end where it ended"));
            }
            return Sealed::make_of(self.disk, segment, end);
        }
        let end = self.end_of(header)?;
        let end = end.ok_or_else(|| unsound("nothing tells where it ends"))?;
        Sealed::make(self.disk, header.number, end)
    }

    /// Where a segment ends, as the next one says.
    fn end_of(&self, header: &SegmentHeader) -> io::Result<Option<Offset>> {
        let next = self.segments.iter().find(|(first, _)| *first == header.number + 1);
        let Some((_, next)) = next else { return Ok(None) };
        let file = self.disk.open(&segment_name(*next))?;
        let next = read_header(&*file)?.filter(|(header, _)| header.number == *next);
        Ok(next.map(|(header, _)| header.follows))
    }

    /// Reads a segment. Returns it as the active one, if it is the last and its end is sound.
    fn take(
        &mut self,
        header: &SegmentHeader,
        is_last: bool,
    ) -> Result<Option<Active>, RecoveryError> {
        self.check_reached(header.follows)?;
        let segment = Segment::read(self.disk, header.number)?;
        self.index.push_segment(segment.number, segment.file.clone(), header.follows);
        let mut batches = segment.batches(header);
        for (position, batch) in batches.by_ref() {
            self.take_batch(&segment, position, &batch);
        }
        let (position, end) = (batches.position, batches.end);
        self.end = Some(end);
        self.reached = Some((segment.number, position as u64));
        let later: Vec<_> = segment.later_headers(position, header.generation).collect();
        // A segment is synced before the next is begun, so only the last can have a torn end.
        let is_torn = later.iter().any(|batch| !is_last || batch.durable_to > end);
        if is_torn || segment.is_cut(end) {
            return Err(damage(segment.number, position as u64, end));
        }
        if !is_last || self.is_full(header) {
            return Ok(None);
        }
        if later.is_empty() {
            // A process that was killed may have written what it never synced. From here on it counts
            // as synced.
            segment.file.sync()?;
            let (len, position) = (segment.file.size()?, position as u64);
            let (file, generation) = (segment.file, header.generation);
            return Ok(Some(Active { file, generation, len, position, unwritten: Vec::new() }));
        }
        cut(&segment, position as u64, end)?;
        Ok(None)
    }

    fn take_batch(&mut self, segment: &Segment, position: usize, batch: &BatchHeader) {
        for record in segment.records(position, batch) {
            let (channel, _) = self.index.link(&record.channel);
            let (offset, position, length) = (record.offset, record.position, record.length);
            let found = Found { offset, position, length };
            self.index.push(channel, found, record.previous, record.logged_at_ms);
        }
        self.reserved_to = self.reserved_to.max(batch.reserved_to);
    }

    /// The next segment says where this one ended.
    fn check_reached(&self, follows: Offset) -> Result<(), RecoveryError> {
        match (self.end, self.reached) {
            (Some(end), Some((number, position))) if end != follows => {
                Err(damage(number, position, end))
            }
            _ => Ok(()),
        }
    }
}

fn damage(number: u64, position: u64, offset: Offset) -> RecoveryError {
    RecoveryError::Damaged { segment: segment_name(number), position, offset }
}

/// Ends a segment where its last whole batch ends. The file is not written to any more, so nothing
/// of what was torn can ever be taken for a batch.
fn cut(segment: &Segment, position: u64, offset: Offset) -> io::Result<()> {
    let name = segment_name(segment.number);
    tracing::warn!(segment = name, position, %offset, "cut off the torn end of the log");
    segment.file.truncate(position)
}

const FIRST_SEGMENT: u64 = 1;
/// Segments between two lines that tell how far it is: some seconds.
const PROGRESS_SEGMENTS: u64 = 16;
