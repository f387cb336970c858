//! The journal: where batches are written, one behind the other, and synced.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tl_model::{Appended, Durability, Epoch, Offset};
use tl_store::{AppendError, Batch};

use crate::checkpoint::Covered;
use crate::disk::{Disk, DiskFile};
use crate::format::{
    BATCH_HEADER_BYTES, BatchHeader, Extent, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentKind,
    record_length, write_record,
};
use crate::heads::ChannelId;
use crate::index::SharedIndex;
use crate::sealed::{Found, Sealed, index_name};
use crate::segments::{Spares, segment_name, segment_number};

/// The writing end of the log. One thread owns it.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    spares: Arc<Spares>,
    index: Arc<SharedIndex>,
    epoch: Epoch,
    segment_bytes: u64,
    generations: Box<dyn FnMut() -> u64 + Send>,
    active: Option<Active>,
    next_number: u64,
    /// Where the last batch ended.
    follows: Offset,
    /// Where the next event goes.
    next: Offset,
    durable_to: Offset,
    /// The highest `reserved to` of any batch, and of any synced one.
    reserved_to: Offset,
    reserved_durably_to: Offset,
    /// The last segment that was dropped, if files of those up to it may still be there.
    to_remove: Option<u64>,
    stopped: Option<String>,
}

/// The segment that is being filled.
pub(crate) struct Active {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) generation: u64,
    pub(crate) len: u64,
    /// Where the next batch goes.
    pub(crate) position: u64,
    /// Bytes that belong right before `position` and have not been written.
    pub(crate) unwritten: Vec<u8>,
}

/// Where the journal goes on after opening.
pub(crate) struct Resume {
    /// The last segment, if its end is sound.
    pub(crate) active: Option<Active>,
    pub(crate) next_number: u64,
    pub(crate) end: Offset,
    pub(crate) reserved_to: Offset,
    /// What the checkpoint covers, if it was of use.
    pub(crate) checkpoint: Option<Covered>,
}

/// What a journal is made of.
pub(crate) struct Parts {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) spares: Arc<Spares>,
    pub(crate) index: Arc<SharedIndex>,
    pub(crate) epoch: Epoch,
    pub(crate) segment_bytes: u64,
    /// Draws the generations of segments.
    pub(crate) generations: Box<dyn FnMut() -> u64 + Send>,
}

impl Journal {
    pub(crate) fn new(parts: Parts, resume: Resume) -> Self {
        let Parts { disk, spares, index, epoch, segment_bytes, generations } = parts;
        let next = resume.end.max(resume.reserved_to);
        index.write().skip_to(next);
        Self {
            disk,
            spares,
            index,
            epoch,
            segment_bytes,
            generations,
            active: resume.active,
            next_number: resume.next_number,
            follows: resume.end,
            next,
            durable_to: resume.end,
            reserved_to: next,
            reserved_durably_to: next,
            to_remove: None,
            stopped: None,
        }
    }

    /// See [`LogStore::append`](tl_store::LogStore::append).
    pub(crate) fn append(&mut self, batch: &Batch) -> Result<Vec<Appended>, AppendError> {
        self.check_running()?;
        self.make_room(batch)?;
        let end = self.next.plus(batch.events.len() as u64);
        let durability = self.reserve(end, batch.durability);
        let (appended, places) = self.encode(batch, end);
        match durability {
            Durability::None | Durability::Memory => self.stop_on_error(Self::hold)?,
            Durability::Os => self.stop_on_error(Self::write)?,
            Durability::Fsync => self.stop_on_error(Self::sync)?,
        }
        let mut index = self.index.write();
        for ((channel, found), appended) in places.into_iter().zip(&appended) {
            index.push(channel, found, appended.previous, batch.logged_at_ms);
        }
        Ok(appended)
    }

