//! Sealing full segments, forgetting trimmed ones, and keeping the checkpoint, beside the writer.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
}

#[derive(Default)]
struct State {
    /// A segment that cannot be sealed because it cannot be read.
    failed: Option<u64>,
    /// What the checkpoint covers.
    checkpoint: Option<Covered>,
    /// Bytes of the segments that were sealed since.
    since_checkpoint: u64,
    /// Up to which segment the heads have forgotten what was dropped.
    forgotten: u64,
}

impl Sealer {
    /// `checkpoint` says what the one on the disk covers, if there is a good one.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        index: Arc<SharedIndex>,
        checkpoint: Option<Covered>,
    ) -> Self {
        let state = State { checkpoint, ..State::default() };
        Self { disk, index, state: Mutex::new(state) }
    }

    /// Whether a full segment waits to be sealed.
    pub(crate) fn is_wanted(&self) -> bool {
        let unsealed = self.index.read().unsealed().map(|(number, _)| number);
        // While another thread seals, there is nothing to do here.
        let failed = self.state.try_lock().map(|state| state.failed);
        unsealed.is_some() && failed.is_ok_and(|failed| failed != unsealed)
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
                    state.failed = Some(number);
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
        let dropped = index.dropped();
        drop(index);
        if dropped > self.lock().forgotten {
            // Counts that are too high would let go of too much.
            let reason = "what was trimmed before could not be taken out of the counts; restart";
            return Err(io::Error::other(reason));
        }
        for segment in sealed.iter().take_while(|segment| Some(segment.number) < newest) {
            let age = Duration::from_millis(now_ms.saturating_sub(segment.newest_ms));
            match self.is_expired(segment, rules, age, &mut older) {
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

    /// Takes dropped segments out of what is known of their channels, a little at a time, so that
    /// nobody waits for it.
    pub(crate) fn forget(&self, dropped: &[Arc<Sealed>]) -> io::Result<()> {
        let mut state = self.lock();
        for segment in dropped {
            for entries in segment.channels() {
                let entries = entries?;
                let mut index = self.index.write();
                entries.iter().for_each(|entry| index.forget(entry));
            }
            state.forgotten = segment.number;
        }
        Ok(())
    }

    /// One that cannot be written is missed by nobody until the log is opened, slower then.
    fn write_checkpoint(&self, state: &mut State) {
        let Some(covered) = self.covered() else { return };
        let has_all = covered.first > state.forgotten && state.checkpoint != Some(covered);
        // Dropped, but not forgotten yet.
        let is_between = self.index.read().dropped() > state.forgotten;
        if !has_all || is_between {
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
    /// before it. If the last event of a channel has expired, so have those before it; the age of an
    /// event is at least that of its segment's newest one.
    fn is_expired(
        &self,
        segment: &Sealed,
        rules: &Rules,
        age: Duration,
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

/// So many more bytes in the log for each channel, and the checkpoint is written anew: with some 60
/// bytes a channel it adds a quarter at most to what was written.
const BYTES_PER_HEAD: u64 = 240;
