//! Opening a journal: reading every segment, rebuilding the index, finding the end.
//!
//! Batches are read in order for as long as each is whole and follows the one before. Where that
//! ends in the last segment, the log ends, unless something later proves that more was there once:
//! then it is damage, and opening fails. The torn end of a power loss is cut off.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use tl_model::{Channel, Epoch, Offset};

use crate::disk::{Disk, DiskFile};
use crate::format::{
    ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
    read_record_header,
};
use crate::index::{Index, Place};
use crate::journal::{Active, Resume};
use crate::segments::{segment_name, segment_number};

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Bytes that had been synced are not what was written.
    #[error(
        "the log is damaged: {segment} cannot be read from byte {position}, where the event at \
         offset {offset} was; restore the store from a backup"
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
    #[error("the log is damaged: {0} is missing; restore the store from a backup")]
    Missing(String),
}

/// Reads the whole journal into the index.
pub(crate) fn recover(
    disk: &dyn Disk,
    epoch: Epoch,
    index: &mut Index,
) -> Result<Resume, RecoveryError> {
    let mut numbers: Vec<u64> = disk.list()?.iter().filter_map(|it| segment_number(it)).collect();
    numbers.sort_unstable();
    let mut reader = Reader::new(index);
    let mut active = None;
    let mut next_number = FIRST_SEGMENT;
    for (&number, expected) in numbers.iter().zip(numbers.first().copied().unwrap_or_default()..) {
        let is_last = Some(&number) == numbers.last();
        if number != expected {
            return Err(RecoveryError::Missing(segment_name(expected)));
        }
        let segment = Segment::read(disk, number)?;
        next_number = number + 1;
        match segment.header(epoch)? {
            Some(header) => active = reader.take(segment, header, is_last)?,
            // A crash came between naming the file and writing to it: the name is free.
            None if is_last => next_number = number,
            None => return Err(damage(&segment, 0, reader.end())),
        }
    }
    Ok(Resume { active, next_number, end: reader.end(), reserved_to: reader.reserved_to })
}

/// A segment read into memory.
struct Segment {
    number: u64,
    file: Arc<dyn DiskFile>,
    bytes: Bytes,
}

impl Segment {
    fn read(disk: &dyn Disk, number: u64) -> io::Result<Self> {
        let file = disk.open(&segment_name(number))?;
        let mut bytes = vec![0; file.size()? as usize];
        file.read_at(&mut bytes, 0)?;
        Ok(Self { number, file, bytes: Bytes::from(bytes) })
    }

    /// The header, unless the file has not been begun under its present name.
    fn header(&self, epoch: Epoch) -> Result<Option<SegmentHeader>, RecoveryError> {
        match SegmentHeader::read(&self.bytes) {
            Some(header) if header.epoch != epoch => {
                Err(RecoveryError::Foreign(segment_name(self.number)))
            }
            header => Ok(header.filter(|header| header.number == self.number)),
        }
    }

    /// Whole batch headers of this use of the file, from a position on.
    fn later_headers(
        &self,
        position: usize,
        generation: u64,
    ) -> impl Iterator<Item = BatchHeader> + '_ {
        let positions = (position..self.bytes.len()).step_by(ALIGNMENT);
        let headers = positions.filter_map(|at| BatchHeader::read(&self.bytes[at..]));
        headers.filter(move |header| header.generation == generation)
    }
}

/// Takes in one segment after the other.
struct Reader<'a> {
    index: &'a mut Index,
    /// Where the last batch ended; unknown before the first segment.
    end: Option<Offset>,
    reserved_to: Offset,
    /// Where reading the segment before ended.
    reached: Option<(String, u64)>,
}

impl<'a> Reader<'a> {
    fn new(index: &'a mut Index) -> Self {
        Self { index, end: None, reserved_to: Offset::FIRST, reached: None }
    }

    fn end(&self) -> Offset {
        self.end.unwrap_or(Offset::FIRST)
    }

