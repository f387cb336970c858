//! A pass over a whole store that changes nothing: what it holds, and what is wrong with it.
//!
//! Unlike [opening](crate::recovery), the pass goes on behind damage, so that all of it is told. One
//! segment is in memory at a time.

mod report;
pub(crate) mod walk;

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use tl_model::{Epoch, Offset};

pub use report::{ChannelReport, Damage, DamageKind, Report, Torn};

use crate::directory::{Directory, DirectoryError};
use crate::format::{SEGMENT_HEADER_BYTES, SPARSE_HEADER_BYTES, SegmentHeader};
use crate::scan::{standing, synced_to};
use crate::segments::{segment_name, segment_number};
use walk::{events, implied_header, walk};

/// Why a store cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The directory is not right.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The operating system would not.
    #[error("the journal cannot be listed: {0}")]
    Io(#[from] io::Error),
}

/// Reads a whole store that no server has open, and checks every byte of it. Takes a while.
pub fn inspect(directory: &Path) -> Result<Report, InspectError> {
    Ok(inspect_held(&Directory::open_existing(directory)?)?)
}

/// The epoch of the store in a directory, which a server may have open.
pub fn epoch(directory: &Path) -> Result<Epoch, DirectoryError> {
    Directory::epoch_of(directory)
}

/// The same pass over a directory that this process holds already.
pub(crate) fn inspect_held(directory: &Directory) -> io::Result<Report> {
    let mut pass = Pass::new(directory.epoch);
    let (numbers, disk_bytes) = list(&directory.journal)?;
    pass.report.disk_bytes = disk_bytes;
    let header_of = |number| Ok(header_of(&directory.journal, number));
    let segments = standing(directory.epoch, &numbers, header_of)?;
    for &(_, number) in &segments {
        let is_last = segments.last().is_some_and(|(_, last)| *last == number);
        match fs::read(directory.journal.join(segment_name(number))) {
            Ok(bytes) => pass.take(number, &Bytes::from(bytes), is_last),
            Err(error) => pass.lose(number, DamageKind::Unreadable(error.to_string())),
        }
    }
    Ok(pass.finish())
}

/// The header of a segment, if it is there and whole.
pub(crate) fn header_of(journal: &Path, number: u64) -> Option<SegmentHeader> {
    header_in(&File::open(journal.join(segment_name(number))).ok()?)
}

/// The header that a file begins with.
pub(crate) fn header_in(file: &File) -> Option<SegmentHeader> {
    let len = file.metadata().ok()?.len().min(SPARSE_HEADER_BYTES as u64);
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).ok()?;
    SegmentHeader::read(&bytes)
}

/// The numbers of all segments, in order, and the bytes of all files.
pub(crate) fn list(journal: &Path) -> io::Result<(Vec<u64>, u64)> {
    let (mut numbers, mut bytes) = (Vec::new(), 0);
    let entries = match fs::read_dir(journal) {
        // A crash came before it was made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((numbers, bytes)),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        numbers.extend(segment_number(&entry.file_name().to_string_lossy()));
        bytes += entry.metadata().map_or(0, |metadata| metadata.len());
    }
    numbers.sort_unstable();
    Ok((numbers, bytes))
}

/// Takes in one segment after the other.
struct Pass {
    report: Report,
    /// The number of the segment before.
    number: Option<u64>,
    /// Where the log has got to; unknown before the first segment.
    end: Option<Offset>,
    /// The damage from this one on reaches up to what the next segment will tell.
    open: Option<usize>,
    /// Where reading the segment before ended.
    position: usize,
}

impl Pass {
    fn new(epoch: Epoch) -> Self {
        let report = Report::new(epoch);
        Self { report, number: None, end: None, open: None, position: 0 }
    }

    fn take(&mut self, number: u64, segment: &Bytes, is_last: bool) {
        match SegmentHeader::read(segment) {
            Some(header) if header.epoch != self.report.epoch => {
                self.lose(number, DamageKind::Foreign);
            }
            Some(header) if header.number == number => {
                self.begin(&header);
                self.read(number, segment, &header, is_last);
            }
            found if is_last && self.is_unbegun(segment, found) => self.miss(number),
            _ => self.take_without_header(number, segment, is_last),
        }
    }

