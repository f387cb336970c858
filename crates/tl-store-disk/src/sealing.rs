//! Sealing full segments, forgetting trimmed ones, and keeping the checkpoint, beside the writer.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tl_model::{Channel, Newer, Rules};

use crate::checkpoint::{self, Covered};
use crate::disk::Disk;
use crate::journal::SharedIndex;
use crate::sealed::Sealed;

/// Makes index files and checkpoints.
pub(crate) struct Sealer {
    disk: Arc<dyn Disk>,
    index: Arc<SharedIndex>,
    // Whoever changes what is sealed holds it.
    state: Mutex<State>,
    /// Segments that were dropped, and that the heads still count.
    dropped: Mutex<VecDeque<Arc<Sealed>>>,
}

#[derive(Default)]
struct State {
    /// When a segment could not be sealed because it could not be read.
    failed: Option<Instant>,
    /// What the checkpoint covers.
    checkpoint: Option<Covered>,
    /// Bytes of the segments that were sealed since.
    since_checkpoint: u64,
}

impl Sealer {
    /// `checkpoint` says what the one on the disk covers, if there is a good one.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        index: Arc<SharedIndex>,
        checkpoint: Option<Covered>,
    ) -> Self {
        let state = State { checkpoint, ..State::default() };
        Self { disk, index, state: Mutex::new(state), dropped: Mutex::default() }
    }

    /// Whether a full segment waits to be sealed.
    pub(crate) fn is_wanted(&self) -> bool {
        if self.index.read().unsealed().is_none() {
            return false;
        }
        match self.state.try_lock() {
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
            let Some((number, end)) = self.index.read().unsealed() else { break };
            match Sealed::make(&*self.disk, number, end) {
                Ok(sealed) => {
                    state.since_checkpoint += sealed.file.size().unwrap_or_default();
                    self.index.write().seal(sealed);
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

    /// Writes a checkpoint if something has changed since the last one.
    pub(crate) fn write_last_checkpoint(&self) {
        self.write_checkpoint(&mut self.lock());
    }

    /// The number of the last of the oldest segments that hold only events that have expired. The
    /// last segment that has events is never among them: it tells where the log goes on.
    pub(crate) fn expired(&self, rules: &Rules, now_ms: u64) -> io::Result<Option<u64>> {
        let mut older = HashMap::new();
        let mut last = None;
        let index = self.index.read();
        let (sealed, newest) = (index.sealed(), index.newest_with_events());
        drop(index);
        for segment in sealed.iter().take_while(|segment| Some(segment.number) < newest) {
            match self.is_expired(segment, rules, now_ms, &mut older) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    // Looked at again the next time.
                    segment.make_anew(&*self.disk)?;
                    break;
                }
                Err(error) => return Err(error),
            }
            last = Some(segment.number);
        }
        Ok(last)
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
                entries.iter().for_each(|entry| index.forget(entry));
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
        let sealed = self.index.read().sealed();
        let (first, last) = (sealed.first()?, sealed.last()?);
        Some(Covered { first: first.number, last: last.number, generation: last.generation })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all events of a segment have expired. `older` counts what its channels have in it and
    /// before it. If the last event of a channel has expired, so have those before it.
    fn is_expired(
        &self,
        segment: &Sealed,
        rules: &Rules,
        now_ms: u64,
        older: &mut HashMap<String, Newer>,
    ) -> io::Result<bool> {
        for entries in segment.channels() {
            for entry in entries? {
                let (count, bytes) = self.index.read().kept(&entry.name);
                let seen = older.entry(entry.name.clone()).or_default();
                seen.count += u64::from(entry.count());
                seen.bytes += entry.bytes;
                let newer = Newer {
                    count: count.saturating_sub(seen.count),
                    bytes: bytes.saturating_sub(seen.bytes),
                };
                let channel = Channel::parse(&entry.name).map_err(io::Error::other)?;
                let retention = rules.of(&channel).retention;
                let age = Duration::from_millis(now_ms.saturating_sub(entry.logged_at_ms));
                let is_expired = retention.expires(age, 0, newer)
                    || retention.bytes.is_some() && {
                        let last = segment.last_place(&entry)?.length;
                        retention.expires(age, u64::from(last), newer)
                    };
                if !is_expired {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// What could not be read may have been so for a moment only.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// So many more bytes in the log for each channel, and the checkpoint is written anew: with some 60
/// bytes a channel it adds a quarter at most to what was written.
const BYTES_PER_HEAD: u64 = 240;
