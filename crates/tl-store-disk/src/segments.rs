//! The files of the journal: their names, and those that are ready for use.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

// Its clock is one that a simulation can stop.
use tokio::time::Instant;

use crate::disk::{Disk, DiskFile};

/// The name of a segment's file. Names sort like numbers.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:020}{SEGMENT_SUFFIX}")
}

/// The number of a segment's file.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()
}

/// A file made ready in advance, so that going on to a new segment costs a rename.
///
/// A spare is all zeros or what is left of a trimmed segment: either way its blocks are written, so
/// syncing a batch updates no metadata.
pub(crate) struct Spares {
    len: u64,
    state: Mutex<State>,
}

#[derive(Debug, Eq, PartialEq)]
enum State {
    None,
    Making,
    /// It could not be made; not to be tried again before this.
    Failed(Instant),
    Ready,
}

impl Spares {
    /// Looks for a spare that an earlier process left.
    pub(crate) fn new(disk: &dyn Disk, len: u64) -> io::Result<Self> {
        let state = match disk.list()?.iter().any(|name| name == SPARE_NAME) {
            true if disk.open(SPARE_NAME)?.size()? == len => State::Ready,
            _ => State::None,
        };
        Ok(Self { len, state: Mutex::new(state) })
    }

    /// Whether there is no spare, and none in the making.
    pub(crate) fn is_wanted(&self) -> bool {
        match *self.state() {
            State::None => true,
            State::Failed(at) => at.elapsed() >= RETRY_AFTER,
            State::Making | State::Ready => false,
        }
    }

    /// Makes a spare unless there is one. Takes a while; meant for a thread of its own.
    pub(crate) fn make(&self, disk: &dyn Disk) {
        let mut state = self.state();
        if matches!(*state, State::Making | State::Ready) {
            return;
        }
        *state = State::Making;
        drop(state);
        let made = disk
            .create(NEW_SPARE_NAME, self.len)
            .and_then(|_| disk.rename(NEW_SPARE_NAME, SPARE_NAME));
        *self.state() = match made {
            Ok(()) => State::Ready,
            Err(error) => {
                tracing::warn!(%error, "no segment could be made ready in advance");
                State::Failed(Instant::now())
            }
        };
    }

    /// A file of at least this length under this name.
    pub(crate) fn take(
        &self,
        disk: &dyn Disk,
        name: &str,
        len: u64,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if *state == State::Ready && len <= self.len {
            disk.rename(SPARE_NAME, name)?;
            *state = State::None;
            return disk.open(name);
        }
        drop(state);
        disk.create(name, len)
    }

    /// Takes back the file of a trimmed segment, to use it again or to remove it.
    pub(crate) fn give(&self, disk: &dyn Disk, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let is_wanted = matches!(*state, State::None | State::Failed(_));
        if is_wanted && disk.open(name)?.size()? == self.len {
            disk.rename(name, SPARE_NAME)?;
            *state = State::Ready;
            return Ok(());
        }
        disk.remove(name)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room may come back at any time; looking for it costs little.
const RETRY_AFTER: Duration = Duration::from_secs(10);
const SEGMENT_SUFFIX: &str = ".segment";
const SPARE_NAME: &str = "spare";
const NEW_SPARE_NAME: &str = "spare.new";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_like_numbers() {
        assert!(segment_name(9) < segment_name(10));
        assert_eq!(segment_number(&segment_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(segment_number("spare"), None);
        assert_eq!(segment_number("x.segment"), None);
    }
}
