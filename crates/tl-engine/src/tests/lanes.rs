//! What lanes send, and to whom.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use tl_protocol::subscription::Delivered;

use super::*;
use crate::{Script, Sent, Sink};

/// A connection that keeps what lanes send, each event as `previous>offset`.
#[derive(Default)]
struct Wire {
    sent: Mutex<Vec<Bytes>>,
    is_full: AtomicBool,
}

impl Sink for Wire {
    fn send(&self, bytes: &Bytes, _: Instant) -> Sent {
        if self.is_full.load(Ordering::Relaxed) {
            return Sent::Refused;
        }
        self.sent.lock().expect("no panic").push(bytes.clone());
        Sent::All
    }
}

impl Wire {
    /// What has been sent since it was asked last.
    fn take(&self) -> String {
        let sent = std::mem::take(&mut *self.sent.lock().expect("no panic"));
        let sent = sent.iter().map(|bytes| std::str::from_utf8(bytes).expect("text"));
        sent.collect::<String>().trim().to_owned()
    }
}

const SCRIPT: Script = Script { name: "test", variant: 0, write };

fn write(events: &[Delivered<Arc<SharedEvent>>], _: Epoch, _: u64) -> Bytes {
    events.iter().map(link).collect::<String>().into()
}

fn link(event: &Delivered<Arc<SharedEvent>>) -> String {
    format!("{}>{} ", event.previous.get(), event.offset.get())
}

/// A subscriber that follows lanes whenever it has nothing else to do.
struct Follower {
    subscription: Subscription,
    wire: Arc<Wire>,
}

impl Follower {
    fn new(engine: &Engine, credit: Credit) -> Self {
        let subscription =
            engine.subscribe(&Call::default(), selection(&["a"]), After::Earliest, credit);
        Self { subscription: subscription.expect("subscribes"), wire: Arc::default() }
    }

    fn unlimited(engine: &Engine) -> Self {
        Self::new(engine, Credit::Unlimited)
    }

    /// Lets everything happen that can; returns what it was told itself.
    async fn turn(&mut self) -> String {
        let mut told = String::new();
        for _ in 0..20 {
            while let Ok(delivery) =
                tokio::time::timeout(Duration::ZERO, self.subscription.next()).await
            {
                if let Delivery::Events(events) = delivery.expect("delivers") {
                    told.extend(events.iter().map(link));
                }
            }
            self.follow_now().await;
            tokio::task::yield_now().await;
        }
        told.trim().to_owned()
    }

    async fn follow_now(&mut self) {
        std::future::poll_fn(|cx| {
            self.follow(cx);
            Poll::Ready(())
        })
        .await;
    }

    fn follow(&mut self, cx: &mut Context<'_>) {
        let wire = self.wire.clone();
        self.subscription.follow(cx, || wire, SCRIPT);
    }
}

/// Two of them, in one lane.
async fn followers(engine: &Engine) -> [Follower; 2] {
    let mut followers = [Follower::unlimited(engine), Follower::unlimited(engine)];
    for follower in &mut followers {
        follower.turn().await;
    }
    let [first, _] = &mut followers;
    first.turn().await;
    followers
}

#[tokio::test(start_paused = true)]
async fn what_goes_to_several_is_written_once() {
    let engine = engine();
    let [mut first, second] = followers(&engine).await;
    publish_one(&engine, "a", "1").await;
    assert_eq!(first.turn().await, "", "the lane has sent it");
    let sent = |follower: &Follower| follower.wire.sent.lock().expect("no panic")[0].clone();
    assert_eq!(sent(&first), "0>1 ");
    assert_eq!(sent(&first).as_ptr(), sent(&second).as_ptr());
    assert_eq!(first.subscription.position().offset, Offset::new(1));
}

