//! Reading a whole segment, batch by batch, for as long as each is whole and follows the one before.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use tl_model::{Channel, Offset};

use crate::disk::{Disk, DiskFile};
use crate::format::{
    ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
    read_record_header,
};
use crate::segments::segment_name;

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
        let file = disk.open(&segment_name(number))?;
        let mut bytes = vec![0; file.size()? as usize];
        file.read_at(&mut bytes, 0)?;
        Ok(Self { number, file, bytes: Bytes::from(bytes) })
    }

    /// The header, if it is whole.
    pub(crate) fn header(&self) -> Option<SegmentHeader> {
        SegmentHeader::read(&self.bytes)
    }

    /// The batches, from the first on.
    pub(crate) fn batches(&self, header: &SegmentHeader) -> Batches<'_> {
        let (generation, end) = (header.generation, header.follows);
        Batches { bytes: &self.bytes, generation, position: SEGMENT_HEADER_BYTES, end }
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
    let Some(mut rest) = bytes.get(records).filter(|_| batch.first >= batch.follows) else {
        return false;
    };
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
