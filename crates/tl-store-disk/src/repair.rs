//! Making a damaged store open again, without what is lost.
//!
//! Every segment that is damaged or missing is replaced by a sparse one that holds what is whole of it
//! and says that events of any channel may be missing: so readers are told of a gap where they would
//! have found them. Files that are replaced are kept beside the journal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use tl_model::Offset;

use crate::directory::{Directory, DirectoryError};
use crate::disk::{Disk, RealDisk};
use crate::format::{
    BATCH_HEADER_BYTES, BatchHeader, RecordHeader, SegmentHeader, SegmentKind, read_record_header,
    told_length,
};
use crate::inspect::walk::{Break, Walk, implied_header, walk};
use crate::inspect::{Damage, DamageKind, Report, header_of, inspect_held, list};
use crate::scan::{Segment, standing};
use crate::segments::segment_name;
use crate::sparse::{LeftRecord, NEW_SPARSE_NAME, SparseSegment};
use crate::trimmed::Trimmed;

/// What a repair has done.
#[derive(Clone, Debug)]
pub struct Repair {
    /// What was wrong, and what is lost with it.
    pub damage: Vec<Damage>,
    /// What the store holds now.
    pub report: Report,
    /// Where the damaged files are kept.
    pub kept: PathBuf,
}

/// Why a store is not repaired. Nothing that was whole is lost.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The directory is not right.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The operating system would not.
    #[error("the store cannot be repaired: {0}; once that is mended, repair it again")]
    Io(#[from] io::Error),
    /// A file is of another log, or cannot be read.
    #[error("{0}; put the right file there, or move this one away, then it counts as missing")]
    Misplaced(Damage),
    /// Something is still wrong.
    #[error("the store is still damaged: {0}; restore it from a backup")]
    StillDamaged(Damage),
}

/// Repairs a store that no server has open, giving up what cannot be read.
pub fn repair(directory: &Path) -> Result<Repair, RepairError> {
    let held = Directory::open_existing(directory)?;
    let damage = inspect_held(&held)?.damage;
    let is_misplaced =
        |damage: &&Damage| matches!(damage.kind, DamageKind::Foreign | DamageKind::Unreadable(_));
    if let Some(misplaced) = damage.iter().find(is_misplaced) {
        return Err(RepairError::Misplaced(misplaced.clone()));
    }
    let kept = directory.join(KEPT_DIRECTORY);
    if !damage.is_empty() {
        Repairing::new(&held, &kept, &damage)?.repair()?;
    }
    let report = inspect_held(&held)?;
    match report.damage.first() {
        Some(damage) => Err(RepairError::StillDamaged(damage.clone())),
        None => Ok(Repair { damage, report, kept }),
    }
}

struct Repairing<'a> {
    held: &'a Directory,
    kept: &'a Path,
    disk: RealDisk,
    segments: Vec<Known>,
}

/// What is known of a segment that is there, or should be.
#[derive(Clone, Copy, Debug)]
struct Known {
    first: u64,
    number: u64,
    /// None if neither its header nor its first batch tells.
    header: Option<SegmentHeader>,
    /// Where its last whole batch ends.
    end: Option<Offset>,
    is_damaged: bool,
}

impl<'a> Repairing<'a> {
    fn new(held: &'a Directory, kept: &'a Path, damage: &[Damage]) -> io::Result<Self> {
        let disk = RealDisk::new(held.journal.clone(), 0);
        let mut repairing = Self { held, kept, disk, segments: Vec::new() };
        let (numbers, _) = list(&held.journal)?;
        let header_of = |number| Ok(header_of(&held.journal, number));
        for (first, number) in standing(held.epoch, &numbers, header_of)? {
            let next = repairing.segments.last().map_or(first, |before| before.number + 1);
            let is_damaged = damage.iter().any(|it| it.segment == segment_name(number));
            let found = repairing.look_at(next, first, number, is_damaged)?;
            if next < found.first {
                repairing.segments.push(Known::missing(next, found.first - 1));
            }
            repairing.segments.push(found);
        }
        Ok(repairing)
    }

    /// Looks at a segment. `next` is the number behind those before it.
    fn look_at(&self, next: u64, first: u64, number: u64, is_damaged: bool) -> io::Result<Known> {
        let bytes = Bytes::from(fs::read(self.path(number))?);
        let sound = SegmentHeader::read(&bytes).filter(|header| header.number == number);
        // One that was never begun holds what an earlier use of its file left behind.
        let implied = || is_damaged.then(|| self.implied(next, number, &bytes)).flatten();
        let header = sound.or_else(implied);
        let first = header.map_or(first, |header| header.first_number());
        let end = header.map(|header| walk(&bytes, &header, true).end);
        Ok(Known { first, number, header, end, is_damaged })
    }

