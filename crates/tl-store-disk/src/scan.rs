//! Reading a whole segment, batch by batch, for as long as each is whole and follows the one before.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use tl_model::{Channel, Epoch, Offset};

use crate::disk::{Disk, DiskFile};
use crate::format::{
    ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, SEGMENT_HEADER_BYTES, SPARSE_HEADER_BYTES,
    SegmentHeader, read_record_header,
};
use crate::segments::segment_name;
use crate::trimmed::Trimmed;

/// A segment read into memory.
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    bytes: Bytes,
}

/// Where an event is, and what links it to others.
pub(crate) struct Record {
    pub(crate) offset: Offset,
    pub(crate) previous: Offset,
    pub(crate) logged_at_ms: u64,
    pub(crate) channel: Channel,
    pub(crate) position: u32,
    pub(crate) length: u32,
}

impl Segment {
    pub(crate) fn read(disk: &dyn Disk, number: u64) -> io::Result<Self> {
        Self::read_file(disk, &segment_name(number), number)
    }

    /// Reads a segment from a file that has another name yet.
    pub(crate) fn read_file(disk: &dyn Disk, name: &str, number: u64) -> io::Result<Self> {
        let file = disk.open(name)?;
        let mut bytes = vec![0; file.size()? as usize];
        file.read_at(&mut bytes, 0)?;
        Ok(Self { number, file, bytes: Bytes::from(bytes) })
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header, if it is whole.
    pub(crate) fn header(&self) -> Option<SegmentHeader> {
        SegmentHeader::read(&self.bytes)
    }

    /// What is missing in it, if its header is whole.
    pub(crate) fn trimmed(&self) -> Option<Trimmed> {
        self.header()?.trimmed(&self.bytes)
    }

    /// Whether a sparse segment that is whole up to an offset must have gone on behind it.
    pub(crate) fn is_cut(&self, end: Offset) -> bool {
        self.trimmed().is_some_and(|trimmed| trimmed.lost() >= end)
    }

    /// The batches, from the first on.
    pub(crate) fn batches(&self, header: &SegmentHeader) -> Batches<'_> {
        let (generation, end) = (header.generation, header.follows);
        Batches { bytes: &self.bytes, generation, position: header.batches_at(), end }
    }

    /// Whole batch headers of this use of the file, from a position on.
    pub(crate) fn later_headers(
        &self,
        position: usize,
        generation: u64,
    ) -> impl Iterator<Item = BatchHeader> + '_ {
        later_headers(&self.bytes, position, generation).map(|(_, header)| header)
    }

    /// The highest offset that any batch in the file says was synced, whichever use of it it is of.
    pub(crate) fn synced_to(&self) -> Offset {
        synced_to(&self.bytes)
    }

    /// The bytes of a record.
    pub(crate) fn record_bytes(&self, record: &Record) -> Bytes {
        let start = record.position as usize;
        self.bytes.slice(start..start + record.length as usize)
    }

    /// The records of a whole batch at a position.
    pub(crate) fn records(
        &self,
        position: usize,
        batch: &BatchHeader,
    ) -> impl Iterator<Item = Record> + '_ {
        let mut position = position + BATCH_HEADER_BYTES;
        (0..batch.count).map_while(move |_| {
            let (header, length) = read_record_header(&self.bytes[position..])?;
            let name = position + header.channel.start..position + header.channel.end;
            let record = Record {
                offset: header.offset,
                previous: header.previous,
                logged_at_ms: header.logged_at_ms,
                channel: Channel::from_shared(self.bytes.slice(name)).ok()?,
                position: position as u32,
                length: length as u32,
            };
            position += length;
            Some(record)
        })
    }
}

/// The header of a segment, and what is missing in the segment.
pub(crate) fn read_header(file: &dyn DiskFile) -> io::Result<Option<(SegmentHeader, Trimmed)>> {
    let mut bytes = vec![0; SPARSE_HEADER_BYTES.min(file.size()? as usize)];
    file.read_at(&mut bytes, 0)?;
    let header = SegmentHeader::read(&bytes);
    Ok(header.and_then(|header| Some((header, header.trimmed(&bytes)?))))
}

/// Those of some segments in whose place no other is: the number of the first segment each stands for,
/// and its own. A crash between naming a sparse segment and removing others leaves those behind.
pub(crate) fn standing(
    epoch: Epoch,
    numbers: &[u64],
    mut header_of: impl FnMut(u64) -> io::Result<Option<SegmentHeader>>,
) -> io::Result<Vec<(u64, u64)>> {
    let (mut standing, mut below) = (Vec::new(), u64::MAX);
    for &number in numbers.iter().rev().filter(|number| **number < u64::MAX) {
        if number >= below {
            continue;
        }
        let is_it = |header: &SegmentHeader| header.number == number && header.epoch == epoch;
        let header = header_of(number)?.filter(is_it);
        below = header.map_or(number, |header| header.first_number());
        standing.push((below, number));
    }
    standing.reverse();
    Ok(standing)
}

/// Goes from batch to batch.
pub(crate) struct Batches<'a> {
    bytes: &'a [u8],
    generation: u64,
    /// Behind the last batch.
    pub(crate) position: usize,
    pub(crate) end: Offset,
}

impl Iterator for Batches<'_> {
    type Item = (usize, BatchHeader);

    fn next(&mut self) -> Option<(usize, BatchHeader)> {
        let bytes = self.bytes.get(self.position..)?;
        let header = BatchHeader::read(bytes)?;
        let is_next = header.generation == self.generation && header.follows == self.end;
        (is_next && is_whole(bytes, &header)).then_some(())?;
        let position = self.position;
        self.position += header.span();
        self.end = header.end();
        Some((position, header))
    }
}

/// Batch headers of one use of a file, from a position on, each with its place.
pub(crate) fn later_headers(
    segment: &[u8],
    from: usize,
    generation: u64,
) -> impl Iterator<Item = (usize, BatchHeader)> + '_ {
    headers(segment, from).filter(move |(_, header)| header.generation == generation)
}

/// See [`Segment::synced_to`].
pub(crate) fn synced_to(segment: &[u8]) -> Offset {
    let synced = headers(segment, SEGMENT_HEADER_BYTES).map(|(_, header)| header.durable_to);
    synced.max().unwrap_or(Offset::START)
}

fn headers(segment: &[u8], from: usize) -> impl Iterator<Item = (usize, BatchHeader)> + '_ {
    let positions = (from..segment.len()).step_by(ALIGNMENT);
    positions.filter_map(|at| Some((at, BatchHeader::read(&segment[at..])?)))
}

/// Whether records fill the batch that these bytes begin with, each whole and at its offset.
pub(crate) fn is_whole(bytes: &[u8], batch: &BatchHeader) -> bool {
    let records = BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + batch.length as usize;
    let Some(mut rest) = bytes.get(records) else {
        return false;
    };
    let mut next = batch.follows;
    for number in 0..batch.count {
        match read_record_header(rest) {
            Some((record, length)) if batch.has(number, record.offset, next) => {
                rest = &rest[length..];
                next = record.offset.next();
            }
            _ => return false,
        }
    }
    rest.is_empty() && next <= batch.end()
}
