//! The bytes of the journal.
//!
//! ```text
//! segment   header 48 │ batch │ batch │ … │ zeros, or what is left of an earlier use
//!
//! header    magic 8 │ crc 4 │ zero 4 │ epoch 8 │ number 8 │ generation 8 │ follows 8
//!
//! batch     magic 4 │ crc 4 │ generation 8 │ length 4 │ count 4 │ follows 8 │ first offset 8
//!           │ durable to 8 │ reserved to 8 │ record │ record │ … │ zeros up to a multiple of 8
//!
//! record    crc 4 │ length 4 │ offset 8 │ previous 8 │ logged at 8 │ channel length 1
//!           │ channel │ event
//! ```
//!
//! Numbers are little endian, checksums are CRC-32C of all that follows them in their part. A batch
//! is whole when its header and each of its records are.
//!
//! That is a dense segment, as it is written: in a batch every offset is there. What is left of several
//! when most of them is not kept any more goes into a sparse one, which has the number of the last
//! of them and takes the place of all. It begins with a header of its own:
//!
//! ```text
//! header    magic 8 │ crc 4 │ zero 4 │ epoch 8 │ number 8 │ generation 8 │ follows 8
//!           │ first number 8 │ lost to 8 │ trimmed to 8
//!           │ tokens 4 │ { trimmed to 8 │ length 1 │ token } │ zeros up to 4096
//! ```
//!
//! Its batches differ in their magic and in that they hold, in the place of the first offset, the one
//! at which they end. What is [missing](Trimmed) its header tells.
//!
//! - `generation` is drawn at random each time a file becomes a segment, so that what an earlier use
//!   left behind is never taken for a batch.
//! - `follows` is the offset at which what came before ended: a batch or segment that follows another
//!   place than the one reached is not the next.
//! - `durable to` is the offset up to which everything had been synced when the batch was written.
//!   If bytes below it are damaged, that is damage; above, it is the torn end of a power loss.
//! - `reserved to` is at least the offset below which offsets may have been given out, though with
//!   weaker durability. After a crash the log goes on there, so that no offset is given out twice.

use bytes::Bytes;

use tl_model::{Channel, Epoch, Event, LoggedEvent, NewEvent, Offset};

use crate::trimmed::{TRIMMED_BYTES_MAX, Trimmed};

/// The version of everything in this file, and of the directory around it.
pub(crate) const VERSION: u32 = 1;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 48;
pub(crate) const BATCH_HEADER_BYTES: usize = 56;
/// Batches begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;
/// The header of a sparse segment: a page of the usual file systems.
pub(crate) const SPARSE_HEADER_BYTES: usize = SEGMENT_HEADER_BYTES + 8 + TRIMMED_BYTES_MAX;
const RECORD_HEADER_BYTES: usize = 33;
const SEGMENT_MAGIC: [u8; 8] = *b"TLsegm\0\x01";
const SPARSE_MAGIC: [u8; 8] = *b"TLspar\0\x01";
const BATCH_MAGIC: [u8; 4] = *b"TLb\x01";
const SPARSE_BATCH_MAGIC: [u8; 4] = *b"TLs\x01";

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SegmentHeader {
    pub(crate) epoch: Epoch,
    pub(crate) number: u64,
    pub(crate) generation: u64,
    pub(crate) follows: Offset,
    pub(crate) kind: SegmentKind,
}

/// How a segment came to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SegmentKind {
    /// It was written from its beginning to its end.
    Dense,
    /// It holds what is left of all segments from this number on up to its own.
    Sparse { first: u64 },
}

