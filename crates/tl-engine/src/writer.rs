//! The one place that appends to the log.
//!
//! Publishers queue their requests; a task takes what waits, lets the admission machine make a batch
//! of it, appends the batch, shows it to the tail, and answers. While one batch is being synced the
//! next gathers in the queue, so the busier the server is, the more events share a sync.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use tl_model::limits::{LOG_BATCH_BYTES_MAX, LOG_BATCH_EVENTS_MAX, PUBLISH_QUEUE_BYTES_MAX};
use tl_model::{Appended, Error, ErrorCode, LoggedEvent, NewEvent, SharedEvent};
use tl_protocol::admit::{Admission, BatchLimits, Request, Verdict};
use tl_store::{AppendError, Batch, LogStore};

use crate::environment::Environment;
use crate::once::Claim;
use crate::tail::Tail;

/// A handle to the writing task, which ends when the last handle is dropped.
pub(crate) struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// There is something in the queue, or no handle any more.
    arrived: Notify,
    /// The queue was found empty.
    emptied: Notify,
    is_closed: AtomicBool,
    events: AtomicU64,
    batches: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    is_busy: bool,
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_busy
    }
}

/// A request and who waits for its answer.
struct Waiting {
    request: Request,
    answer: Answer,
    claim: Option<Claim>,
}

/// A request in the batch that is being written.
struct Writing {
    answer: Answer,
    count: usize,
    claim: Option<Claim>,
}

type Answer = oneshot::Sender<Result<Vec<Appended>, Error>>;

impl Writer {
    pub(crate) fn start(
        store: Arc<dyn LogStore>,
        environment: Arc<dyn Environment>,
        tail: Arc<Tail>,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Notify::new(),
            emptied: Notify::new(),
            is_closed: AtomicBool::new(false),
            events: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        });
        let task = Task { shared: shared.clone(), store, environment, tail };
        tokio::spawn(task.run());
        Self { shared }
    }

    /// Queues a request at once; the future is its answer.
    pub(crate) fn submit(
        &self,
        request: Request,
        claim: Option<Claim>,
    ) -> Result<impl Future<Output = Result<Vec<Appended>, Error>> + use<>, Error> {
        let cost = request.cost();
        let mut queue = self.shared.queue();
        if queue.bytes > 0 && queue.bytes + cost > PUBLISH_QUEUE_BYTES_MAX {
            let error = Error::new(ErrorCode::Overloaded, "more is published than the disk takes");
            return Err(error.retry_after(OVERLOADED_RETRY));
        }
        let (answer, answered) = oneshot::channel();
        queue.bytes += cost;
        queue.waiting.push_back(Waiting { request, answer, claim });
        drop(queue);
        self.shared.arrived.notify_one();
        Ok(async {
            let gone = |_| Error::new(ErrorCode::StoreFailed, "the log has stopped");
            answered.await.map_err(gone)?
        })
    }

    /// Waits until nothing is queued and nothing is being written.
    pub(crate) async fn idle(&self) {
        loop {
            let emptied = self.shared.emptied.notified();
            if self.shared.queue().is_idle() {
                return;
            }
            emptied.await;
        }
    }

    /// Events appended since the start, and the batches they went in.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let Shared { events, batches, .. } = &*self.shared;
        (events.load(Ordering::Relaxed), batches.load(Ordering::Relaxed))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.arrived.notify_one();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Task {
    shared: Arc<Shared>,
    store: Arc<dyn LogStore>,
    environment: Arc<dyn Environment>,
    tail: Arc<Tail>,
}

impl Task {
    async fn run(self) {
        loop {
            let (admission, writing) = self.gather();
            if !admission.is_empty() {
                self.append(admission, writing).await;
                continue;
            }
            self.shared.emptied.notify_waiters();
            if self.shared.is_closed.load(Ordering::Acquire) {
                return;
            }
            self.shared.arrived.notified().await;
        }
    }

