//! Reading what the index has found, checking every byte.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use tl_model::{LoggedEvent, Offset, Selection};
use tl_store::{BoxFuture, Page, Read, ReadError};

use crate::disk::{Disk, DiskFile};
use crate::format::{read_record, record_cost};
use crate::index::{Index, Plan, SharedIndex, Source, View};
use crate::sealed::{Found, Sealed};
use crate::workers::Workers;

/// Reads a page. Files are read on a thread where blocking is allowed, if any have to be.
pub(crate) fn read(
    index: Arc<SharedIndex>,
    searches: Arc<Searches>,
    read: Read,
) -> BoxFuture<'static, Result<Page, ReadError>> {
    if let Some(page) = nothing(&index.read(), &read) {
        return Box::pin(std::future::ready(Ok(page)));
    }
    Box::pin(async move {
        let workers = searches.workers;
        let reading = workers.run(move || read_blocking(&index, &searches, &read));
        reading.await.map_err(|error| ReadError::Io(error.to_string()))?
    })
}

/// The page of a reader for whom there is nothing, which no file tells.
fn nothing(index: &Index, read: &Read) -> Option<Page> {
    let Plan::Recent { found, end } = index.plan(read) else { return None };
    found.is_empty().then(|| {
        let read_to = end.previous().max(read.after);
        let View { bounds, trimmed_to, .. } = index.view(&read.selection);
        let gap = bounds.gap(read.after, trimmed_to, read_to.next());
        Page { gap, trimmed_to, events: Vec::new(), read_to, reached_end: true }
    })
}

/// Reads until nothing was trimmed meanwhile: what fails then may have been looked for in a segment
/// that is gone, and what is missing then no gap has told.
fn read_blocking(index: &SharedIndex, searches: &Searches, read: &Read) -> Result<Page, ReadError> {
    loop {
        let view = index.read().view(&read.selection);
        let page = read_page(index, searches, read, view);
        if index.read().view(&read.selection).trims == view.trims {
            return page;
        }
    }
}

fn read_page(
    index: &SharedIndex,
    searches: &Searches,
    read: &Read,
    view: View,
) -> Result<Page, ReadError> {
    let mut collected = Collected::new(read, view.trimmed_to);
    let reached_end = collect(index, searches, &mut collected).map_err(|it| unreadable(&it))?;
    let Collected { read_to, first, .. } = collected;
    let events = load(&collected.pieces)?;
    let View { bounds, trimmed_to, .. } = view;
    let gap = bounds.gap(read.after, trimmed_to, first.unwrap_or(read_to.next()));
    Ok(Page { gap, trimmed_to, events, read_to, reached_end })
}

/// Collects the events of a page. Returns whether there are no more.
fn collect(
    index: &SharedIndex,
    searches: &Searches,
    collected: &mut Collected<'_>,
) -> io::Result<bool> {
    loop {
        let plan = index.read().plan(&collected.rest());
        match plan {
            Plan::Sealed(segments) => {
                for segment in &segments {
                    if !searches.collect(segment, collected)? || !collected.reach(segment.end) {
                        return Ok(false);
                    }
                }
            }
            Plan::Recent { found, end } => {
                let is_all = found.into_iter().all(|(source, it)| collected.add(source, it));
                return Ok(is_all && collected.reach(end));
            }
        }
    }
}

fn unreadable(error: &io::Error) -> ReadError {
    ReadError::Io(error.to_string())
}

/// The events of a page, as far as they are found.
struct Collected<'a> {
    read: &'a Read,
    /// The last offset that may be missing of the selection.
    trimmed_to: Offset,
    read_to: Offset,
    /// The first and the last event.
    first: Option<Offset>,
    last: Offset,
    events: usize,
    bytes: usize,
    pieces: Vec<Piece>,
}

/// A record, or several that lie one behind the other.
enum Piece {
    Disk { file: Arc<dyn DiskFile>, position: u32, length: u32, offsets: Vec<Offset> },
    Memory(Bytes, Offset),
}

impl<'a> Collected<'a> {
    fn new(read: &'a Read, trimmed_to: Offset) -> Self {
        let (read_to, last) = (read.after, read.after);
        let (first, events, bytes, pieces) = (None, 0, 0, Vec::new());
        Self { read, trimmed_to, read_to, first, last, events, bytes, pieces }
    }

    /// What is still to be read.
    fn rest(&self) -> Read {
        let Read { selection, after: _, events_max, bytes_max } = self.read;
        Read {
            selection: selection.clone(),
            after: self.read_to,
            events_max: events_max - self.events,
            bytes_max: bytes_max.saturating_sub(self.bytes),
        }
    }

    /// Whether the page can hold an event, too.
    fn takes(&self, offset: Offset) -> bool {
        let has_room = self.events < self.read.events_max && self.bytes < self.read.bytes_max;
        has_room && !self.is_behind_untold_hole(offset)
    }

    /// A gap is told in front of a page. None can be if the page begins right where the reader is, so
    /// such a page ends before the first hole that there may be.
    fn is_behind_untold_hole(&self, offset: Offset) -> bool {
        let is_untold = self.first == Some(self.read.after.next());
        is_untold && self.last < self.trimmed_to && offset != self.last.next()
    }

    /// Goes on to a place before which there is nothing else, unless the page takes no more.
    fn reach(&mut self, end: Offset) -> bool {
        let is_told = !self.is_behind_untold_hole(end);
        if is_told {
            self.read_to = end.previous().max(self.read_to);
        }
        is_told
    }