impl SegmentHeader {
    /// Writes the header of a dense segment.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.write_fields(SEGMENT_MAGIC, out);
        set_header_crc(&mut out[start..]);
    }

    /// Writes the header of a sparse segment, with what is missing in it.
    pub(crate) fn write_sparse(&self, first: u64, trimmed: &Trimmed, out: &mut Vec<u8>) {
        let start = out.len();
        self.write_fields(SPARSE_MAGIC, out);
        out.extend_from_slice(&first.to_le_bytes());
        trimmed.write(out);
        out.resize(start + SPARSE_HEADER_BYTES, 0);
        set_header_crc(&mut out[start..]);
    }

    fn write_fields(&self, magic: [u8; 8], out: &mut Vec<u8>) {
        out.extend_from_slice(&magic);
        out.extend_from_slice(&[0; 8]);
        for number in [self.epoch.get(), self.number, self.generation, self.follows.get()] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// The header these bytes begin with, if it is whole.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let is_sparse = bytes.starts_with(&SPARSE_MAGIC);
        let len = if is_sparse { SPARSE_HEADER_BYTES } else { SEGMENT_HEADER_BYTES };
        let bytes = bytes.get(..len)?;
        let mut fields = Fields(bytes);
        let has_magic = is_sparse || bytes.starts_with(&SEGMENT_MAGIC);
        fields.take::<8>()?;
        let is_whole = fields.u32()? == crc32c::crc32c(&bytes[12..]) && fields.u32()? == 0;
        (has_magic && is_whole).then_some(())?;
        Some(Self {
            epoch: Epoch::try_from(fields.u64()?).ok()?,
            number: fields.u64()?,
            generation: fields.u64()?,
            follows: Offset::new(fields.u64()?),
            kind: match is_sparse {
                true => SegmentKind::Sparse { first: fields.u64()? },
                false => SegmentKind::Dense,
            },
        })
    }

    /// The number of the first segment in whose place it is.
    pub(crate) fn first_number(&self) -> u64 {
        match self.kind {
            SegmentKind::Dense => self.number,
            SegmentKind::Sparse { first } => first,
        }
    }

    /// Where the first batch begins.
    pub(crate) fn batches_at(&self) -> usize {
        match self.kind {
            SegmentKind::Dense => SEGMENT_HEADER_BYTES,
            SegmentKind::Sparse { .. } => SPARSE_HEADER_BYTES,
        }
    }

    /// What is missing in a segment that begins with these bytes.
    pub(crate) fn trimmed(&self, bytes: &[u8]) -> Option<Trimmed> {
        match self.kind {
            SegmentKind::Dense => Some(Trimmed::default()),
            SegmentKind::Sparse { .. } => {
                Trimmed::read(bytes.get(SEGMENT_HEADER_BYTES + 8..SPARSE_HEADER_BYTES)?)
            }
        }
    }
}

fn set_header_crc(header: &mut [u8]) {
    let crc = crc32c::crc32c(&header[12..]);
    header[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// The beginning of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BatchHeader {
    pub(crate) generation: u64,
    /// Bytes of all records.
    pub(crate) length: u32,
    pub(crate) count: u32,
    pub(crate) follows: Offset,
    pub(crate) extent: Extent,
    pub(crate) durable_to: Offset,
    pub(crate) reserved_to: Offset,
}

/// Which offsets a batch has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// All from this one on.
    Dense { first: Offset },
    /// Some, before this one.
    Sparse { end: Offset },
}