#[tokio::test(start_paused = true)]
async fn alone_nobody_needs_a_lane() {
    let engine = engine();
    let mut alone = Follower::unlimited(&engine);
    alone.turn().await;
    publish_one(&engine, "a", "1").await;
    assert_eq!((alone.turn().await.as_str(), alone.wire.take().as_str()), ("0>1", ""));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_full_goes_on_by_itself_and_comes_back() {
    let engine = engine();
    let [mut first, mut second] = followers(&engine).await;
    second.wire.is_full.store(true, Ordering::Relaxed);
    publish_one(&engine, "a", "1").await;
    first.turn().await;
    assert_eq!(first.wire.take(), "0>1", "the other does not hold it back");
    assert_eq!(second.turn().await, "0>1");
    second.wire.is_full.store(false, Ordering::Relaxed);
    publish_one(&engine, "b", "2").await;
    publish_one(&engine, "a", "3").await;
    assert_eq!(second.turn().await, "");
    assert_eq!(second.wire.take(), "1>3");
}

#[tokio::test(start_paused = true)]
async fn whoever_stands_elsewhere_is_told_its_own_link_first() {
    let engine = engine();
    let [mut first, _second] = followers(&engine).await;
    publish_one(&engine, "b", "1").await;
    let mut late = Follower::unlimited(&engine);
    let after =
        engine.subscribe(&Call::default(), selection(&["a"]), After::Latest, Credit::Unlimited);
    late.subscription = after.expect("subscribes");
    late.turn().await;
    publish_one(&engine, "a", "2").await;
    assert_eq!(late.turn().await, "1>2");
    first.turn().await;
    assert_eq!(first.wire.take(), "0>2");
    publish_one(&engine, "a", "3").await;
    assert_eq!((late.turn().await.as_str(), late.wire.take().as_str()), ("", "2>3"));
}

#[tokio::test(start_paused = true)]
async fn a_lane_sends_no_more_than_the_credit() {
    let engine = engine();
    let [_first, _second] = followers(&engine).await;
    let mut limited = Follower::new(&engine, Credit::Events(1));
    limited.turn().await;
    for id in ["1", "2"] {
        publish_one(&engine, "a", id).await;
        limited.turn().await;
    }
    assert_eq!(limited.wire.take(), "0>1");
    limited.subscription.allow(1);
    assert_eq!(limited.turn().await, "1>2");
}

#[tokio::test(start_paused = true)]
async fn credit_given_in_a_lane_counts() {
    let engine = engine();
    let [_first, _second] = followers(&engine).await;
    let mut limited = Follower::new(&engine, Credit::Events(1));
    limited.turn().await;
    limited.subscription.allow(1);
    for id in ["1", "2"] {
        publish_one(&engine, "a", id).await;
        limited.turn().await;
    }
    assert_eq!(limited.wire.take(), "0>1 1>2");
}

#[tokio::test(start_paused = true)]
async fn ephemeral_events_pass_through_a_lane() {
    let engine = engine();
    let [mut first, _second] = followers(&engine).await;
    let ephemeral = Publish { ephemeral: true, ..events(vec![event("a", "1")]) };
    publish(&engine, ephemeral).await;
    first.turn().await;
    assert_eq!(first.wire.take(), "0>0");
}

#[tokio::test(start_paused = true)]
async fn a_lane_ends_with_its_last_follower() {
    let engine = engine();
    let [first, second] = followers(&engine).await;
    assert!(!engine.shared.lanes.is_empty());
    drop((first, second));
    assert!(engine.shared.lanes.is_empty());
}

/// On real threads: some follow, leave and come back again and again while events are published.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn coming_and_going_loses_nothing_and_doubles_nothing() {
    let engine = engine();
    let mut followers = Vec::new();
    for number in 0..8 {
        let follower = Follower::unlimited(&engine);
        followers.push(tokio::spawn(come_and_go(follower, number)));
    }
    for id in 0..EVENTS {
        let name = if id % 7 == 6 { "b" } else { "a" };
        publish_one(&engine, name, &id.to_string()).await;
    }
    let expected: Vec<_> = (0..EVENTS).filter(|id| id % 7 != 6).map(|id| id + 1).collect();
    for follower in followers {
        let told = follower.await.expect("no panic");
        assert_eq!(told.len(), expected.len());
        assert_eq!(told.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), expected);
        assert!(told.windows(2).all(|pair| pair[1].0 == pair[0].1), "all are linked");
    }
}

const EVENTS: u64 = 3_000;

/// What it was told, by itself and by lanes, in order.
async fn come_and_go(mut follower: Follower, number: u64) -> Vec<(u64, u64)> {
    let mut told = Vec::new();
    let last = (0..EVENTS).rev().find(|id| id % 7 != 6).expect("some") + 1;
    let mut turns = number;
    while told.last().is_none_or(|(_, offset)| *offset < last) {
        turns += 1;
        let delivery = std::future::poll_fn(|cx| {
            let delivery = follower.subscription.poll_next(cx);
            if delivery.is_pending() && !turns.is_multiple_of(5) {
                follower.follow(cx);
            }
            Poll::Ready(match delivery {
                Poll::Ready(delivery) => Some(delivery.expect("delivers")),
                Poll::Pending => None,
            })
        });
        match delivery.await {
            Some(delivery) => {
                take_sent(&follower, &mut told);
                if let Delivery::Events(events) = delivery {
                    told.extend(events.iter().map(|it| (it.previous.get(), it.offset.get())));
                }
            }
            None if turns.is_multiple_of(5) => follower.subscription.unfollow(),
            None => {}
        }
        let is_full = turns.is_multiple_of(11);
        follower.wire.is_full.store(is_full, Ordering::Relaxed);
        take_sent(&follower, &mut told);
        tokio::task::yield_now().await;
    }
    told
}

fn take_sent(follower: &Follower, told: &mut Vec<(u64, u64)>) {
    for link in follower.wire.take().split_whitespace() {
        let (previous, offset) = link.split_once('>').expect("a link");
        told.push((previous.parse().expect("a number"), offset.parse().expect("a number")));
    }
}