    /// Adds an event, unless the page takes no more.
    fn add(&mut self, source: Source, found: Found) -> bool {
        let takes = self.takes(found.offset);
        if takes {
            self.push(source, found);
        }
        takes
    }

    fn push(&mut self, source: Source, found: Found) {
        let Found { offset, position, length } = found;
        self.first = self.first.or(Some(offset));
        (self.last, self.read_to) = (offset, offset);
        self.events += 1;
        self.bytes += record_cost(length);
        match (source, self.pieces.last_mut()) {
            (Source::Memory(record), _) => self.pieces.push(Piece::Memory(record, offset)),
            (
                Source::Disk(file),
                Some(Piece::Disk { file: last, position: start, length: sum, offsets }),
            ) if Arc::ptr_eq(&file, last) && *start + *sum == position && *sum < PIECE_BYTES => {
                *sum += length;
                offsets.push(offset);
            }
            (Source::Disk(file), _) => {
                self.pieces.push(Piece::Disk { file, position, length, offsets: vec![offset] });
            }
        }
    }
}

/// Searches of sealed segments. A reader that catches up asks the same of a segment page after page,
/// so the last answers are kept.
pub(crate) struct Searches {
    disk: Arc<dyn Disk>,
    workers: Workers,
    kept: Mutex<Kept>,
}

/// A segment by number and generation.
type SegmentUse = (u64, u64);

#[derive(Default)]
struct Kept {
    answers: VecDeque<(SegmentUse, Selection, Arc<Vec<u32>>)>,
    places: usize,
}

impl Searches {
    pub(crate) fn new(disk: Arc<dyn Disk>, workers: Workers) -> Self {
        Self { disk, workers, kept: Mutex::default() }
    }

    /// Collects what a segment has. Returns whether that was all of it.
    fn collect(&self, segment: &Sealed, collected: &mut Collected<'_>) -> io::Result<bool> {
        match self.try_collect(segment, collected) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                segment.make_anew(&*self.disk)?;
                self.try_collect(segment, collected)
            }
            collected => collected,
        }
    }

    fn try_collect(&self, segment: &Sealed, collected: &mut Collected<'_>) -> io::Result<bool> {
        let selected = self.select(segment, &collected.read.selection)?;
        let first = segment.first_behind(collected.read_to)?;
        let start = selected.partition_point(|number| *number < first);
        let mut places = (0, Vec::new());
        for number in &selected[start..] {
            if (*number - places.0) as usize >= places.1.len() {
                places = (*number, segment.places_from(*number)?);
            }
            let found = places.1[(*number - places.0) as usize];
            if !collected.add(Source::Disk(segment.file.clone()), found) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn select(&self, segment: &Sealed, selection: &Selection) -> io::Result<Arc<Vec<u32>>> {
        let of_segment = (segment.number, segment.generation);
        let is_it = |(segment, of, _): &&(SegmentUse, Selection, Arc<Vec<u32>>)| {
            *segment == of_segment && of == selection
        };
        if let Some((_, _, selected)) = self.lock().answers.iter().find(is_it) {
            return Ok(selected.clone());
        }
        let selected = Arc::new(segment.select(selection)?);
        self.lock().keep(of_segment, selection, &selected);
        Ok(selected)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, segment: SegmentUse, selection: &Selection, selected: &Arc<Vec<u32>>) {
        self.places += selected.len();
        self.answers.push_back((segment, selection.clone(), selected.clone()));
        while self.answers.len() > ANSWERS_MAX || self.places > ANSWERED_PLACES_MAX {
            let Some((_, _, oldest)) = self.answers.pop_front() else { return };
            self.places -= oldest.len();
        }
    }
}

fn load(pieces: &[Piece]) -> Result<Vec<LoggedEvent>, ReadError> {
    let mut events = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Memory(record, offset) => parse(record.clone(), &[*offset], &mut events)?,
            Piece::Disk { file, position, length, offsets } => {
                let mut buffer = vec![0; *length as usize];
                let read = file.read_at(&mut buffer, u64::from(*position));
                read.map_err(|error| unreadable(&error))?;
                parse(Bytes::from(buffer), offsets, &mut events)?;
            }
        }
    }
    Ok(events)
}

/// The events of neighbouring records; they share the buffer. A record with the checksum and the offset
/// it should have is the one that was meant, also if the file was used again meanwhile.
fn parse(
    mut records: Bytes,
    expected: &[Offset],
    events: &mut Vec<LoggedEvent>,
) -> Result<(), ReadError> {
    for &offset in expected {
        let record = read_record(&records).filter(|(event, _)| event.offset == offset);
        let (event, length) = record.ok_or_else(|| damaged(offset))?;
        events.push(event);
        records = records.slice(length..);
    }
    Ok(())
}

fn damaged(offset: Offset) -> ReadError {
    let reason = "its checksum does not match what is stored".to_owned();
    ReadError::Damaged { offset, reason }
}

/// A read from disk is at most about this long, so that one page of many small events is a few
/// reads and one of many large events does not need one huge buffer.
const PIECE_BYTES: u32 = 1024 * 1024;
/// Answers kept for readers that catch up.
const ANSWERS_MAX: usize = 64;
/// Places in all kept answers together: 32 MiB.
const ANSWERED_PLACES_MAX: usize = 8 * 1024 * 1024;