impl BatchHeader {
    /// Writes the header over the space that was left for it.
    pub(crate) fn write(&self, out: &mut [u8]) {
        let (magic, extent) = match self.extent {
            Extent::Dense { first } => (BATCH_MAGIC, first),
            Extent::Sparse { end } => (SPARSE_BATCH_MAGIC, end),
        };
        out[..4].copy_from_slice(&magic);
        out[8..16].copy_from_slice(&self.generation.to_le_bytes());
        out[16..20].copy_from_slice(&self.length.to_le_bytes());
        out[20..24].copy_from_slice(&self.count.to_le_bytes());
        let offsets = [self.follows, extent, self.durable_to, self.reserved_to];
        for (index, offset) in offsets.iter().enumerate() {
            let start = 24 + index * 8;
            out[start..start + 8].copy_from_slice(&offset.get().to_le_bytes());
        }
        let crc = crc32c::crc32c(&out[8..BATCH_HEADER_BYTES]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header these bytes begin with, if it is whole.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        let mut fields = Fields(bytes);
        let extent = match fields.take()? {
            BATCH_MAGIC => |first| Extent::Dense { first },
            SPARSE_BATCH_MAGIC => |end| Extent::Sparse { end },
            _ => return None,
        };
        (fields.u32()? == crc32c::crc32c(&bytes[8..])).then_some(())?;
        Some(Self {
            generation: fields.u64()?,
            length: fields.u32()?,
            count: fields.u32()?,
            follows: Offset::new(fields.u64()?),
            extent: extent(Offset::new(fields.u64()?)),
            durable_to: Offset::new(fields.u64()?),
            reserved_to: Offset::new(fields.u64()?),
        })
    }

    /// Whether it has all offsets from its first one on.
    pub(crate) fn is_dense(&self) -> bool {
        matches!(self.extent, Extent::Dense { .. })
    }

    /// Where the next batch begins, counted from the beginning of this one.
    pub(crate) fn span(&self) -> usize {
        (BATCH_HEADER_BYTES + self.length as usize).next_multiple_of(ALIGNMENT)
    }

    /// The offset behind the last event.
    pub(crate) fn end(&self) -> Offset {
        match self.extent {
            Extent::Dense { first } => first.plus(u64::from(self.count)),
            Extent::Sparse { end } => end,
        }
    }

    /// Whether an event can come behind those before `next`, as the one with this number in the batch.
    pub(crate) fn has(&self, number: u32, offset: Offset, next: Offset) -> bool {
        match self.extent {
            Extent::Dense { first } => offset == first.plus(u64::from(number)) && next <= offset,
            Extent::Sparse { end } => next <= offset && offset < end,
        }
    }
}

/// Writes a record and returns its length.
pub(crate) fn write_record(
    out: &mut Vec<u8>,
    new: &NewEvent,
    offset: Offset,
    previous: Offset,
    logged_at_ms: u64,
) -> usize {
    let start = out.len();
    let channel = new.channel.as_str().as_bytes();
    let length = record_length(new);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    for number in [offset.get(), previous.get(), logged_at_ms] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(channel.len() as u8);
    out.extend_from_slice(channel);
    out.extend_from_slice(new.event.encoded());
    let crc = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    length
}

/// Reads the record these bytes begin with, sharing them; `None` unless it is whole and legal.
pub(crate) fn read_record(bytes: &Bytes) -> Option<(LoggedEvent, usize)> {
    let (header, length) = read_record_header(bytes)?;
    let channel = Channel::from_shared(bytes.slice(header.channel.clone())).ok()?;
    let event = Event::from_encoded(bytes.slice(header.channel.end..length)).ok()?;
    let (offset, previous) = (header.offset, header.previous);
    let logged_at_ms = header.logged_at_ms;
    Some((LoggedEvent { offset, previous, logged_at_ms, channel, event }, length))
}

/// What the event of a record of this length [costs](LoggedEvent::cost).
pub(crate) fn record_cost(length: u32) -> usize {
    length as usize - RECORD_HEADER_BYTES + size_of::<LoggedEvent>()
}

/// The bytes of some events of a channel, of their records together.
pub(crate) fn event_bytes(record_bytes: u64, count: u64, channel: &str) -> u64 {
    record_bytes.saturating_sub(count * (RECORD_HEADER_BYTES + channel.len()) as u64)
}

/// The length of the record of an event.
pub(crate) fn record_length(new: &NewEvent) -> usize {
    RECORD_HEADER_BYTES + new.channel.as_str().len() + new.event.encoded().len()
}

/// A record but for the event itself.
pub(crate) struct RecordHeader {
    pub(crate) offset: Offset,
    pub(crate) previous: Offset,
    pub(crate) logged_at_ms: u64,
    /// Where the channel's name is.
    pub(crate) channel: std::ops::Range<usize>,
}

/// Checks a record and reads its header; also returns its length.
pub(crate) fn read_record_header(bytes: &[u8]) -> Option<(RecordHeader, usize)> {
    let mut fields = Fields(bytes);
    let crc = fields.u32()?;
    let length = fields.u32()? as usize;
    let record = bytes.get(..length)?;
    (record.len() >= RECORD_HEADER_BYTES && crc == crc32c::crc32c(&record[4..])).then_some(())?;
    let (offset, previous) = (Offset::new(fields.u64()?), Offset::new(fields.u64()?));
    let logged_at_ms = fields.u64()?;
    let channel = RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + usize::from(fields.take::<1>()?[0]);
    (channel.end <= length).then_some(())?;
    Some((RecordHeader { offset, previous, logged_at_ms, channel }, length))
}

/// The length that a record tells of itself, whole or not; `usize::MAX` if it cannot be one.
pub(crate) fn told_length(bytes: &[u8]) -> usize {
    let length = Fields(bytes.get(4..).unwrap_or_default()).u32().map(|length| length as usize);
    length.filter(|length| *length >= RECORD_HEADER_BYTES).unwrap_or(usize::MAX)
}

/// Reads fixed fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn new_event(data: &[u8]) -> NewEvent {
        let event = Event::builder("1", "/s", "t").data(data).build().expect("legal");
        NewEvent { channel: Channel::parse("a.b").expect("channel"), event }
    }

    #[test]
    fn headers_come_back_as_they_were() {
        let epoch = Epoch::from_random(1 << 50);
        let follows = Offset::new(5);
        let kind = SegmentKind::Dense;
        let segment = SegmentHeader { epoch, number: 3, generation: 4, follows, kind };
        let mut bytes = Vec::new();
        segment.write(&mut bytes);
        assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES);
        assert_eq!(SegmentHeader::read(&bytes), Some(segment));
        let batch = BatchHeader {
            generation: 1,
            length: 2,
            count: 3,
            follows: Offset::new(4),
            extent: Extent::Dense { first: Offset::new(5) },
            durable_to: Offset::new(6),
            reserved_to: Offset::new(7),
        };
        let mut bytes = vec![0; BATCH_HEADER_BYTES];
        batch.write(&mut bytes);
        assert_eq!(BatchHeader::read(&bytes), Some(batch));
        assert_eq!((batch.span(), batch.end()), (64, Offset::new(8)));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut record = Vec::new();
        let (offset, previous) = (Offset::new(9), Offset::new(8));
        let length = write_record(&mut record, &new_event(b"data"), offset, previous, 7);
        assert_eq!(length, record.len());
        let mut header = vec![0; BATCH_HEADER_BYTES];
        let zero = Offset::START;
        let batch = BatchHeader {
            generation: 1,
            length: 2,
            count: 3,
            follows: zero,
            extent: Extent::Dense { first: zero },
            durable_to: zero,
            reserved_to: zero,
        };
        batch.write(&mut header);
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read_record(&Bytes::from(damaged)).is_none(), "record bit {bit}");
        }
        for bit in 0..header.len() * 8 {
            let mut damaged = header.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(BatchHeader::read(&damaged).is_none(), "header bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let new = new_event(&data);
            let mut bytes = Vec::new();
            let length = write_record(&mut bytes, &new, Offset::new(9), Offset::new(3), 77);
            bytes.extend_from_slice(b"what follows");
            let (logged, read) = read_record(&Bytes::from(bytes)).expect("whole");
            prop_assert_eq!((read, record_length(&new)), (length, length));
            prop_assert_eq!(record_cost(length as u32), logged.cost());
            prop_assert_eq!(logged.offset, Offset::new(9));
            prop_assert_eq!((logged.previous, logged.logged_at_ms), (Offset::new(3), 77));
            prop_assert_eq!((logged.channel, logged.event), (new.channel, new.event));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = SegmentHeader::read(&bytes);
            let _ = BatchHeader::read(&bytes);
            let _ = read_record(&Bytes::from(bytes));
        }
    }
}