    /// Makes a batch of what waits. Requests whose caller has gone away are dropped.
    fn gather(&self) -> (Admission, Vec<Writing>) {
        let mut admission = Admission::new(LIMITS);
        let mut writing = Vec::new();
        let last = |channel: &_| self.store.last(channel).map(|last| last.offset);
        let mut queue = self.shared.queue();
        while let Some(Waiting { request, answer, claim }) = queue.waiting.pop_front() {
            let cost = request.cost();
            if answer.is_closed() {
                queue.bytes -= cost;
                continue;
            }
            match admission.admit(request, last) {
                Verdict::Admitted(places) => {
                    writing.push(Writing { answer, count: places.len(), claim });
                }
                Verdict::Full(request) => {
                    queue.waiting.push_front(Waiting { request, answer, claim });
                    break;
                }
                Verdict::Refused(error) => {
                    // The key is free before anybody hears of it.
                    drop(claim);
                    drop(answer.send(Err(error)));
                }
            }
            queue.bytes -= cost;
        }
        queue.is_busy = !admission.is_empty();
        (admission, writing)
    }

    async fn append(&self, admission: Admission, writing: Vec<Writing>) {
        let (durability, events) = admission.into_batch();
        let logged_at_ms = self.environment.now_ms();
        let batch = Batch { durability, logged_at_ms, events: events.clone() };
        match self.store.append(batch).await {
            Ok(appended) => {
                self.shared.events.fetch_add(appended.len() as u64, Ordering::Relaxed);
                self.shared.batches.fetch_add(1, Ordering::Relaxed);
                self.tail.show_logged(logged(events, &appended, logged_at_ms));
                answer_all(writing, &appended, logged_at_ms);
            }
            Err(error) => {
                tracing::error!(%error, "a batch could not be appended");
                for Writing { answer, claim, .. } in writing {
                    drop(claim);
                    drop(answer.send(Err(append_error(&error))));
                }
            }
        }
    }
}

fn logged(
    events: Vec<NewEvent>,
    appended: &[Appended],
    logged_at_ms: u64,
) -> impl Iterator<Item = Arc<SharedEvent>> {
    events.into_iter().zip(appended).map(move |(NewEvent { channel, event }, appended)| {
        let Appended { offset, previous } = *appended;
        Arc::new(SharedEvent::new(LoggedEvent { offset, previous, logged_at_ms, channel, event }))
    })
}

/// A caller that has gone away does not mind.
fn answer_all(writing: Vec<Writing>, appended: &[Appended], logged_at_ms: u64) {
    let mut rest = appended;
    for Writing { answer, count, claim } in writing {
        let (its, after) = rest.split_at(count);
        // The record comes last. The key is known before anybody hears of it.
        if let (Some(claim), Some(record)) = (claim, its.last()) {
            claim.settle(record.offset, logged_at_ms);
        }
        drop(answer.send(Ok(its.to_vec())));
        rest = after;
    }
}

/// What publishers are told when the log takes nothing.
pub(crate) fn append_error(error: &AppendError) -> Error {
    match error {
        AppendError::Full => {
            let detail = "the server's disk is full; what is stored can still be read";
            Error::new(ErrorCode::StoreFull, detail).retry_after(FULL_RETRY)
        }
        AppendError::Stopped(_) => {
            let detail = "the server's log has stopped after a disk error; the event may have been \
                          logged";
            Error::new(ErrorCode::StoreFailed, detail)
        }
    }
}

const LIMITS: BatchLimits =
    BatchLimits { events_max: LOG_BATCH_EVENTS_MAX, bytes_max: LOG_BATCH_BYTES_MAX };

/// The queue is emptied within a second unless the disk is far too slow.
const OVERLOADED_RETRY: Duration = Duration::from_secs(1);
/// Space comes back when retention next gives some, or when somebody makes room.
const FULL_RETRY: Duration = Duration::from_secs(30);
