use std::collections::HashMap;

use proptest::prelude::*;

use tl_model::limits::TAIL_EVENTS_MAX;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_subscription_catches_up_and_goes_live() {
    let engine = engine();
    publish(&engine, events(vec![event("a", "1"), event("b", "2"), event("a", "3")])).await;
    let mut subscription = subscribe(&engine, &["a"], After::Earliest);
    assert_eq!(told(&mut subscription).await, "1 3");
    assert_eq!(told(&mut subscription).await, "caught-up@3");
    assert!(is_quiet(&mut subscription).await);
    publish(&engine, events(vec![event("b", "4"), event("a", "5")])).await;
    assert_eq!(told(&mut subscription).await, "5");
    assert_eq!(subscription.position().offset, Offset::new(5));
    publish_one(&engine, "b", "6").await;
    assert!(is_quiet(&mut subscription).await);
    subscription.look();
    assert_eq!(subscription.position().offset, Offset::new(6), "what is not selected is passed");
}

#[tokio::test(start_paused = true)]
async fn the_position_is_that_of_what_was_handed_out() {
    let engine = engine();
    publish_one(&engine, "a", "1").await;
    let mut subscription = subscribe(&engine, &["a"], After::Earliest);
    assert_eq!(told(&mut subscription).await, "1");
    publish_one(&engine, "a", "2").await;
    subscription.look();
    assert_eq!(subscription.position().offset, Offset::new(1), "the second was found, not told");
    assert_eq!(told(&mut subscription).await, "caught-up@1");
    assert_eq!(told(&mut subscription).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_position_that_has_moved_on_does_not_go_back_for_what_is_found() {
    let engine = engine();
    let mut subscription = subscribe(&engine, &["a"], After::Latest);
    assert_eq!(told(&mut subscription).await, "caught-up@0");
    publish_one(&engine, "b", "1").await;
    subscription.look();
    assert_eq!(subscription.position().offset, Offset::new(1));
    publish_one(&engine, "a", "2").await;
    subscription.look();
    assert_eq!(subscription.position().offset, Offset::new(1), "the second was found, not told");
}

#[tokio::test(start_paused = true)]
async fn each_event_names_the_one_delivered_before_it() {
    let engine = engine();
    publish(&engine, events(vec![event("a", "1"), event("b", "2"), event("a", "3")])).await;
    let mut subscription = subscribe(&engine, &["a"], After::Earliest);
    let mut links = Vec::new();
    for _ in 0..2 {
        if let Delivery::Events(events) = subscription.next().await.expect("delivers") {
            links.extend(events.iter().map(|it| (it.previous.get(), it.offset.get())));
        }
    }
    publish(&engine, events(vec![event("b", "4"), event("a", "5")])).await;
    if let Delivery::Events(events) = subscription.next().await.expect("delivers") {
        links.extend(events.iter().map(|it| (it.previous.get(), it.offset.get())));
    }
    assert_eq!(links, [(0, 1), (1, 3), (3, 5)]);
}

#[tokio::test(start_paused = true)]
async fn reading_begins_where_it_is_told_to() {
    let engine = engine();
    for id in ["1", "2", "3"] {
        publish_one(&engine, "a", id).await;
    }
    let place = |offset| After::Position(Position { epoch: epoch(), offset: Offset::new(offset) });
    assert_eq!(told(&mut subscribe(&engine, &["a"], place(1))).await, "2 3");
    assert_eq!(told(&mut subscribe(&engine, &["a"], place(3))).await, "caught-up@3");
    assert_eq!(told(&mut subscribe(&engine, &["a"], After::Latest)).await, "caught-up@3");
    let refused = |after| {
        let credit = Credit::Unlimited;
        let subscription = engine.subscribe(&Call::default(), selection(&["a"]), after, credit);
        subscription.map(|_| ()).expect_err("refused").code
    };
    assert_eq!(refused(place(4)), ErrorCode::CursorAhead);
    let other = Position { epoch: Epoch::from_random(2 << 40), offset: Offset::new(1) };
    assert_eq!(refused(After::Position(other)), ErrorCode::CursorEpoch);
    let error = read(&engine, &["a"], After::Position(other)).await.expect_err("refused");
    assert_eq!(error.code, ErrorCode::CursorEpoch);
}

#[tokio::test(start_paused = true)]
async fn channels_and_patterns_arrive_merged_and_once() {
    let engine = engine();
    let mut subscription = subscribe(&engine, &["a.>", "a.b", "c"], After::Latest);
    assert_eq!(told(&mut subscription).await, "caught-up@0");
    let names = ["a.b", "x", "c", "a.d", "a.b"];
    let batch = names.iter().zip(["1", "2", "3", "4", "5"]).map(|(name, id)| event(name, id));
    publish(&engine, events(batch.collect())).await;
    assert_eq!(told(&mut subscription).await, "1 3 4 5");
}

#[tokio::test(start_paused = true)]
async fn no_more_is_delivered_than_there_is_credit_for() {
    let engine = engine();
    let credit = Credit::Events(2);
    let mut subscription = engine
        .subscribe(&Call::default(), selection(&["a"]), After::Earliest, credit)
        .expect("subscribes");
    publish(&engine, events((1..6).map(|n| event("a", &n.to_string())).collect())).await;
    assert_eq!(told(&mut subscription).await, "1 2");
    assert!(is_quiet(&mut subscription).await);
    subscription.allow(2);
    assert_eq!(told(&mut subscription).await, "3 4");
    assert!(is_quiet(&mut subscription).await);
}

#[tokio::test(start_paused = true)]
async fn who_falls_behind_the_tail_loses_nothing() {
    let engine = engine();
    let mut slow = subscribe(&engine, &["a"], After::Latest).at_most(256);
    assert_eq!(told(&mut slow).await, "caught-up@0");
    let count = TAIL_EVENTS_MAX + 1_000;
    let mut published = 0;
    while published < count {
        let batch = (published..published + 500).map(|n| event("a", &n.to_string())).collect();
        publish(&engine, events(batch)).await;
        published += 500;
    }
    let mut received = 0;
    while received < published {
        for id in told(&mut slow).await.split(' ') {
            assert_eq!(id, received.to_string());
            received += 1;
        }
    }
    publish_one(&engine, "a", "live again").await;
    assert_eq!(told(&mut slow).await, "live again");
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_is_told_as_a_gap() {
    let latest = Retention { count: Some(1), ..Retention::default() };
    let store = Arc::new(MemoryStore::new(epoch()));
    let engine = engine_on(store, vec![Rule { retention: Some(latest), ..rule("a") }]);
    for id in ["1", "2", "3"] {
        publish_one(&engine, "a", id).await;
    }
    let one = After::Position(Position { epoch: epoch(), offset: Offset::new(1) });
    let mut behind = subscribe(&engine, &["a"], one);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(told(&mut behind).await, "gap 1..2");
    assert_eq!(told(&mut behind).await, "3");
    let mut fresh = subscribe(&engine, &["a"], After::Earliest);
    assert_eq!(told(&mut fresh).await, "3", "whoever begins with what is kept misses nothing");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_goes_away_leaves_nothing_behind() {
    let engine = engine();
    for _ in 0..10 {
        let subscription = subscribe(&engine, &["a", "a.*", "b.>"], After::Latest);
        drop(subscription);
    }
    let mut subscription = subscribe(&engine, &["a"], After::Latest);
    assert_eq!(told(&mut subscription).await, "caught-up@0");
    publish_one(&engine, "a", "1").await;
    assert_eq!(told(&mut subscription).await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_heard_by_whoever_listens() {
    let engine = engine();
    let draining = engine.draining();
    assert!(!draining.is_cancelled());
    engine.drain();
    draining.cancelled().await;
    assert!(draining.is_cancelled());
    publish_one(&engine, "a", "1").await;
}

#[derive(Clone, Debug)]
enum Act {
    Publish(Vec<&'static str>),
    Subscribe(Vec<&'static str>, bool),
    Take(prop::sample::Index),
    Drop(prop::sample::Index),
}

fn act() -> impl Strategy<Value = Act> {
    let name = prop::sample::select(vec!["a", "a.b", "a.c", "b"]);
    let pattern = prop::sample::select(vec!["a", "a.*", ">", "b", "a.b"]);
    prop_oneof![
        3 => prop::collection::vec(name, 1..5).prop_map(Act::Publish),
        1 => (prop::collection::vec(pattern, 1..3), any::<bool>())
            .prop_map(|(patterns, latest)| Act::Subscribe(patterns, latest)),
        4 => any::<prop::sample::Index>().prop_map(Act::Take),
        1 => any::<prop::sample::Index>().prop_map(Act::Drop),
    ]
}

/// A subscriber, and what the model says it is still to get.
struct Follower {
    subscription: Subscription,
    selection: Selection,
    owed: Vec<String>,
}

async fn take(follower: &mut Follower) {
    let wait = Duration::from_millis(1);
    let Ok(delivery) = tokio::time::timeout(wait, follower.subscription.next()).await else {
        assert!(follower.owed.is_empty(), "quiet, though {:?} is owed", follower.owed);
        return;
    };
    if let Delivery::Events(events) = delivery.expect("delivers") {
        for event in events {
            assert_eq!(event.event.logged().event.id(), follower.owed.remove(0));
        }
    }
}

async fn run(acts: Vec<Act>) {
    let engine = engine();
    let mut log: Vec<(Channel, String)> = Vec::new();
    let mut followers: HashMap<usize, Follower> = HashMap::new();
    let pick = |followers: &HashMap<usize, Follower>, index: prop::sample::Index| {
        let mut keys: Vec<_> = followers.keys().copied().collect();
        keys.sort_unstable();
        (!keys.is_empty()).then(|| keys[index.index(keys.len())])
    };
    for (number, act) in acts.into_iter().enumerate() {
        match act {
            Act::Publish(names) => {
                let first = log.len();
                log.extend(
                    names.iter().map(|name| channel(name)).zip((first..).map(|n| n.to_string())),
                );
                for (channel, id) in &log[first..] {
                    publish_one(&engine, channel.as_str(), id).await;
                    for follower in followers.values_mut() {
                        if follower.selection.matches(channel) {
                            follower.owed.push(id.clone());
                        }
                    }
                }
            }
            Act::Subscribe(patterns, latest) => {
                let after = if latest { After::Latest } else { After::Earliest };
                let subscription = subscribe(&engine, &patterns, after).at_most(3);
                let selection = selection(&patterns);
                let past = log.iter().filter(|(channel, _)| !latest && selection.matches(channel));
                let owed = past.map(|(_, id)| id.clone()).collect();
                followers.insert(number, Follower { subscription, selection, owed });
            }
            Act::Take(index) => {
                if let Some(key) = pick(&followers, index) {
                    take(followers.get_mut(&key).expect("picked")).await;
                }
            }
            Act::Drop(index) => {
                if let Some(key) = pick(&followers, index) {
                    followers.remove(&key);
                }
            }
        }
    }
    for mut follower in followers.into_values() {
        while !follower.owed.is_empty() {
            take(&mut follower).await;
        }
    }
}

proptest! {
    #[test]
    fn every_subscriber_gets_everything_once_in_order(acts in prop::collection::vec(act(), 1..80)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("runtime");
        runtime.block_on(run(acts));
    }
}