    fn implied(&self, next: u64, number: u64, bytes: &[u8]) -> Option<SegmentHeader> {
        let follows = self.segments.iter().rev().find_map(|before| before.end);
        let follows = follows.unwrap_or(Offset::FIRST);
        implied_header(bytes, self.held.epoch, next..=number).filter(|it| it.follows >= follows)
    }

    fn repair(&self) -> io::Result<()> {
        let mut end = Offset::FIRST;
        for (place, found) in self.segments.iter().enumerate() {
            let follows = found.header.map_or(end, |header| header.follows);
            let behind = self.segments[place + 1..].iter().find_map(|it| it.header);
            let next = behind.map(|header| header.follows);
            end = match found.is_damaged {
                true => self.replace(found, follows, next)?,
                false => found.end.unwrap_or(end),
            };
        }
        Ok(())
    }

    /// Puts a sparse segment in the place of a damaged one. Returns where it ends.
    fn replace(&self, found: &Known, follows: Offset, next: Option<Offset>) -> io::Result<Offset> {
        let (records, mut trimmed, reached) = self.whole(found)?;
        // How much a lost end of the log held nobody can tell.
        let known = reached.max(follows).max(trimmed.lost());
        let end = next.unwrap_or(known.plus(LOST_OFFSETS_MAX)).max(follows);
        trimmed.note_lost(end.previous());
        let kind = SegmentKind::Sparse { first: found.first };
        let (epoch, number, generation) = (self.held.epoch, found.number, crate::random());
        let new = SparseSegment {
            header: SegmentHeader { epoch, number, generation, follows, kind },
            end,
            reserved_to: reached.max(end),
            trimmed: &trimmed,
            records,
        };
        new.write(&self.disk)?;
        self.keep(number)?;
        self.disk.rename(NEW_SPARSE_NAME, &segment_name(number))?;
        Ok(end)
    }

    /// What is whole of a segment, what was missing in it before, and the last offset it speaks of.
    fn whole(&self, found: &Known) -> io::Result<(Vec<LeftRecord>, Trimmed, Offset)> {
        let Some(header) = found.header else {
            return Ok((Vec::new(), Trimmed::default(), Offset::FIRST));
        };
        let segment = Segment::read(&self.disk, found.number)?;
        let bytes = segment.bytes();
        let Walk { batches, breaks, .. } = walk(bytes, &header, false);
        let record = |(position, batch): &(usize, BatchHeader)| {
            let records = segment.records(*position, batch);
            let left = records.map(|record| LeftRecord {
                offset: record.offset,
                bytes: segment.record_bytes(&record).to_vec(),
            });
            left.collect::<Vec<_>>()
        };
        let salvaged = |it: &Break| salvaged(bytes, it.position, header.generation);
        let mut records: Vec<_> = batches.iter().flat_map(record).collect();
        records.extend(breaks.iter().flat_map(salvaged));
        records.sort_by_key(|record| record.offset);
        let later = segment.later_headers(header.batches_at(), header.generation);
        let reached = later.map(|batch| batch.reserved_to.max(batch.end())).max();
        let trimmed = segment.trimmed().unwrap_or_default();
        Ok((records, trimmed, reached.unwrap_or(Offset::FIRST)))
    }

    /// Keeps a file under another name before another takes its own.
    fn keep(&self, number: u64) -> io::Result<()> {
        let path = self.path(number);
        if !path.exists() {
            return Ok(());
        }
        fs::create_dir_all(self.kept)?;
        let mut names = (1..).map(|count| self.kept.join(format!("{number:020}.{count}")));
        let free = names.find(|name| !name.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
        fs::hard_link(&path, free)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.held.journal.join(segment_name(number))
    }
}

/// The records that are whole in a batch that is not, if its header is.
fn salvaged(segment: &[u8], position: usize, generation: u64) -> Vec<LeftRecord> {
    let batch = segment.get(position..).and_then(BatchHeader::read);
    let Some(batch) = batch.filter(|batch| batch.generation == generation) else {
        return Vec::new();
    };
    let mut rest = segment.get(position + BATCH_HEADER_BYTES..).unwrap_or_default();
    let (mut records, mut next) = (Vec::new(), batch.follows);
    for number in 0..batch.count {
        let header = read_record_header(rest);
        let length = header.as_ref().map_or_else(|| told_length(rest), |(_, length)| *length);
        let Some((record, behind)) = rest.split_at_checked(length) else { break };
        rest = behind;
        if let Some((RecordHeader { offset, .. }, _)) = header
            && batch.has(number, offset, next)
        {
            records.push(LeftRecord { offset, bytes: record.to_vec() });
            next = offset.next();
        }
    }
    records
}

impl Known {
    /// Segments of which nothing is left.
    fn missing(first: u64, number: u64) -> Self {
        Self { first, number, header: None, end: None, is_damaged: true }
    }
}

const KEPT_DIRECTORY: &str = "damaged";
/// Far more than a segment can hold, and has been given out in advance.
const LOST_OFFSETS_MAX: u64 = 1 << 24;

#[cfg(test)]
mod tests;