    /// Reads a segment. Returns it as the active one, if it is the last and its end is sound.
    fn take(
        &mut self,
        segment: Segment,
        header: SegmentHeader,
        is_last: bool,
    ) -> Result<Option<Active>, RecoveryError> {
        self.check_reached(header.follows)?;
        self.index.push_segment(segment.number, segment.file.clone(), header.follows);
        self.end = Some(header.follows);
        let mut position = SEGMENT_HEADER_BYTES;
        while let Some(batch) = self.batch(&segment, position, header.generation) {
            self.take_batch(&segment.bytes, position, &batch);
            position += batch.span();
        }
        self.reached = Some((segment_name(segment.number), position as u64));
        let end = self.end();
        let later: Vec<_> = segment.later_headers(position, header.generation).collect();
        // A segment is synced before the next is begun, so only the last can have a torn end.
        if later.iter().any(|batch| !is_last || batch.durable_to > end) {
            return Err(damage(&segment, position, end));
        }
        if !is_last {
            return Ok(None);
        }
        if later.is_empty() {
            let (len, position) = (segment.file.size()?, position as u64);
            let (file, generation) = (segment.file, header.generation);
            return Ok(Some(Active { file, generation, len, position, unwritten: Vec::new() }));
        }
        cut(&segment, position, end)?;
        Ok(None)
    }

    /// The next segment says where this one ended.
    fn check_reached(&self, follows: Offset) -> Result<(), RecoveryError> {
        match (self.end, &self.reached) {
            (Some(end), Some((segment, position))) if end != follows => {
                let (segment, position) = (segment.clone(), *position);
                Err(RecoveryError::Damaged { segment, position, offset: end })
            }
            _ => Ok(()),
        }
    }

    /// The batch at a position, if it is whole and the next one.
    fn batch(&self, segment: &Segment, position: usize, generation: u64) -> Option<BatchHeader> {
        let bytes = segment.bytes.get(position..)?;
        let header = BatchHeader::read(bytes)?;
        let is_next = header.generation == generation
            && header.follows == self.end()
            && header.first >= header.follows;
        let records = bytes.get(BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + header.length as usize)?;
        (is_next && are_whole(records, &header)).then_some(header)
    }

    fn take_batch(&mut self, segment: &Bytes, position: usize, batch: &BatchHeader) {
        let mut position = position + BATCH_HEADER_BYTES;
        for _ in 0..batch.count {
            let Some((record, length)) = read_record_header(&segment[position..]) else {
                return;
            };
            let name = position + record.channel.start..position + record.channel.end;
            if let Ok(channel) = Channel::from_shared(segment.slice(name)) {
                let (channel, _) = self.index.link(&channel, record.offset);
                let (position, length) = (position as u32, length as u32);
                let place = Place { offset: record.offset, channel, position, length };
                self.index.push(place, record.previous, record.logged_at_ms);
            }
            position += length;
        }
        self.end = Some(batch.end());
        self.reserved_to = self.reserved_to.max(batch.reserved_to);
    }
}

fn damage(segment: &Segment, position: usize, offset: Offset) -> RecoveryError {
    let (segment, position) = (segment_name(segment.number), position as u64);
    RecoveryError::Damaged { segment, position, offset }
}

/// Ends a segment where its last whole batch ends. The file is not written to any more, so nothing
/// of what was torn can ever be taken for a batch.
fn cut(segment: &Segment, position: usize, offset: Offset) -> io::Result<()> {
    let name = segment_name(segment.number);
    tracing::warn!(segment = name, position, %offset, "cut off the torn end of the log");
    segment.file.truncate(position as u64)
}

/// Whether the records fill the batch, each whole and at its offset.
fn are_whole(records: &[u8], batch: &BatchHeader) -> bool {
    let mut rest = records;
    for count in 0..u64::from(batch.count) {
        match read_record_header(rest) {
            Some((record, length)) if record.offset == batch.first.plus(count) => {
                rest = &rest[length..];
            }
            _ => return false,
        }
    }
    rest.is_empty()
}

const FIRST_SEGMENT: u64 = 1;
