//! Reading what the index has found, checking every byte.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use tl_model::{LoggedEvent, Offset, Selection};
use tl_store::{Page, Read, ReadError};

use crate::disk::{Disk, DiskFile};
use crate::format::{read_record, record_cost};
use crate::index::{Plan, Source};
use crate::sealed::{Found, Sealed};

/// Reads the page of a plan. Files are read on a thread where blocking is allowed.
pub(crate) async fn read(plan: Plan, searches: Arc<Searches>) -> Result<Page, ReadError> {
    if plan.sealed.is_empty() && plan.recent.is_empty() {
        let read_to = plan.end.previous().max(plan.read.after);
        return Ok(Page { gap: plan.gap, events: Vec::new(), read_to, reached_end: true });
    }
    let reading = tokio::task::spawn_blocking(move || read_blocking(&plan, &searches));
    reading.await.map_err(|error| ReadError::Io(error.to_string()))?
}

fn read_blocking(plan: &Plan, searches: &Searches) -> Result<Page, ReadError> {
    let mut collected = Collected::new(&plan.read);
    let is_whole = collect(plan, searches, &mut collected).map_err(|it| unreadable(&it))?;
    if is_whole {
        collected.read_to = plan.end.previous().max(plan.read.after);
    }
    let events = load(&collected.pieces)?;
    Ok(Page { gap: plan.gap, events, read_to: collected.read_to, reached_end: is_whole })
}

/// Collects the events of a page. Returns whether there are no more.
fn collect(plan: &Plan, searches: &Searches, collected: &mut Collected<'_>) -> io::Result<bool> {
    for segment in &plan.sealed {
        if !searches.collect(segment, collected)? {
            return Ok(false);
        }
        collected.read_to = segment.end.previous().max(collected.read_to);
    }
    for (source, found) in &plan.recent {
        if collected.is_full() {
            return Ok(false);
        }
        collected.add(source.clone(), *found);
    }
    Ok(true)
}

fn unreadable(error: &io::Error) -> ReadError {
    ReadError::Io(error.to_string())
}

/// The events of a page, as far as they are found.
struct Collected<'a> {
    read: &'a Read,
    read_to: Offset,
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
    fn new(read: &'a Read) -> Self {
        Self { read, read_to: read.after, events: 0, bytes: 0, pieces: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.events == self.read.events_max || self.bytes >= self.read.bytes_max
    }

    fn add(&mut self, source: Source, found: Found) {
        let Found { offset, position, length } = found;
        self.events += 1;
        self.bytes += record_cost(length);
        self.read_to = offset;
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
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: VecDeque<(u64, Selection, Arc<Vec<u32>>)>,
    places: usize,
}

impl Searches {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, kept: Mutex::default() }
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
            if collected.is_full() {
                return Ok(false);
            }
            if (*number - places.0) as usize >= places.1.len() {
                places = (*number, segment.places_from(*number)?);
            }
            let found = places.1[(*number - places.0) as usize];
            collected.add(Source::Disk(segment.file.clone()), found);
        }
        Ok(true)
    }

    fn select(&self, segment: &Sealed, selection: &Selection) -> io::Result<Arc<Vec<u32>>> {
        let is_it = |(number, of, _): &&(u64, Selection, Arc<Vec<u32>>)| {
            *number == segment.number && of == selection
        };
        if let Some((_, _, selected)) = self.lock().answers.iter().find(is_it) {
            return Ok(selected.clone());
        }
        let selected = Arc::new(segment.select(selection)?);
        self.lock().keep(segment.number, selection, &selected);
        Ok(selected)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, number: u64, selection: &Selection, selected: &Arc<Vec<u32>>) {
        self.places += selected.len();
        self.answers.push_back((number, selection.clone(), selected.clone()));
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
