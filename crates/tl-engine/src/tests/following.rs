//! Joining a lane, and being let go of: nobody is left asleep.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use tl_model::Appended;
use tl_model::limits::TAIL_EVENTS_MAX;
use tl_store::{
    AppendError, Batch, Bounds, BoxFuture, LastLogged, Page, Read, ReadError, TrimError,
};

use super::*;
use crate::{Script, Sent, Sink};

/// Takes so many runs, and then no more.
struct TestSink(AtomicUsize);

impl Sink for TestSink {
    fn send(&self, _: &Bytes, _: tokio::time::Instant) -> Sent {
        let less = |takes: usize| takes.checked_sub(1);
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
            Ok(_) => Sent::All,
            Err(_) => Sent::Refused,
        }
    }
}

const SCRIPT: Script = Script { name: "nothing", variant: 0, write: |_, _, _| Bytes::new() };

/// Follows lanes, like a connection's task, until there is something that no lane has sent.
fn follow(mut subscription: Subscription, takes: usize) -> JoinHandle<String> {
    let sink: Arc<dyn Sink> = Arc::new(TestSink(takes.into()));
    tokio::spawn(async move {
        let delivery = std::future::poll_fn(|cx| match subscription.poll_next(cx) {
            Poll::Ready(delivery) => Poll::Ready(delivery.expect("delivers")),
            Poll::Pending => {
                subscription.follow(cx, || sink.clone(), SCRIPT);
                Poll::Pending
            }
        });
        in_words(delivery.await)
    })
}

/// Two subscribers whose lanes can send them so many runs; what they are told after these.
async fn followers_are_told(takes: usize, ids: &[&str]) -> [String; 2] {
    let engine = engine();
    let mut subscriptions = [(); 2].map(|()| subscribe(&engine, &["a"], After::Latest));
    for subscription in &mut subscriptions {
        assert_eq!(told(subscription).await, "caught-up@0");
    }
    let followers = subscriptions.map(|subscription| follow(subscription, takes));
    tokio::time::sleep(A_MOMENT).await;
    for id in ids {
        publish_one(&engine, "a", id).await;
        tokio::time::sleep(A_MOMENT).await;
    }
    let [one, other] = followers.map(|it| tokio::time::timeout(A_MOMENT, it));
    let told = [one.await, other.await];
    told.map(|told| told.expect("it is woken").expect("it does not panic"))
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_at_once_goes_on_alone() {
    assert_eq!(followers_are_told(0, &["1"]).await, ["1", "1"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_later_goes_on_behind_what_the_lane_has_sent() {
    assert_eq!(followers_are_told(2, &["1", "2", "3"]).await, ["3", "3"]);
}

/// Says what it is sent, and can be made to wait.
#[derive(Default)]
struct GatedSink {
    gate: Mutex<()>,
    sent: Notify,
}

impl Sink for GatedSink {
    fn send(&self, _: &Bytes, _: tokio::time::Instant) -> Sent {
        drop(self.gate.lock());
        self.sent.notify_one();
        Sent::All
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_joins_a_lane_that_has_fallen_behind() {
    let engine = engine();
    let gated = Arc::new(GatedSink::default());
    let sink: Arc<dyn Sink> = gated.clone();
    let follow = async |subscription: &mut Subscription| {
        std::future::poll_fn(|cx| {
            assert!(subscription.poll_next(cx).is_pending());
            subscription.follow(cx, || sink.clone(), SCRIPT);
            Poll::Ready(())
        })
        .await;
    };
    let mut subscriptions = [(); 2].map(|()| subscribe(&engine, &["a"], After::Latest));
    for subscription in &mut subscriptions {
        assert_eq!(told(subscription).await, "caught-up@0");
        follow(subscription).await;
    }
    let gate = gated.gate.lock();
    let mut count = 1;
    publish_one(&engine, "a", "0").await;
    while count < TAIL_EVENTS_MAX + 1_000 {
        let batch = (count..count + 500).map(|n| event("a", &n.to_string())).collect();
        publish(&engine, events(batch)).await;
        count += 500;
    }
    drop(gate);
    let [one, _other] = &mut subscriptions;
    let last = (count - 1).to_string();
    while told(one).await.split(' ').next_back() != Some(&last) {}
    // What the first event has left there.
    gated.sent.notified().await;
    follow(one).await;
    let sent = gated.sent.notified();
    publish_one(&engine, "a", "live again").await;
    tokio::select! {
        () = sent => {}
        told = told(one) => panic!("the lane has not sent {told}"),
    }
}

/// A store in memory whose events can be read before the engine hears that they are logged.
struct LateStore {
    store: MemoryStore,
    permits: Semaphore,
}

impl LogStore for LateStore {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    fn bounds(&self) -> Bounds {
        self.store.bounds()
    }

    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>> {
        Box::pin(async {
            let appended = self.store.append(batch).await;
            self.permits.acquire().await.expect("open").forget();
            appended
        })
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

#[tokio::test(start_paused = true)]
async fn a_lane_that_begins_ahead_of_the_tail_hides_nothing_from_others() {
    let store = LateStore { store: MemoryStore::new(epoch()), permits: Semaphore::new(0) };
    let store = Arc::new(store);
    let engine = engine_on(store.clone(), Vec::new());
    let mut behind = subscribe(&engine, &["a"], After::Latest);
    assert_eq!(told(&mut behind).await, "caught-up@0");
    let publishing = tokio::spawn({
        let engine = engine.clone();
        async move { publish_one(&engine, "a", "1").await }
    });
    tokio::time::sleep(A_MOMENT).await;
    let mut ahead = subscribe(&engine, &["a"], After::Earliest);
    assert_eq!(told(&mut ahead).await, "1");
    assert_eq!(told(&mut ahead).await, "caught-up@1");
    let _ahead = follow(ahead, 9);
    tokio::time::sleep(A_MOMENT).await;
    let behind = follow(behind, 0);
    tokio::time::sleep(A_MOMENT).await;
    store.permits.add_permits(1);
    publishing.await.expect("is published");
    let told = tokio::time::timeout(A_MOMENT, behind).await;
    assert_eq!(told.expect("it is woken").expect("it does not panic"), "1");
}

/// On paused time, all that can happen has happened after it.
const A_MOMENT: Duration = Duration::from_millis(1);