    /// See [`LogStore::flush`](tl_store::LogStore::flush).
    pub(crate) fn flush(&mut self) -> Result<(), AppendError> {
        self.check_running()?;
        if self.durable_to == self.follows {
            return Ok(());
        }
        self.stop_on_error(Self::sync)
    }

    /// Hands what is held in memory to the operating system.
    pub(crate) fn write_held(&mut self) -> Result<(), AppendError> {
        self.check_running()?;
        self.stop_on_error(Self::write)
    }

    /// Drops the oldest segments, up to and including this number.
    pub(crate) fn drop_segments(&mut self, through: u64) -> Result<Vec<Arc<Sealed>>, AppendError> {
        // The last segment must be able to tell the next offset when all before it are gone.
        self.flush()?;
        let dropped = self.index.write().drop_segments(through);
        self.to_remove = dropped.last().map(|segment| segment.number).or(self.to_remove);
        if let Some(through) = self.to_remove {
            match self.remove_files(through) {
                Ok(()) => self.to_remove = None,
                Err(error) => tracing::warn!(%error, through, "trimmed segments stay for now"),
            }
        }
        Ok(dropped)
    }

    /// Removes the files of dropped segments, the oldest first: there must never be one missing in
    /// between. What fails is tried again when the next segment is dropped, or after opening.
    fn remove_files(&self, through: u64) -> io::Result<()> {
        let names = self.disk.list()?;
        let mut numbers: Vec<_> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        for number in numbers.into_iter().take_while(|number| *number <= through) {
            self.spares.give(&*self.disk, &segment_name(number))?;
            // An index without its segment means nothing, and is removed on opening.
            drop(self.disk.remove(&index_name(number)));
        }
        Ok(())
    }

    /// Whether it is time to have the next segment ready: the active one is half full, and there is
    /// no spare.
    pub(crate) fn wants_spare(&self) -> bool {
        let is_half_full = |active: &Active| active.position * 2 > active.len;
        self.active.as_ref().is_some_and(is_half_full) && self.spares.is_wanted()
    }

    /// Where spares are made.
    pub(crate) fn spares(&self) -> (Arc<dyn Disk>, Arc<Spares>) {
        (self.disk.clone(), self.spares.clone())
    }

    fn check_running(&self) -> Result<(), AppendError> {
        match &self.stopped {
            Some(reason) => Err(AppendError::Stopped(reason.clone())),
            None => Ok(()),
        }
    }