    /// The first batch may tell what the damaged header of its segment said.
    fn take_without_header(&mut self, number: u64, segment: &Bytes, is_last: bool) {
        let (epoch, follows) = (self.report.epoch, self.end());
        let first = self.number.map_or(number, |before| before + 1);
        match implied_header(segment, epoch, first..=number).filter(|it| it.follows >= follows) {
            None => self.lose(number, DamageKind::Header),
            Some(header) => {
                self.begin(&header);
                self.damage(number, 0, header.follows..header.follows, DamageKind::Header);
                self.read(number, segment, &header, is_last);
            }
        }
    }

    /// A crash came between naming the file and writing to it: it holds zeros or an earlier segment,
    /// and nothing that says that more was synced than is there.
    fn is_unbegun(&self, segment: &[u8], found: Option<SegmentHeader>) -> bool {
        let is_zero = || segment.iter().take(SEGMENT_HEADER_BYTES).all(|byte| *byte == 0);
        (found.is_some() || is_zero()) && synced_to(segment) <= self.end()
    }

    /// A segment says where what came before it ended.
    fn begin(&mut self, header: &SegmentHeader) {
        let (number, follows) = (header.first_number(), header.follows);
        self.miss(number);
        if let Some(open) = self.open.take() {
            self.report.damage[open..].iter_mut().for_each(|it| it.offsets.end = follows);
        } else if self.end.is_some_and(|end| end != follows) {
            let (before, position) = (number.saturating_sub(1), self.position);
            self.damage(before, position, self.end()..follows, DamageKind::Batch);
        }
        self.end = Some(follows);
        self.number = Some(header.number);
    }

    fn read(&mut self, number: u64, segment: &Bytes, header: &SegmentHeader, is_last: bool) {
        let walk = walk(segment, header, is_last);
        self.report.segments += 1;
        for (position, batch) in &walk.batches {
            self.report.batches += 1;
            events(segment, *position, batch).for_each(|event| self.report.count(&event));
        }
        self.position = walk.position;
        self.end = Some(walk.end);
        for it in walk.breaks {
            let reaches_end = it.position == walk.position;
            self.damage(number, it.position, it.offsets, DamageKind::Batch);
            // The next segment knows exactly how far it reaches.
            self.open = reaches_end.then_some(self.report.damage.len() - 1);
        }
        let lost = header.trimmed(segment).map_or(Offset::START, |trimmed| trimmed.lost());
        if is_last && lost >= walk.end {
            self.damage(number, walk.position, walk.end..lost.next(), DamageKind::Batch);
        }
        if walk.is_torn && is_last {
            let (segment, position) = (segment_name(number), walk.position as u64);
            self.report.torn = Some(Torn { segment, position });
        }
    }

    /// A whole segment is of no use.
    fn lose(&mut self, number: u64, kind: DamageKind) {
        self.miss(number);
        self.damage(number, 0, self.end()..self.end(), kind);
        self.open.get_or_insert(self.report.damage.len() - 1);
        self.number = Some(number);
    }

    /// Notes the segments that are missing before this one.
    fn miss(&mut self, number: u64) {
        let Some(before) = self.number else { return };
        for missing in before + 1..number {
            self.damage(missing, 0, self.end()..self.end(), DamageKind::Missing);
            self.open.get_or_insert(self.report.damage.len() - 1);
        }
        self.number = Some(number.saturating_sub(1).max(before));
    }

    /// How much a lost end held nobody can tell.
    fn finish(mut self) -> Report {
        let open = self.open.unwrap_or(self.report.damage.len());
        for it in &mut self.report.damage[open..] {
            if it.kind != DamageKind::Batch {
                it.offsets.end = Offset::new(u64::MAX);
            }
        }
        self.report
    }

    fn damage(&mut self, number: u64, position: usize, offsets: Range<Offset>, kind: DamageKind) {
        let (segment, position) = (segment_name(number), position as u64);
        self.report.damage.push(Damage { segment, position, offsets, kind });
    }

    fn end(&self) -> Offset {
        self.end.unwrap_or(Offset::FIRST)
    }
}

#[cfg(test)]
pub(crate) mod tests;
