//! The engine: publish, read, subscribe.
//!
//! Every transport calls it, and it alone calls a store. It knows nothing of any transport.
//!
//! An event's way through it: [`publish`](Engine::publish) checks rights and limits and queues the
//! events; the [writer] takes what waits, lets the admission machine decide, appends one
//! batch to the store, shows it to the [tail] and hands out the receipts; the tail wakes the
//! [subscriptions](Subscription) concerned, each of which takes what it wants when it can.

mod access;
mod environment;
mod interests;
mod lanes;
mod once;
mod publish;
mod read;
mod schemas;
mod state;
mod subscribe;
mod tail;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use tl_model::limits::{IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_WINDOW};
use tl_model::{Epoch, Offset, Position, Rule, Rules};
use tl_store::{BoxFuture, LogStore, Page as StoredPage, Read, ReadError};

pub use environment::{Environment, SystemEnvironment};
pub use lanes::{Script, Sent, Sink, WriteEvents};
pub use once::Answer;
pub use publish::{Publish, Receipts};
pub use read::{Page, ReadRequest};
pub use schemas::CHANNEL as SCHEMAS_CHANNEL;
pub use schemas::{NewSchema, PutSchema, SchemaVersion};
pub use state::{Precondition, State};
pub use subscribe::Subscription;
pub use tl_protocol::frame::Receipt;
pub use tl_schema::Kind as SchemaKind;

use lanes::Lanes;
use once::Keys;
use schemas::Schemas;
use tail::Tail;
use writer::Writer;

/// The engine. Clones are handles to the same one.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn LogStore>,
    environment: Arc<dyn Environment>,
    rules: Rules,
    schemas: Schemas,
    tail: Arc<Tail>,
    lanes: Arc<Lanes>,
    keys: Arc<Keys>,
    writer: Writer,
    reads: AtomicU64,
    started_ms: u64,
    draining: CancellationToken,
    trimmer: JoinHandle<()>,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Events appended to the log.
    pub events: u64,
    /// Batches they went in, each of which was synced at most once.
    pub batches: u64,
    /// Times the log was read.
    pub reads: u64,
}

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// What operators decide about channels.
    pub rules: Rules,
    /// How long an idempotency key is known, at the least.
    pub idempotency_window: Duration,
    /// Idempotency keys known at once.
    pub idempotency_keys_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            idempotency_window: IDEMPOTENCY_WINDOW,
            idempotency_keys_max: IDEMPOTENCY_KEYS_MAX,
        }
    }
}

impl Engine {
    /// Starts an engine on a store. Must be called within a tokio runtime.
    pub fn start(
        store: Arc<dyn LogStore>,
        environment: Arc<dyn Environment>,
        options: Options,
    ) -> Self {
        let Options { rules, idempotency_window, idempotency_keys_max } = options;
        let of_records = once::retention(idempotency_window);
        let started_ms = environment.now_ms();
        let keys = Arc::new(Keys::new(idempotency_window, idempotency_keys_max));
        let tail = Arc::new(Tail::new(store.bounds().tail));
        let writer = Writer::start(store.clone(), environment.clone(), tail.clone());
        let trimmer = Trimmer { store: store.clone(), rules: rules.clone(), of_records };
        let trimmer = tokio::spawn(trimmer.run(environment.clone()));
        let lanes = Arc::new(Lanes::new(store.epoch()));
        let shared = Shared {
            store,
            environment,
            rules,
            schemas: Schemas::default(),
            tail,
            lanes,
            keys,
            writer,
            reads: AtomicU64::new(0),
            started_ms,
            draining: CancellationToken::new(),
            trimmer,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The identity of the log.
    pub fn epoch(&self) -> Epoch {
        self.shared.store.epoch()
    }

    /// What every cursor of this log begins with.
    pub fn cursor_prefix(&self) -> String {
        let mut start = self.position(Offset::START).cursor().to_string();
        // The last digit says that the offset has none.
        start.pop();
        start
    }

    /// Time, ids and chance.
    pub fn environment(&self) -> &dyn Environment {
        &*self.shared.environment
    }

    /// What has happened since the start.
    pub fn stats(&self) -> Stats {
        let (events, batches) = self.shared.writer.counts();
        Stats { events, batches, reads: self.shared.reads.load(Ordering::Relaxed) }
    }

    /// How long ago the engine was started, by the clock of its environment.
    pub fn uptime(&self) -> Duration {
        let now_ms = self.shared.environment.now_ms();
        Duration::from_millis(now_ms.saturating_sub(self.shared.started_ms))
    }

    /// Tells everybody who asked that the server is about to stop. Work goes on.
    pub fn drain(&self) {
        self.shared.draining.cancel();
    }

    /// Is cancelled once the server is about to stop.
    pub fn draining(&self) -> CancellationToken {
        self.shared.draining.clone()
    }

    /// Waits until all that was published is in the log, and the log on disk.
    ///
    /// # Errors
    ///
    /// `store_failed` if the log cannot be written.
    pub async fn close(&self) -> Result<(), tl_model::Error> {
        self.shared.trimmer.abort();
        self.shared.writer.idle().await;
        self.shared.store.flush().await.map_err(|error| writer::append_error(&error))
    }

    fn read_store(&self, read: Read) -> BoxFuture<'static, Result<StoredPage, ReadError>> {
        self.shared.reads.fetch_add(1, Ordering::Relaxed);
        self.shared.store.read(read)
    }

    fn position(&self, offset: Offset) -> Position {
        Position { epoch: self.epoch(), offset }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.trimmer.abort();
    }
}

/// Lets go of what the rules no longer keep.
struct Trimmer {
    store: Arc<dyn LogStore>,
    rules: Rules,
    /// Of the records of answered requests. Where there are none, a log of which everything is kept
    /// need not be looked at.
    of_records: Rule,
}

impl Trimmer {
    async fn run(self, environment: Arc<dyn Environment>) {
        let rules = self.rules.clone().and(self.of_records.clone());
        loop {
            tokio::time::sleep(TRIM_INTERVAL).await;
            if self.rules.keep_everything() && !self.has_records() {
                continue;
            }
            if let Err(error) = self.store.trim(&rules, environment.now_ms()).await {
                tracing::error!(%error, "what has expired stays for now");
            }
        }
    }

    fn has_records(&self) -> bool {
        let channel = self.of_records.pattern.channel();
        channel.is_some_and(|channel| self.store.last(&channel).is_some())
    }
}

/// Retention is counted in hours and days; seconds more do no harm.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
