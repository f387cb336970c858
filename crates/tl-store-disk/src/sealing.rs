//! Sealing full segments, forgetting trimmed ones, and keeping the checkpoint, beside the writer.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

// Its clock is one that a simulation can stop.
use tokio::time::Instant;

use tl_model::{Offset, Rules};

use crate::checkpoint::{self, Covered};
use crate::disk::Disk;
use crate::index::SharedIndex;
use crate::retention::Judge;
use crate::sealed::{Sealed, index_name};
use crate::segments::{Spares, segment_name};
use crate::sparse::NEW_SPARSE_NAME;
use crate::trimmed::Trimmed;

/// Makes index files and checkpoints.
pub(crate) struct Sealer {
    disk: Arc<dyn Disk>,
    spares: Arc<Spares>,
    index: Arc<SharedIndex>,
    // Whoever changes what is sealed holds it.
    state: Mutex<State>,
    /// Segments that were dropped, and that the heads still count.
    dropped: Mutex<VecDeque<Arc<Sealed>>>,
}

/// What is gone of one channel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gone {
    pub(crate) count: u32,
    pub(crate) bytes: u64,
    pub(crate) last: Offset,
}

/// A sparse segment that is ready to take the place of others.
pub(crate) struct Replacement {
    pub(crate) sealed: Sealed,
    /// The numbers of the segments it stands for.
    pub(crate) numbers: Vec<u64>,
    pub(crate) gone: HashMap<String, Gone>,
    pub(crate) trimmed: Trimmed,
}

#[derive(Default)]
struct State {
    /// When a segment could not be sealed because it could not be read.
    failed: Option<Instant>,
    /// What the checkpoint covers.
    checkpoint: Option<Covered>,
    /// Bytes of the segments that were sealed since.
    since_checkpoint: u64,
    /// Segments whose indexes are to be made anew, the newest last.
    without_index: Vec<Arc<Sealed>>,
}

