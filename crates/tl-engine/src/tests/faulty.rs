//! The engine on a store that hangs, fails and takes its time.

use tokio::sync::Semaphore;

use tl_model::Appended;
use tl_store::{
    AppendError, Batch, Bounds, BoxFuture, LastLogged, Page, Read, ReadError, TrimError,
};

use super::*;

/// A store in memory whose appends need a permit, and fail when told to.
struct FaultyStore {
    store: MemoryStore,
    permits: Semaphore,
    fails: std::sync::Mutex<Option<AppendError>>,
}

impl FaultyStore {
    fn new() -> Arc<Self> {
        let store = MemoryStore::new(epoch());
        Arc::new(Self { store, permits: Semaphore::new(0), fails: None.into() })
    }

    fn fail(&self, error: Option<AppendError>) {
        *self.fails.lock().expect("not poisoned") = error;
        self.permits.add_permits(1_000);
    }
}

impl LogStore for FaultyStore {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    fn bounds(&self) -> Bounds {
        self.store.bounds()
    }

    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>> {
        Box::pin(async {
            self.permits.acquire().await.expect("open").forget();
            let fails = self.fails.lock().expect("not poisoned").clone();
            match fails {
                Some(error) => Err(error),
                None => self.store.append(batch).await,
            }
        })
    }

    fn read(&self, _read: Read) -> BoxFuture<'static, Result<Page, ReadError>> {
        let (offset, reason) = (Offset::new(7), "planted".to_owned());
        Box::pin(async move { Err(ReadError::Damaged { offset, reason }) })
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

async fn publish_until(engine: &Engine, seconds: u64) -> Result<(), ErrorCode> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
    let call = Call::default().until(deadline.into_std());
    let publish = events(vec![event("a", "1")]);
    engine.publish(&call, publish).await.map(|_| ()).map_err(|error| error.code)
}

#[tokio::test(start_paused = true)]
async fn a_deadline_reaches_the_publish_and_what_was_given_up_is_not_written() {
    let store = FaultyStore::new();
    let engine = engine_on(store.clone(), Vec::new());
    // The first is being written when its time is up, the second still waits in the queue.
    let both = tokio::join!(publish_until(&engine, 1), publish_until(&engine, 1));
    assert_eq!(both, (Err(ErrorCode::DeadlineExceeded), Err(ErrorCode::DeadlineExceeded)));
    let third = tokio::join!(publish_until(&engine, 5), async { store.fail(None) });
    assert_eq!(third.0, Ok(()));
    assert!(engine.stats().events <= 2 + 1, "{:?}", engine.stats());
    assert_eq!(engine.stats().batches, 2, "a cancelled request that was still waiting is dropped");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_has_stopped_says_so_to_every_publisher() {
    let store = FaultyStore::new();
    let engine = engine_on(store.clone(), Vec::new());
    store.fail(Some(AppendError::Stopped("planted".into())));
    for _ in 0..3 {
        assert_eq!(publish_until(&engine, 5).await, Err(ErrorCode::StoreFailed));
    }
    store.fail(Some(AppendError::Full));
    assert_eq!(publish_until(&engine, 5).await, Err(ErrorCode::StoreFull));
    store.fail(None);
    assert_eq!(publish_until(&engine, 5).await, Ok(()), "room was made");
}

#[tokio::test(start_paused = true)]
async fn too_much_waiting_is_refused_at_once() {
    let store = FaultyStore::new();
    let engine = engine_on(store, Vec::new());
    let data = vec![0; 1024 * 1024];
    let large = Event::builder("1", "/s", "t").data(&data).build().expect("legal");
    let large = NewEvent { channel: channel("a"), event: large };
    let mut waiting = Vec::new();
    let overloaded = loop {
        let (engine, large) = (engine.clone(), large.clone());
        let publish =
            tokio::spawn(
                async move { engine.publish(&Call::default(), events(vec![large])).await },
            );
        tokio::task::yield_now().await;
        if publish.is_finished() {
            break publish.await.expect("no panic").expect_err("refused");
        }
        waiting.push(publish);
        assert!(waiting.len() < 200, "the queue must have an end");
    };
    assert_eq!(overloaded.code, ErrorCode::Overloaded);
    assert!(overloaded.retry_after.is_some());
}

#[tokio::test(start_paused = true)]
async fn damage_is_told_and_not_passed_over() {
    let engine = engine_on(FaultyStore::new(), Vec::new());
    let error = read(&engine, &["a"], After::Earliest).await.expect_err("told");
    assert_eq!(error.code, ErrorCode::StoreFailed);
    let mut subscription = subscribe(&engine, &["a"], After::Earliest);
    let error = subscription.next().await.map(|_| ()).expect_err("told");
    assert!(error.detail.contains("offset 7"), "{error}");
}

/// An event shared between subscribers is one allocation, encoded once.
#[tokio::test(start_paused = true)]
async fn subscribers_share_events() {
    let engine = engine();
    let mut first = subscribe(&engine, &["a"], After::Latest);
    let mut second = subscribe(&engine, &[">"], After::Latest);
    assert_eq!(
        (told(&mut first).await, told(&mut second).await),
        ("caught-up@0".into(), "caught-up@0".into())
    );
    publish_one(&engine, "a", "1").await;
    let shared = async |subscription: &mut Subscription| -> Arc<SharedEvent> {
        match subscription.next().await.expect("delivers") {
            Delivery::Events(events) => events[0].event.clone(),
            other => panic!("{other:?}"),
        }
    };
    let (one, other) = (shared(&mut first).await, shared(&mut second).await);
    assert!(Arc::ptr_eq(&one, &other));
}
