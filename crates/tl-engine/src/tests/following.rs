//! Subscribers that follow lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;
use crate::{Run, Sent, Sink};

/// Takes so many runs, and then no more.
struct TestSink(AtomicUsize);

impl Sink for TestSink {
    fn send(&self, _: u64, _: &mut Run) -> Sent {
        let less = |takes: usize| takes.checked_sub(1);
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
            Ok(_) => Sent::All,
            Err(_) => Sent::Refused,
        }
    }
}

/// Follows lanes, like a connection's task, until there is something that no lane has sent.
fn follow(mut subscription: Subscription, takes: usize) -> JoinHandle<String> {
    let sink: Arc<dyn Sink> = Arc::new(TestSink(takes.into()));
    tokio::spawn(async move {
        let delivery = std::future::poll_fn(|cx| match subscription.poll_next(cx) {
            Poll::Ready(delivery) => Poll::Ready(delivery.expect("delivers")),
            Poll::Pending => {
                subscription.follow(cx, &sink, 1);
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

/// On paused time, all that can happen has happened after it.
const A_MOMENT: Duration = Duration::from_millis(1);
