//! Sealing full segments and trimming expired ones, beside the writer.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tl_model::{Channel, Newer, Rules};

use crate::disk::Disk;
use crate::journal::SharedIndex;
use crate::sealed::Sealed;

/// Makes index files.
pub(crate) struct Sealer {
    disk: Arc<dyn Disk>,
    index: Arc<SharedIndex>,
    /// Segments that cannot be sealed because they cannot be read; one at a time seals.
    failed: Mutex<Option<u64>>,
}

impl Sealer {
    pub(crate) fn new(disk: Arc<dyn Disk>, index: Arc<SharedIndex>) -> Self {
        Self { disk, index, failed: Mutex::default() }
    }

    /// Whether a full segment waits to be sealed.
    pub(crate) fn is_wanted(&self) -> bool {
        let unsealed = self.index.read().unsealed().map(|(number, _)| number);
        // While another thread seals, there is nothing to do here.
        let failed = self.failed.try_lock().map(|failed| *failed);
        unsealed.is_some() && failed.is_ok_and(|failed| failed != unsealed)
    }

    /// Seals every full segment. Takes a while for each.
    pub(crate) fn seal(&self) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some((number, end)) = self.index.read().unsealed() else { return };
            match Sealed::make(&*self.disk, number, end) {
                Ok(sealed) => self.index.write().seal(sealed),
                Err(error) => {
                    tracing::error!(%error, segment = number, "a segment cannot be indexed");
                    *failed = Some(number);
                    return;
                }
            }
        }
    }

    /// The number of the last of the oldest segments that hold only events that have expired.
    pub(crate) fn expired(&self, rules: &Rules, now_ms: u64) -> io::Result<Option<u64>> {
        let mut older = HashMap::new();
        let mut last = None;
        let sealed = self.index.read().sealed();
        for segment in sealed {
            let age = Duration::from_millis(now_ms.saturating_sub(segment.newest_ms));
            if !self.is_expired(&segment, rules, age, &mut older)? {
                break;
            }
            last = Some(segment.number);
        }
        Ok(last)
    }

    /// Takes dropped segments out of what is known of their channels, a little at a time, so that
    /// nobody waits for it.
    pub(crate) fn forget(&self, dropped: &[Arc<Sealed>]) -> io::Result<()> {
        for segment in dropped {
            for entries in segment.channels() {
                let entries = entries?;
                let mut index = self.index.write();
                entries.iter().for_each(|entry| index.forget(entry));
            }
        }
        Ok(())
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
