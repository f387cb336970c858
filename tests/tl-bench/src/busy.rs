//! An engine in this process, with as many publishers as keep it busy.

use std::ops::AddAssign;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use tl_engine::{Engine, Options, Publish, SystemEnvironment};
use tl_model::{Call, NewEvent};
use tl_store_disk::DiskStore;

use crate::machine;

/// An engine on a store of its own, on all cores. It is busy only while somebody says so.
pub(crate) struct BusyEngine {
    engine: Engine,
    store: Arc<DiskStore>,
    events: Arc<[NewEvent]>,
    // Ended last: the engine's tasks are on it.
    runtime: Runtime,
}

/// What has been published in so much time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Published {
    pub(crate) receipts: u64,
    batches: u64,
    pub(crate) elapsed: Duration,
    /// Processor time of the whole process.
    pub(crate) spent: Duration,
}

impl BusyEngine {
    /// Starts on an empty directory. These events are what publishers publish, over and over.
    pub(crate) fn start(directory: &Path, events: Vec<NewEvent>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let store = DiskStore::open(&tl_store_disk::Options::new(directory));
        let store = Arc::new(store.expect("the store opens"));
        let entered = runtime.enter();
        let engine = Engine::start(store.clone(), Arc::new(SystemEnvironment), Options::default());
        drop(entered);
        Self { engine, store, events: events.into(), runtime }
    }

    /// All publish for a while, each waiting for its receipt before it publishes again. Then waits
    /// until the store has done most of what that left to do in the background, so that it disturbs
    /// nobody else.
    pub(crate) fn publish_for(&self, time: Duration) -> Published {
        let (begun, spent, before) = (Instant::now(), machine::process_time(), self.engine.stats());
        let mut publishers = JoinSet::new();
        let publish =
            |first| publish_until(begun + time, self.engine.clone(), self.events.clone(), first);
        (0..PUBLISHERS).for_each(|first| {
            publishers.spawn_on(publish(first), self.runtime.handle());
        });
        self.runtime.block_on(publishers.join_all());
        let (elapsed, after) = (begun.elapsed(), self.engine.stats());
        let spent = machine::process_time() - spent;
        std::thread::sleep(SETTLED_WITHIN);
        let (receipts, batches) = (after.events - before.events, after.batches - before.batches);
        Published { receipts, batches, elapsed, spent }
    }

    /// Its store.
    pub(crate) fn store(&self) -> Arc<DiskStore> {
        self.store.clone()
    }

    /// Where it runs.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Waits until everything is on disk.
    pub(crate) fn close(self) {
        self.runtime.block_on(self.engine.close()).expect("the log is closed");
    }
}

impl Published {
    /// Receipts in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.receipts as f64 / self.elapsed.as_secs_f64()
    }

    /// How many shared a sync.
    pub(crate) fn events_per_sync(&self) -> f64 {
        self.receipts as f64 / self.batches as f64
    }
}

impl AddAssign for Published {
    fn add_assign(&mut self, more: Self) {
        self.receipts += more.receipts;
        self.batches += more.batches;
        self.elapsed += more.elapsed;
        self.spent += more.spent;
    }
}

async fn publish_until(until: Instant, engine: Engine, events: Arc<[NewEvent]>, first: usize) {
    let mut numbers = (first..).step_by(PUBLISHERS);
    while let Some(number) = numbers.next().filter(|_| Instant::now() < until) {
        let event = events[number % events.len()].clone();
        let publish = Publish { events: vec![Ok(event)], ..Publish::default() };
        let receipts = engine.publish(&Call::default(), publish).await.expect("publishes");
        assert!(receipts[0].is_ok());
    }
}

/// Publishers at once.
pub(crate) const PUBLISHERS: usize = 256;
/// A segment is indexed, and another one made ready, in less.
const SETTLED_WITHIN: Duration = Duration::from_millis(300);
