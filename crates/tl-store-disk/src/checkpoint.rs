//! The heads as of a sealed segment, in a file, so that opening need not read the index of every
//! segment before it.
//!
//! ```text
//! header    magic 8 │ first segment 8 │ last segment 8 │ generations 8 │ end 8 │ reserved to 8
//!           │ channels 8 │ length 8
//! channel   name length 1 │ name │ last 8 │ trimmed to 8 │ logged at 8 │ bytes 8 │ count 4
//! ```
//!
//! Numbers are little endian; all of it is in [`blocks`](crate::blocks). It counts only for exactly
//! the segments it names: when one of them has been dropped since, or filled anew, it is passed over.

use std::io;
use std::sync::Arc;

use tl_model::Offset;

use crate::blocks::{Blocks, store, unsound};
use crate::disk::Disk;
use crate::heads::Head;
use crate::index::{Index, SharedIndex};
use crate::sealed::Sealed;

/// The segments a checkpoint speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Covered {
    /// The number of the oldest.
    pub(crate) first: u64,
    /// The number of the newest.
    pub(crate) last: u64,
    /// Differs with the generation of any.
    pub(crate) generations: u64,
    /// Where the newest ends.
    pub(crate) end: Offset,
    /// The highest `reserved to` of their batches.
    pub(crate) reserved_to: Offset,
}

impl Covered {
    /// What all of these cover, in order.
    pub(crate) fn of(segments: &[Arc<Sealed>]) -> Option<Self> {
        let (first, last) = (segments.first()?, segments.last()?);
        let reserved_to = segments.iter().map(|segment| segment.reserved_to).max()?;
        Some(Self {
            first: first.number,
            last: last.number,
            generations: generations(segments.iter().map(|it| (it.number, it.generation))),
            end: last.end,
            reserved_to,
        })
    }

    /// Whether these, given by number and generation, are all that is covered.
    pub(crate) fn is_of(&self, segments: &[(u64, u64)]) -> bool {
        let ends = |it: &(u64, u64)| it.0;
        segments.first().map(ends) == Some(self.first)
            && segments.last().map(ends) == Some(self.last)
            && generations(segments.iter().copied()) == self.generations
    }
}

fn generations(segments: impl Iterator<Item = (u64, u64)>) -> u64 {
    segments.fold(0, |before: u64, (number, generation)| {
        before.rotate_left(1) ^ generation ^ number.rotate_left(32)
    })
}

/// A checkpoint that has been read, and is sound.
pub(crate) struct Checkpoint {
    pub(crate) covered: Covered,
    channels: u64,
    content: Vec<u8>,
}

/// Writes what the heads were when the newest of these segments was full. Nothing may be sealed or
/// forgotten meanwhile; publishing goes on.
pub(crate) fn write(disk: &dyn Disk, index: &SharedIndex, covered: Covered) -> io::Result<()> {
    let mut content = vec![0; HEADER_BYTES];
    let (mut channels, mut start) = (0_u64, 0);
    loop {
        let index = index.read();
        let Some(heads) = index.sealed_heads(start, HEADS_READ) else { break };
        for (name, head) in &heads {
            write_channel(&mut content, name, head);
        }
        channels += heads.len() as u64;
        start += HEADS_READ;
    }
    let Covered { first, last, generations, end, reserved_to } = covered;
    let (end, reserved_to) = (end.get(), reserved_to.get());
    let numbers = [first, last, generations, end, reserved_to, channels, content.len() as u64];
    content[..8].copy_from_slice(&MAGIC);
    for (field, number) in content[8..HEADER_BYTES].chunks_mut(8).zip(numbers) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    store(disk, NAME, &content).map(drop)
}

impl Checkpoint {
    /// Reads the checkpoint.
    ///
    /// # Errors
    ///
    /// There is none, or not a sound one.
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Self> {
        let blocks = Blocks::new(disk.open(NAME)?);
        let header = blocks.read(0, HEADER_BYTES)?;
        if header[..8] != MAGIC {
            return Err(unsound("it is no checkpoint of this version"));
        }
        let mut fields = Fields(&header[8..]);
        let covered = Covered {
            first: fields.u64()?,
            last: fields.u64()?,
            generations: fields.u64()?,
            end: Offset::new(fields.u64()?),
            reserved_to: Offset::new(fields.u64()?),
        };
        let (channels, len) = (fields.u64()?, fields.u64()?);
        let content = blocks.read(0, len as usize)?;
        Ok(Self { covered, channels, content })
    }

    /// Fills the heads of an index that has none.
    pub(crate) fn load(&self, index: &mut Index) -> io::Result<()> {
        let mut fields = Fields(&self.content[HEADER_BYTES..]);
        index.reserve_heads(self.channels as usize);
        for _ in 0..self.channels {
            let name_len = usize::from(fields.take(1)?[0]);
            let name = std::str::from_utf8(fields.take(name_len)?).map_err(io::Error::other)?;
            let head = Head {
                last: Offset::new(fields.u64()?),
                trimmed_to: Offset::new(fields.u64()?),
                logged_at_ms: fields.u64()?,
                bytes: fields.u64()?,
                count: fields.u32()?,
                is_linked: false,
            };
            index.push_head(name, head);
        }
        Ok(())
    }
}

fn write_channel(out: &mut Vec<u8>, name: &str, head: &Head) {
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    for number in [head.last.get(), head.trimmed_to.get(), head.logged_at_ms, head.bytes] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&head.count.to_le_bytes());
}

/// Reads fields one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> io::Result<&'a [u8]> {
        let split = self.0.split_at_checked(len);
        let (field, rest) = split.ok_or_else(|| unsound("a checkpoint is cut off"))?;
        self.0 = rest;
        Ok(field)
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }
}

const NAME: &str = "heads";
const MAGIC: [u8; 8] = *b"TLhead\0\x02";
const HEADER_BYTES: usize = 64;
/// Heads looked at under one lock: some hundred microseconds.
const HEADS_READ: usize = 1_024;
