//! X8 and REST3 in the engine: what a channel's state is, and under which conditions it changes.

use tl_model::{AttributeValue, TOMBSTONE};

use super::*;
use crate::{Precondition, State};

fn tombstone(name: &str) -> NewEvent {
    let deleted = AttributeValue::Boolean(true);
    let event = Event::builder("t", "/test", "made").extension(TOMBSTONE, deleted).build();
    NewEvent { channel: channel(name), event: event.expect("legal") }
}

/// The channel's state in a few words.
async fn state(engine: &Engine, name: &str) -> String {
    match engine.state(&Call::default(), &channel(name)).await.expect("reads") {
        State::Absent { last } => format!("absent@{last}"),
        State::Deleted(event) => format!("deleted@{}", event.offset),
        State::Document(event) => format!("{}@{}", event.event.id(), event.offset),
    }
}

async fn condition(engine: &Engine, name: &str, wanted: Precondition) -> Option<u64> {
    let condition = engine.condition(&Call::default(), &channel(name), &wanted).await;
    match condition {
        Ok(condition) => Some(condition.last.get()),
        Err(error) => {
            assert_eq!(error.code, ErrorCode::ConditionFailed);
            None
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_latest_event_of_a_channel_is_its_state() {
    let engine = engine();
    assert_eq!(state(&engine, "a").await, "absent@0");
    publish_one(&engine, "a", "one").await;
    publish_one(&engine, "b", "other").await;
    publish_one(&engine, "a", "two").await;
    assert_eq!(state(&engine, "a").await, "two@3");
    publish(&engine, events(vec![tombstone("a")])).await;
    assert_eq!(state(&engine, "a").await, "deleted@4");
    let page = read(&engine, &[">"], After::Earliest).await.expect("reads");
    let current: Vec<_> = page.events.iter().filter(|event| engine.is_current(event)).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0].event.id(), "other");
}

#[tokio::test(start_paused = true)]
async fn preconditions_hold_or_are_refused() {
    let engine = engine();
    let at = |offset| Position { epoch: epoch(), offset: Offset::new(offset) };
    let last = |offset| Precondition::Last(vec![at(9), at(offset)]);
    assert_eq!(condition(&engine, "a", Precondition::Absent).await, Some(0));
    assert_eq!(condition(&engine, "a", Precondition::Exists).await, None);
    publish_one(&engine, "a", "one").await;
    assert_eq!(condition(&engine, "a", Precondition::Absent).await, None);
    assert_eq!(condition(&engine, "a", Precondition::Exists).await, Some(1));
    assert_eq!(condition(&engine, "a", last(1)).await, Some(1));
    assert_eq!(condition(&engine, "a", last(2)).await, None);
    let elsewhere = Position { epoch: Epoch::from_random(1 << 50), ..at(1) };
    assert_eq!(condition(&engine, "a", Precondition::Last(vec![elsewhere])).await, None);
    publish(&engine, events(vec![tombstone("a")])).await;
    assert_eq!(condition(&engine, "a", Precondition::Absent).await, Some(2));
    assert_eq!(condition(&engine, "a", Precondition::Exists).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_rule_can_demand_a_condition() {
    let demanding = Rule { require_condition: Some(true), ..rule("counters.>") };
    let engine = engine_on(Arc::new(MemoryStore::new(epoch())), vec![demanding]);
    let new = || events(vec![event("counters.a", "1")]);
    let without = publish(&engine, new()).await;
    let code = without[0].as_ref().map_err(|error| error.code).map(drop);
    assert_eq!(code, Err(ErrorCode::ConditionRequired));
    let call = Call::default();
    let condition = engine.condition(&call, &channel("counters.a"), &Precondition::Absent).await;
    let conditions = vec![condition.expect("holds")];
    assert!(publish(&engine, Publish { conditions, ..new() }).await[0].is_ok());
}

#[tokio::test(start_paused = true)]
async fn conditions_hold_for_ephemeral_events_too() {
    let engine = engine();
    let last = publish_one(&engine, "a", "one").await;
    let under = |last| {
        let conditions = vec![tl_protocol::admit::Condition { channel: channel("a"), last }];
        Publish { ephemeral: true, conditions, ..events(vec![event("a", "2")]) }
    };
    assert!(publish(&engine, under(last)).await.remove(0).is_ok());
    let refused = publish(&engine, under(Offset::START)).await.remove(0);
    assert_eq!(refused.map(drop).map_err(|it| it.code), Err(ErrorCode::ConditionFailed));
}
