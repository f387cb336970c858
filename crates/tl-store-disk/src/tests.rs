use std::sync::Arc;

use tl_model::Epoch;
use tl_store::LogStore;
use tl_store::conformance::Home;

use super::*;
use crate::simulation::SimulatedDisk;

mod checkpoint;
mod compaction;
mod damage;
mod left_behind;
mod power_loss;
mod trimming;
mod workers;

/// Small, so that every test that appends a little goes through several segments.
const SEGMENT_BYTES: u64 = 64 * 1024;

struct TempHome(tempfile::TempDir);

impl TempHome {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }
}

impl Home for TempHome {
    fn open(&self) -> Arc<dyn LogStore> {
        let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(self.0.path()) };
        Arc::new(DiskStore::open(&options).expect("opens"))
    }
}

impl DiskStore {
    /// How many segments stand for others.
    fn sparse_segments(&self) -> usize {
        let sealed = self.index.read().sealed();
        sealed.iter().filter(|segment| segment.first_number != segment.number).count()
    }
}

/// Opens a log on a simulated disk.
fn open(disk: &SimulatedDisk) -> DiskStore {
    let (disk, epoch) = (Arc::new(disk.clone()), Epoch::from_random(1 << 40));
    let mut generation = disk.list().expect("lists").len() as u64 * 1_000;
    let generations = move || {
        generation += 1;
        generation
    };
    DiskStore::open_on(disk, epoch, SEGMENT_BYTES, Box::new(generations)).expect("opens")
}

/// A store that keeps its temporary directory alive.
fn temporary() -> Arc<dyn LogStore> {
    let home = TempHome::new();
    let store = home.open();
    Arc::new(Temporary { store, _home: home })
}

struct Temporary {
    store: Arc<dyn LogStore>,
    _home: TempHome,
}

impl LogStore for Temporary {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }
    fn bounds(&self) -> Bounds {
        self.store.bounds()
    }
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>> {
        self.store.append(batch)
    }
    fn read(&self, read: Read) -> BoxFuture<'static, Result<Page, ReadError>> {
        self.store.read(read)
    }
    fn last(&self, channel: &Channel) -> Option<LastLogged> {
        self.store.last(channel)
    }
    fn trim(&self, rules: &Rules, now_ms: u64) -> BoxFuture<'_, Result<(), TrimError>> {
        self.store.trim(rules, now_ms)
    }
    fn flush(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.store.flush()
    }
}

tl_store::conformance_suite!(temporary);
tl_store::durable_suite!(TempHome::new);
