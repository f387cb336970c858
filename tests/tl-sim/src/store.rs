use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;

use tl_model::{Appended, Channel, Epoch, Rules};
use tl_store::{
    AppendError, Batch, Bounds, BoxFuture, LastLogged, LogStore, Page, Read, ReadError, TrimError,
};
use tl_store_disk::DiskStore;

use crate::model::ensure;
use crate::server::read_all;
use crate::world::{World, lock};

/// The store on disk, which takes its time and tells the model what it did. Once its process is dead
/// nothing of it ever ends.
pub(crate) struct SlowStore {
    store: Arc<DiskStore>,
    world: Arc<World>,
    random: Arc<Mutex<Rng>>,
    is_dead: Arc<AtomicBool>,
    has_stopped: AtomicBool,
}

impl SlowStore {
    pub(crate) fn new(
        store: Arc<DiskStore>,
        world: Arc<World>,
        random: Rng,
        is_dead: Arc<AtomicBool>,
    ) -> Self {
        let (random, has_stopped) = (Arc::new(Mutex::new(random)), AtomicBool::new(false));
        Self { store, world, random, is_dead, has_stopped }
    }

    fn pause(&self) -> impl Future<Output = ()> + Send + use<> {
        let millis = lock(&self.random).u64(0..=self.world.plan.disk_delay_ms_max);
        let is_dead = self.is_dead.clone();
        async move {
            if millis > 0 {
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            if is_dead.load(Ordering::Relaxed) {
                std::future::pending().await
            }
        }
    }

    /// Tells the model what became of a batch, and whoever watches whether that may be.
    fn note(&self, batch: Batch, told: &Result<Vec<Appended>, AppendError>) {
        match told {
            Ok(appended) => {
                let had_stopped = self.has_stopped.load(Ordering::Relaxed);
                let first = appended.first().map(|it| it.offset);
                self.world.note(format_args!("store: {} events at {first:?}", appended.len()));
                let mut model = lock(&self.world.model);
                let noted = model.appended(&batch.events, appended, batch.logged_at_ms);
                drop(model);
                self.world.check("store", noted);
                self.world.check("store", ensure(!had_stopped, || "goes on".to_owned()));
            }
            Err(AppendError::Full) => self.world.note(format_args!("store: full")),
            Err(AppendError::Stopped(reason)) => {
                self.world.note(format_args!("store: stopped, {reason}"));
                if !self.has_stopped.swap(true, Ordering::Relaxed) {
                    lock(&self.world.model).failed(batch.events);
                }
            }
        }
    }

    async fn trim_slowly(&self, rules: &Rules, now_ms: u64) -> Result<(), TrimError> {
        self.pause().await;
        let trimmed = self.store.trim(rules, now_ms).await;
        let kept = read_all(&self.store).await;
        self.world.trimmed(kept, now_ms);
        self.pause().await;
        trimmed
    }
}

impl LogStore for SlowStore {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    fn bounds(&self) -> Bounds {
        self.store.bounds()
    }

    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>> {
        let (before, after) = (self.pause(), self.pause());
        Box::pin(async move {
            before.await;
            let told = self.store.append(batch.clone()).await;
            self.note(batch, &told);
            after.await;
            told
        })
    }

    fn read(&self, read: Read) -> BoxFuture<'static, Result<Page, ReadError>> {
        let (before, between, after) = (self.pause(), self.pause(), self.pause());
        let store = self.store.clone();
        Box::pin(async move {
            before.await;
            // What is to be read is decided here; meanwhile it may be trimmed, and the file used again.
            let reading = store.read(read);
            between.await;
            let page = reading.await;
            after.await;
            page
        })
    }

    fn last(&self, channel: &Channel) -> Option<LastLogged> {
        self.store.last(channel)
    }

    fn trim(&self, rules: &Rules, now_ms: u64) -> BoxFuture<'_, Result<(), TrimError>> {
        let rules = rules.clone();
        Box::pin(async move { self.trim_slowly(&rules, now_ms).await })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.store.flush()
    }
}