impl Sealer {
    /// `checkpoint` says what the one on the disk covers, if there is a good one.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        spares: Arc<Spares>,
        index: Arc<SharedIndex>,
        checkpoint: Option<Covered>,
    ) -> Self {
        let mut without_index = index.read().sealed();
        without_index.retain(|segment| !segment.has_index());
        let state = State { checkpoint, without_index, ..State::default() };
        Self { disk, spares, index, state: Mutex::new(state), dropped: Mutex::default() }
    }

    /// Whether a full segment waits to be sealed, or for its index.
    pub(crate) fn is_wanted(&self) -> bool {
        let has_unsealed = self.index.read().unsealed().is_some();
        match self.state.try_lock() {
            Ok(state) if !has_unsealed => !state.without_index.is_empty(),
            Ok(state) => state.failed.is_none_or(|at| at.elapsed() >= RETRY_AFTER),
            // Another thread seals.
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => true,
        }
    }

    /// Seals every full segment. Takes a while for each.
    pub(crate) fn seal(&self) {
        let mut state = self.lock();
        loop {
            let Some((number, end)) = self.index.read().unsealed() else {
                match state.without_index.pop() {
                    Some(segment) => self.make_index(&segment, state.without_index.len()),
                    None => break,
                }
                continue;
            };
            match Sealed::make(&*self.disk, number, end) {
                Ok(sealed) => {
                    state.since_checkpoint += sealed.file.size().unwrap_or_default();
                    let no_longer_needed = self.index.write().seal(sealed);
                    drop(no_longer_needed);
                }
                Err(error) => {
                    tracing::error!(%error, segment = number, "a segment cannot be indexed");
                    state.failed = Some(Instant::now());
                    break;
                }
            }
        }
        if state.since_checkpoint > self.index.read().channels() as u64 * BYTES_PER_HEAD {
            self.write_checkpoint(&mut state);
        }
    }

    /// Makes an index that is missing, unless whoever needed it has been quicker.
    fn make_index(&self, segment: &Sealed, left: usize) {
        if !segment.has_index()
            && let Err(error) = segment.make_anew(&*self.disk)
        {
            // Whoever reads there is told the same.
            tracing::error!(%error, segment = segment.number, "a segment cannot be indexed");
        }
        if left.is_multiple_of(PROGRESS_SEGMENTS) {
            tracing::info!(left, "indexes that were missing are being made anew");
        }
    }

    /// What a checkpoint takes, about.
    pub(crate) fn checkpoint_bytes(&self) -> u64 {
        self.index.read().channels() as u64 * HEAD_BYTES
    }

    /// Writes a checkpoint if something has changed since the last one.
    pub(crate) fn write_last_checkpoint(&self) {
        self.write_checkpoint(&mut self.lock());
    }

    /// All sealed segments, and the number of the last segment that has events. That is never given up:
    /// it tells where the log goes on.
    pub(crate) fn sealed(&self) -> (Vec<Arc<Sealed>>, u64) {
        let index = self.index.read();
        (index.sealed(), index.newest_with_events().unwrap_or_default())
    }

    /// The number of the last of the oldest segments that hold only events that have expired.
    pub(crate) fn expired(&self, rules: &Rules, now_ms: u64) -> io::Result<Option<u64>> {
        let (sealed, newest) = self.sealed();
        self.judge(rules, now_ms).expired(&sealed, newest)
    }

    /// What decides about events.
    pub(crate) fn judge<'a>(&'a self, rules: &'a Rules, now_ms: u64) -> Judge<'a> {
        Judge { disk: &*self.disk, index: &self.index, rules, now_ms }
    }

    /// Whether these, one behind the other, are still what the index has.
    pub(crate) fn holds(&self, segments: &[&Arc<Sealed>]) -> bool {
        let sealed = self.index.read().sealed();
        let are_these = |some: &[Arc<Sealed>]| {
            some.iter().zip(segments).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        sealed.windows(segments.len()).any(are_these)
    }

    /// Takes a sparse segment in the place of others, and gives back theirs.
    /// Returns what is gone.
    pub(crate) fn replace(&self, replacement: Replacement) -> io::Result<Vec<(String, Gone)>> {
        let mut state = self.lock();
        let Replacement { sealed, numbers, gone, trimmed } = replacement;
        state.since_checkpoint += sealed.file.size()?;
        self.disk.rename(NEW_SPARSE_NAME, &segment_name(sealed.number))?;
        // Whoever looks in between is told of a gap too early rather than too late.
        self.index.write().note_trimmed(&trimmed);
        let gone: Vec<_> = gone.into_iter().collect();
        for some in gone.chunks(CHANNELS_FORGOTTEN) {
            let mut index = self.index.write();
            for (channel, it) in some {
                index.forget(channel, it.count, it.bytes, it.last);
            }
        }
        let number = sealed.number;
        self.index.write().replace(sealed);
        for other in numbers.into_iter().filter(|other| *other != number) {
            let given = self.spares.give(&*self.disk, &segment_name(other));
            if let Err(error) = given {
                // Opening removes it, and so does dropping what stands in its place.
                tracing::warn!(%error, segment = other, "a compacted segment stays for now");
            }
            drop(self.disk.remove(&index_name(other)));
        }
        Ok(gone)
    }

    /// Segments that were dropped, to be forgotten.
    pub(crate) fn add_dropped(&self, segments: Vec<Arc<Sealed>>) {
        self.dropped().extend(segments);
    }

    /// Takes dropped segments out of what is known of their channels, a little at a time, so that
    /// nobody waits for it.
    pub(crate) fn forget_dropped(&self) -> io::Result<()> {
        let _nobody_seals = self.lock();
        loop {
            let Some(segment) = self.dropped().front().cloned() else { return Ok(()) };
            // All of it is read before any of it is forgotten, so that nothing is forgotten twice.
            let entries = segment.channels().collect::<io::Result<Vec<_>>>()?;
            for entries in entries {
                let mut index = self.index.write();
                for entry in &entries {
                    index.forget(&entry.name, entry.count(), entry.bytes, entry.last);
                }
            }
            self.index.write().has_forgotten();
            self.dropped().pop_front();
        }
    }

    fn dropped(&self) -> MutexGuard<'_, VecDeque<Arc<Sealed>>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that cannot be written is missed by nobody until the log is opened, slower then.
    fn write_checkpoint(&self, state: &mut State) {
        let Some(covered) = self.covered() else { return };
        if state.checkpoint == Some(covered) || self.index.read().is_forgetting() {
            return;
        }
        match checkpoint::write(&*self.disk, &self.index, covered) {
            Ok(()) => {
                state.checkpoint = Some(covered);
                state.since_checkpoint = 0;
            }
            Err(error) => tracing::warn!(%error, "no checkpoint could be written"),
        }
    }

    fn covered(&self) -> Option<Covered> {
        Covered::of(&self.index.read().sealed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What could not be read may have been so for a moment only.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Segments between two lines that tell how far it is: some seconds.
const PROGRESS_SEGMENTS: usize = 16;
/// What a channel takes in a checkpoint, about.
const HEAD_BYTES: u64 = 60;
/// So many more bytes in the log for each channel, and the checkpoint is written anew: it adds a quarter
/// at most to what was written.
const BYTES_PER_HEAD: u64 = 4 * HEAD_BYTES;
/// Channels that are forgotten under one lock: well below a millisecond.
const CHANNELS_FORGOTTEN: usize = 1_024;
