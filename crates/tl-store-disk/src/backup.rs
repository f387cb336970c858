//! A copy of a store that a server may be using.
//!
//! Nothing is locked and nobody waits. Segments are copied in order, each up to where its last whole
//! batch ends, so the copy is a beginning of the log, once it is made. All but the last one do not
//! change any more, but the server may trim them and use their files again: a file is read through
//! one handle, and what was read counts only if its header is the same before and after.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use tl_model::Offset;

use crate::directory::{Directory, DirectoryError};
use crate::format::SegmentHeader;
use crate::inspect::walk::{Walk, walk};
use crate::inspect::{Damage, DamageKind, Report, header_in, header_of, inspect_held, list};
use crate::scan::standing;
use crate::segments::segment_name;

/// What a backup has done.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Segments copied now.
    pub copied: u64,
    /// Segments that an earlier backup had copied already.
    pub kept: u64,
    /// Segments removed from the copy because the store has trimmed them.
    pub removed: u64,
    /// What the copy holds.
    pub report: Report,
}

/// Why a store is not backed up. What was copied before stays, and is used by the next backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The copy goes on behind the end of the store.
    #[error(
        "{} holds more than the store: it is no earlier backup of it, or the store has lost events; \
         choose another directory",
        .0.display()
    )]
    Ahead(PathBuf),
    /// The copy is not what was written.
    #[error("the backup is damaged: {0}; look at the disk and back up to another directory")]
    CopyDamaged(Damage),
    /// The store itself is damaged.
    #[error("the store is damaged: {0}; `throughline store check` tells all")]
    Damaged(Damage),
    /// One of the directories is not right.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The operating system would not.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory belongs to another log.
    #[error("{} holds a copy of another log; choose another directory", .0.display())]
    Other(PathBuf),
    /// Segments are trimmed as fast as they are copied.
    #[error("the store trims its segments faster than they can be copied")]
    Overtaken,
    /// A store cannot be copied onto itself.
    #[error("{} is the store itself; choose another directory", .0.display())]
    Same(PathBuf),
}

/// Copies the store in a directory, which a server may be using, into another that a server can open.
/// Everything that was synced before the call is in the copy, which is synced and checked.
pub fn backup(from: &Path, to: &Path) -> Result<Backup, BackupError> {
    let epoch = Directory::epoch_of(from)?;
    let same = |path: &Path| fs::canonicalize(path).ok();
    if same(from) == same(to) {
        return Err(BackupError::Same(to.to_owned()));
    }
    let target = Directory::open(to, epoch)?;
    if target.epoch != epoch {
        return Err(BackupError::Other(to.to_owned()));
    }
    let source = Directory::journal_of(from);
    let (copied, kept) = (BTreeSet::new(), BTreeSet::new());
    let mut copying = Copying { source, target: &target, to, copied, kept, removed: 0 };
    copying.copy()?;
    let Copying { copied, kept, removed, .. } = copying;
    let report = inspect_held(&target).map_err(at(&target.journal))?;
    match report.damage.first() {
        Some(damage) => Err(BackupError::CopyDamaged(damage.clone())),
        None => {
            let (copied, kept) = (copied.len() as u64, kept.difference(&copied).count() as u64);
            Ok(Backup { copied, kept, removed, report })
        }
    }
}

/// A backup under way.
struct Copying<'a> {
    source: PathBuf,
    target: &'a Directory,
    to: &'a Path,
    copied: BTreeSet<u64>,
    kept: BTreeSet<u64>,
    removed: u64,
}

/// How a pass over the store or one of its segments ended.
enum Outcome {
    /// It is copied, up to this offset.
    Copied(Option<Offset>),
    /// It was trimmed or used again while it was being read.
    Gone,
    /// It cannot be whole. If it is the same when looked at again, that is damage, and otherwise the
    /// server was writing there.
    Suspect(Damage),
}

/// A segment as it was read.
struct Segment {
    header: SegmentHeader,
    bytes: Bytes,
    walk: Walk,
}