    /// Goes on to a new segment if the batch does not fit into the active one. Until here nothing
    /// has been promised to anybody, so a full disk refuses the batch and stops nothing.
    fn make_room(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let records: usize = batch.events.iter().map(record_length).sum();
        let needed = (BATCH_HEADER_BYTES + records).next_multiple_of(8) as u64;
        if self.active.as_ref().is_some_and(|active| active.position + needed <= active.len) {
            return Ok(());
        }
        if self.active.is_some() && self.durable_to != self.follows {
            self.stop_on_error(Self::sync)?;
        }
        let is_full = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        };
        match self.begin_segment(needed + SEGMENT_HEADER_BYTES as u64) {
            Err(error) if is_full(&error) => Err(AppendError::Full),
            begun => self.stop_on_error(|_| begun),
        }
    }

    fn begin_segment(&mut self, bytes_min: u64) -> io::Result<()> {
        let number = self.next_number;
        let len = self.segment_bytes.max(bytes_min);
        let file = self.spares.take(&*self.disk, &segment_name(number), len)?;
        let generation = (self.generations)();
        let mut unwritten = Vec::new();
        let follows = self.follows;
        let (epoch, kind) = (self.epoch, SegmentKind::Dense);
        SegmentHeader { epoch, number, generation, follows, kind }.write(&mut unwritten);
        let position = unwritten.len() as u64;
        self.index.write().push_segment(number, file.clone(), follows);
        self.active = Some(Active { len: file.size()?, file, generation, position, unwritten });
        self.next_number += 1;
        Ok(())
    }

    /// Sees to it that no offset below `end` is given out again after a crash: either the batch is
    /// synced, or an earlier synced one has reserved its offsets.
    fn reserve(&mut self, end: Offset, durability: Durability) -> Durability {
        self.reserved_to = self.reserved_to.max(end);
        if durability == Durability::Fsync || end <= self.reserved_durably_to {
            return durability;
        }
        self.reserved_to = end.plus(RESERVED_OFFSETS);
        Durability::Fsync
    }

    /// Adds the batch to what is to be written.
    fn encode(&mut self, batch: &Batch, end: Offset) -> (Vec<Appended>, Vec<(ChannelId, Found)>) {
        let active = self.active.as_mut().expect("make_room has seen to it");
        let (first, out) = (self.next, &mut active.unwritten);
        let header_at = out.len();
        let base = active.position - header_at as u64;
        out.resize(header_at + BATCH_HEADER_BYTES, 0);
        let mut appended = Vec::with_capacity(batch.events.len());
        let mut places = Vec::with_capacity(batch.events.len());
        let mut linked = HashMap::new();
        let mut index = self.index.write();
        for (new, count) in batch.events.iter().zip(0..) {
            let offset = first.plus(count);
            let (channel, last) = index.link(&new.channel);
            let previous = linked.insert(channel, offset).unwrap_or(last);
            let position = (base + out.len() as u64) as u32;
            let length = write_record(out, new, offset, previous, batch.logged_at_ms) as u32;
            places.push((channel, Found { offset, position, length }));
            appended.push(Appended { offset, previous });
        }
        drop(index);
        let header = BatchHeader {
            generation: active.generation,
            length: (out.len() - header_at - BATCH_HEADER_BYTES) as u32,
            count: batch.events.len() as u32,
            follows: self.follows,
            extent: Extent::Dense { first },
            durable_to: self.durable_to,
            reserved_to: self.reserved_to,
        };
        out.resize(header_at + header.span(), 0);
        header.write(&mut out[header_at..]);
        active.position = base + out.len() as u64;
        self.follows = end;
        self.next = end;
        (appended, places)
    }

    /// Leaves the batch in memory, where readers find it; too much of that is written all the same.
    fn hold(&mut self) -> io::Result<()> {
        let Some(active) = &self.active else {
            return Ok(());
        };
        if active.unwritten.len() > UNWRITTEN_BYTES_MAX {
            return self.write();
        }
        let base = active.position - active.unwritten.len() as u64;
        self.index.write().hold_unwritten(base as u32, &active.unwritten);
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        if active.unwritten.is_empty() {
            return Ok(());
        }
        let position = active.position - active.unwritten.len() as u64;
        active.file.write_at(&active.unwritten, position)?;
        active.unwritten.clear();
        active.unwritten.shrink_to(UNWRITTEN_BYTES_MAX);
        self.index.write().release_unwritten();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        if let Some(active) = &self.active {
            active.file.sync()?;
        }
        self.durable_to = self.follows;
        self.reserved_durably_to = self.reserved_to;
        Ok(())
    }

    /// After a failed write or sync nobody knows what the disk holds, and the kernel may have dropped
    /// the pages it could not write: the log takes no more until it is opened anew.
    fn stop_on_error(
        &mut self,
        step: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> Result<(), AppendError> {
        step(self).map_err(|error| {
            tracing::error!(%error, "the journal cannot be written; no more events are taken");
            self.stopped = Some(error.to_string());
            stopped(&error)
        })
    }
}

fn stopped(error: &io::Error) -> AppendError {
    AppendError::Stopped(error.to_string())
}

/// Offsets reserved at once for events that are not synced: one sync for so many of them.
const RESERVED_OFFSETS: u64 = 65_536;
/// The most that is held in memory before it is handed to the operating system.
const UNWRITTEN_BYTES_MAX: usize = 1024 * 1024;
