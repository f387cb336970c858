//! One segment, batch by batch, also behind damage.

use std::ops::{Range, RangeInclusive};

use bytes::Bytes;

use tl_model::{Epoch, LoggedEvent, Offset};

use crate::format::{
    BATCH_HEADER_BYTES, BatchHeader, SEGMENT_HEADER_BYTES, SPARSE_HEADER_BYTES, SegmentHeader,
    SegmentKind, read_record,
};
use crate::scan::{is_whole, later_headers};

/// What a segment holds.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Whole batches, each with its place.
    pub(crate) batches: Vec<(usize, BatchHeader)>,
    /// What had been synced and is not there any more.
    pub(crate) breaks: Vec<Break>,
    /// Where the last whole batch ends.
    pub(crate) position: usize,
    /// The offset behind it.
    pub(crate) end: Offset,
    /// Whether something was begun behind it that never became whole.
    pub(crate) is_torn: bool,
}

/// A place where batches are missing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Break {
    pub(crate) position: usize,
    pub(crate) offsets: Range<Offset>,
}

/// Reads a segment whose header is known. Only the last segment can have a torn end: every other was
/// synced before the next was begun.
pub(crate) fn walk(segment: &Bytes, header: &SegmentHeader, is_last: bool) -> Walk {
    let (position, end) = (header.batches_at(), header.follows);
    let (batches, breaks) = (Vec::new(), Vec::new());
    let mut walk = Walk { batches, breaks, position, end, is_torn: false };
    loop {
        walk.take_whole(segment, header.generation);
        let later = later_headers(segment, walk.position, header.generation);
        let later: Vec<_> = later.collect();
        let synced_to = later.iter().map(|(_, batch)| match is_last {
            true => batch.durable_to,
            false => batch.end(),
        });
        let synced_to = synced_to.max().unwrap_or(walk.end);
        if synced_to <= walk.end {
            walk.is_torn = !later.is_empty();
            return walk;
        }
        let next = later
            .into_iter()
            .find(|(at, batch)| batch.follows >= walk.end && is_whole(&segment[*at..], batch));
        let position = walk.position;
        let Some((at, batch)) = next else {
            walk.breaks.push(Break { position, offsets: walk.end..synced_to });
            return walk;
        };
        walk.breaks.push(Break { position, offsets: walk.end..batch.follows });
        (walk.position, walk.end) = (at, batch.follows);
    }
}

/// The events of a whole batch.
pub(crate) fn events(
    segment: &Bytes,
    position: usize,
    batch: &BatchHeader,
) -> impl Iterator<Item = LoggedEvent> {
    let start = position + BATCH_HEADER_BYTES;
    let end = start.saturating_add(batch.length as usize).min(segment.len());
    let mut records = segment.slice(start.min(end)..end);
    std::iter::from_fn(move || {
        let (event, length) = read_record(&records)?;
        records = records.slice(length..);
        Some(event)
    })
}

/// The header that the first batch of a segment implies, for when the segment's own is damaged. The
/// numbers are all that it may stand for.
pub(crate) fn implied_header(
    segment: &[u8],
    epoch: Epoch,
    numbers: RangeInclusive<u64>,
) -> Option<SegmentHeader> {
    let (first, number) = numbers.into_inner();
    let batch_at = |at: usize| BatchHeader::read(segment.get(at..)?);
    let dense = batch_at(SEGMENT_HEADER_BYTES).filter(BatchHeader::is_dense);
    let sparse = || batch_at(SPARSE_HEADER_BYTES).filter(|batch| !batch.is_dense());
    let (batch, kind) = match dense {
        Some(batch) => (batch, SegmentKind::Dense),
        None => (sparse()?, SegmentKind::Sparse { first }),
    };
    let BatchHeader { generation, follows, .. } = batch;
    Some(SegmentHeader { epoch, number, generation, follows, kind })
}

impl Walk {
    /// Goes on over batches for as long as each is whole and the next one.
    fn take_whole(&mut self, segment: &Bytes, generation: u64) {
        while let Some(batch) = segment.get(self.position..).and_then(BatchHeader::read) {
            let is_next = batch.generation == generation && batch.follows == self.end;
            if !is_next || !is_whole(&segment[self.position..], &batch) {
                return;
            }
            self.batches.push((self.position, batch));
            self.position += batch.span();
            self.end = batch.end();
        }
    }
}