impl Copying<'_> {
    /// Passes over the store until one pass has met no change.
    fn copy(&mut self) -> Result<(), BackupError> {
        let mut suspected = None;
        for _ in 0..PASSES_MAX {
            match self.pass()? {
                Outcome::Copied(_) => return Ok(()),
                Outcome::Gone => suspected = None,
                Outcome::Suspect(damage) if suspected.as_ref() == Some(&damage) => {
                    return Err(BackupError::Damaged(damage));
                }
                Outcome::Suspect(damage) => suspected = Some(damage),
            }
        }
        Err(BackupError::Overtaken)
    }

    fn pass(&mut self) -> Result<Outcome, BackupError> {
        let (numbers, _) = list(&self.source).map_err(at(&self.source))?;
        let header_of = |number| Ok(header_of(&self.source, number));
        let segments = standing(self.target.epoch, &numbers, header_of);
        let segments = segments.map_err(at(&self.source))?;
        if let Some(pair) = segments.windows(2).find(|pair| pair[0].1 + 1 != pair[1].0) {
            return Ok(Outcome::Suspect(suspicion(pair[0].1 + 1, 0, DamageKind::Missing)));
        }
        self.drop_trimmed(&segments)?;
        let mut end = None;
        for (place, &(_, number)) in segments.iter().enumerate() {
            let next = segments.get(place + 1).map(|(_, next)| *next);
            match self.segment(number, end, next)? {
                Outcome::Copied(reached) => end = reached,
                other => return Ok(other),
            }
        }
        Ok(Outcome::Copied(end))
    }

    /// Removes what the store has trimmed, oldest first: a copy keeps nothing longer than the store.
    fn drop_trimmed(&mut self, segments: &[(u64, u64)]) -> Result<(), BackupError> {
        let (copies, _) = list(&self.target.journal).map_err(at(&self.target.journal))?;
        if copies.last() > segments.last().map(|(_, number)| number) {
            return Err(BackupError::Ahead(self.to.to_owned()));
        }
        self.remove(0..segments.first().map_or(0, |(first, _)| *first))
    }

    /// Removes the copies of segments with these numbers.
    fn remove(&mut self, numbers: Range<u64>) -> Result<(), BackupError> {
        let (copies, _) = list(&self.target.journal).map_err(at(&self.target.journal))?;
        for number in copies.into_iter().filter(|number| numbers.contains(number)) {
            let path = self.target.journal.join(segment_name(number));
            fs::remove_file(&path).map_err(at(&path))?;
            self.removed += 1;
        }
        Ok(())
    }

    /// Copies one segment, unless it is there already. `end` is where the one before it ended, `next` the
    /// number of the one behind it.
    fn segment(
        &mut self,
        number: u64,
        end: Option<Offset>,
        next: Option<u64>,
    ) -> Result<Outcome, BackupError> {
        let is_last = next.is_none();
        let copy = read_segment(&self.target.journal, number, is_last)?;
        let is_current = |copy: &&Segment| next.is_some_and(|next| self.is_current(copy, next));
        if let Some(copy) = copy.as_ref().filter(is_current) {
            self.kept.insert(number);
            return Ok(Outcome::Copied(Some(copy.walk.end)));
        }
        let segment = match read_settled(&self.source, number, is_last)? {
            Some(segment) => segment,
            // Named, but not begun: a server has just gone on to it, or stopped there.
            None if is_last => return Ok(Outcome::Copied(end)),
            None => return Ok(Outcome::Suspect(suspicion(number, 0, DamageKind::Header))),
        };
        if let Some(broken) = segment.walk.breaks.first() {
            return Ok(Outcome::Suspect(suspicion(number, broken.position, DamageKind::Batch)));
        }
        if end.is_some_and(|end| end != segment.header.follows) {
            return Ok(Outcome::Suspect(suspicion(number, 0, DamageKind::Batch)));
        }
        let is_ahead =
            |copy: Segment| copy.header == segment.header && copy.walk.end > segment.walk.end;
        if copy.is_some_and(is_ahead) {
            return Err(BackupError::Ahead(self.to.to_owned()));
        }
        if header_of(&self.source, number) != Some(segment.header) {
            return Ok(Outcome::Gone);
        }
        self.write(number, &segment.bytes[..segment.walk.position])?;
        // It stands for those before it.
        self.remove(segment.header.first_number()..number)?;
        Ok(Outcome::Copied(Some(segment.walk.end)))
    }

    /// Whether a copy is the whole of a segment that is finished: the one behind it says where.
    fn is_current(&self, copy: &Segment, next: u64) -> bool {
        let is_behind = |header: SegmentHeader| {
            header.number == next
                && header.first_number() == copy.header.number + 1
                && header.follows == copy.walk.end
        };
        copy.walk.breaks.is_empty()
            && header_of(&self.source, copy.header.number) == Some(copy.header)
            && header_of(&self.source, next).is_some_and(is_behind)
    }

    /// The copy appears whole or not at all.
    fn write(&mut self, number: u64, bytes: &[u8]) -> Result<(), BackupError> {
        let journal = &self.target.journal;
        let (new, path) = (journal.join(NEW_COPY_NAME), journal.join(segment_name(number)));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(at(&new))?;
        fs::rename(&new, &path).map_err(at(&path))?;
        File::open(journal).and_then(|it| it.sync_all()).map_err(at(journal))?;
        self.copied.insert(number);
        Ok(())
    }
}

/// Reads a segment through one handle. `None` if it is gone, not begun, or was used for another
/// segment meanwhile.
fn read_segment(
    journal: &Path,
    number: u64,
    is_last: bool,
) -> Result<Option<Segment>, BackupError> {
    let path = journal.join(segment_name(number));
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(at(&path))?,
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(at(&path))?;
    let header = SegmentHeader::read(&bytes).filter(|header| header.number == number);
    let Some(header) = header.filter(|header| header_in(&file) == Some(*header)) else {
        return Ok(None);
    };
    let bytes = Bytes::from(bytes);
    let walk = walk(&bytes, &header, is_last);
    Ok(Some(Segment { header, bytes, walk }))
}

/// Reads a segment until what is missing in it is missing twice: a server may have written at two
/// places while the bytes between them were being read.
fn read_settled(
    journal: &Path,
    number: u64,
    is_last: bool,
) -> Result<Option<Segment>, BackupError> {
    let mut breaks = Vec::new();
    loop {
        match read_segment(journal, number, is_last)? {
            Some(segment) if segment.walk.breaks != breaks => breaks = segment.walk.breaks,
            settled => return Ok(settled),
        }
    }
}

fn suspicion(number: u64, position: usize, kind: DamageKind) -> Damage {
    let (segment, position) = (segment_name(number), position as u64);
    Damage { segment, position, offsets: Offset::START..Offset::START, kind }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    |source| BackupError::Io { path, source }
}

/// Far more than a server can trim while one segment is read.
const PASSES_MAX: usize = 1_000;
const NEW_COPY_NAME: &str = "copy.new";

#[cfg(test)]
mod tests;
