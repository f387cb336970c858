//! Writing a sparse segment: what is left of others, in one go.

use std::io;

use tl_model::Offset;

use crate::blocks::unsound;
use crate::disk::Disk;
use crate::format::{
    ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, Extent, SPARSE_HEADER_BYTES, SegmentHeader,
};
use crate::scan::Segment;
use crate::sealed::Sealed;
use crate::trimmed::Trimmed;

/// A sparse segment to be written.
pub(crate) struct SparseSegment<'a> {
    pub(crate) header: SegmentHeader,
    pub(crate) end: Offset,
    pub(crate) reserved_to: Offset,
    pub(crate) trimmed: &'a Trimmed,
    pub(crate) records: Vec<LeftRecord>,
}

impl SparseSegment<'_> {
    /// Writes the segment and its index, and reads it back.
    pub(crate) fn write(self, disk: &dyn Disk) -> io::Result<Sealed> {
        let (number, end, count) = (self.header.number, self.end, self.records.len());
        let content = self.content();
        let file = disk.create(NEW_SPARSE_NAME, 0)?;
        file.write_at(&content, 0)?;
        file.sync()?;
        drop(content);
        let segment = Segment::read_file(disk, NEW_SPARSE_NAME, number)?;
        let sealed = Sealed::make_of(disk, segment, end)?;
        match sealed.event_count()? == count {
            true => Ok(sealed),
            false => Err(unsound("a segment that was just written has not what it should have")),
        }
    }

    fn content(self) -> Vec<u8> {
        let Self { header, end, reserved_to, trimmed, records } = self;
        let bytes: usize = records.iter().map(|record| record.bytes.len() + ALIGNMENT).sum();
        let mut out = Vec::with_capacity(SPARSE_HEADER_BYTES + bytes);
        header.write_sparse(header.first_number(), trimmed, &mut out);
        let new = |follows| OpenBatch { at: 0, count: 0, follows, last: follows };
        let mut batch = new(header.follows).begin(&mut out);
        for record in records {
            if out.len() - batch.at > BATCH_BYTES {
                let next = batch.last.next();
                batch.finish(header.generation, next, reserved_to, &mut out);
                batch = new(next).begin(&mut out);
            }
            out.extend_from_slice(&record.bytes);
            batch.count += 1;
            batch.last = record.offset;
        }
        batch.finish(header.generation, end, reserved_to, &mut out);
        out
    }
}

/// A batch that is being written.
struct OpenBatch {
    at: usize,
    count: u32,
    follows: Offset,
    last: Offset,
}

impl OpenBatch {
    fn begin(self, out: &mut Vec<u8>) -> Self {
        let at = out.len();
        out.resize(at + BATCH_HEADER_BYTES, 0);
        Self { at, ..self }
    }

    fn finish(&self, generation: u64, end: Offset, reserved_to: Offset, out: &mut Vec<u8>) {
        let length = (out.len() - self.at - BATCH_HEADER_BYTES) as u32;
        let (count, follows, extent) = (self.count, self.follows, Extent::Sparse { end });
        let durable_to = end;
        let header =
            BatchHeader { generation, length, count, follows, extent, durable_to, reserved_to };
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        header.write(&mut out[self.at..]);
    }
}

/// A record that is copied as it is.
pub(crate) struct LeftRecord {
    pub(crate) offset: Offset,
    pub(crate) bytes: Vec<u8>,
}

/// The name of a sparse segment until it is whole.
pub(crate) const NEW_SPARSE_NAME: &str = "sparse.new";
/// Bytes of a batch in a sparse segment, about.
const BATCH_BYTES: usize = 1024 * 1024;
