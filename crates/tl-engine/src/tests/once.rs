//! X7 in the engine: a request with a key has its effect once.

use tl_model::{Fingerprint, IdempotencyKey, Once};

use super::*;
use crate::Answer;

fn once(key: &str, asks_for: &str) -> Once {
    let key = IdempotencyKey::parse(key).expect("a key");
    Once { key, fingerprint: Fingerprint::of([asks_for.as_bytes()]) }
}

async fn ask(engine: &Engine, key: &str, asks_for: &str, what: Publish) -> Result<Answer, Error> {
    engine.publish_once(&Call::default(), &once(key, asks_for), what).await
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_the_first_answer_and_has_no_effect() {
    let engine = engine();
    let batch = || Publish {
        events: vec![
            Ok(event("a", "1")),
            Err(Error::new(ErrorCode::EventInvalid, "no id").retry_after(Duration::from_secs(3))),
            Ok(event("b", "2")),
        ],
        ..Publish::default()
    };
    publish_one(&engine, "a", "before").await;
    let first = ask(&engine, "k", "x", batch()).await.expect("publishes");
    publish_one(&engine, "a", "after").await;
    let again = ask(&engine, "k", "x", batch()).await.expect("answers");
    assert_eq!((first.is_replayed, again.is_replayed), (false, true));
    assert_eq!(first.receipts, again.receipts);
    assert_eq!(first.receipts.iter().filter(|it| it.is_ok()).count(), 2);
    let page = read(&engine, &[">"], After::Earliest).await.expect("reads");
    assert_eq!(page.events.len(), 4, "nothing was published twice");
    let other = ask(&engine, "k", "y", batch()).await.map(drop).map_err(|error| error.code);
    assert_eq!(other, Err(ErrorCode::KeyReused));
}

#[tokio::test(start_paused = true)]
async fn while_the_first_request_is_under_way_the_second_is_refused() {
    let engine = engine();
    let (call, once) = (Call::default(), once("k", "x"));
    let first = engine.publish_once(&call, &once, events(vec![event("a", "1")]));
    let second = engine.publish_once(&call, &once, events(vec![event("a", "1")])).await;
    assert_eq!(second.map(drop).map_err(|error| error.code), Err(ErrorCode::KeyInUse));
    assert!(!first.await.expect("publishes").is_replayed);
    assert!(engine.answered(&call, &once).await.expect("known").is_some());
}

#[tokio::test(start_paused = true)]
async fn keys_are_known_after_a_restart() {
    let store: Arc<dyn LogStore> = Arc::new(MemoryStore::new(epoch()));
    let before = engine_on(store.clone(), Vec::new());
    let first = ask(&before, "k", "x", events(vec![event("a", "1")])).await.expect("publishes");
    before.close().await.expect("closes");
    let after = engine_on(store, Vec::new());
    after.recover().await.expect("reads the records");
    let again = ask(&after, "k", "x", events(vec![event("a", "1")])).await.expect("answers");
    assert!(again.is_replayed);
    assert_eq!(again.receipts, first.receipts);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_had_no_effect_may_be_changed() {
    let engine = engine();
    let condition = |name, last| {
        let last = Offset::new(last);
        vec![tl_protocol::admit::Condition { channel: channel(name), last }]
    };
    let refused = Publish { conditions: condition("a", 9), ..events(vec![event("a", "1")]) };
    let answer = ask(&engine, "k", "x", refused).await.expect("answers");
    let code = answer.receipts[0].as_ref().map_err(|error| error.code).map(drop);
    assert_eq!(code, Err(ErrorCode::ConditionFailed));
    let changed = ask(&engine, "k", "y", events(vec![event("a", "1")])).await.expect("publishes");
    assert!(!changed.is_replayed && changed.receipts[0].is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_its_key_with_its_effect() {
    let engine = engine();
    let (call, once) = (Call::default(), once("k", "x"));
    let first = engine.publish_once(&call, &once, events(vec![event("a", "1")]));
    // The batch is being written when the caller goes.
    let mut first = Box::pin(first);
    let waiting = tokio::time::timeout(Duration::ZERO, &mut first).await;
    drop(first);
    publish_one(&engine, "b", "other").await;
    let again = engine.publish_once(&call, &once, events(vec![event("a", "1")])).await;
    let again = again.expect("answers");
    let logged = read(&engine, &["a"], After::Earliest).await.expect("reads").events.len();
    assert_eq!(logged, 1, "once, whoever was told: {waiting:?}, {again:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_logged_has_no_key() {
    let engine = engine();
    let ephemeral = Publish { ephemeral: true, ..events(vec![event("a", "1")]) };
    let refused = ask(&engine, "k", "x", ephemeral).await;
    assert_eq!(refused.map(drop).map_err(|error| error.code), Err(ErrorCode::ParameterInvalid));
}

#[tokio::test(start_paused = true)]
async fn a_rule_can_demand_a_key() {
    let demanding = Rule { require_idempotency_key: Some(true), ..rule("orders.>") };
    let engine = engine_on(Arc::new(MemoryStore::new(epoch())), vec![demanding]);
    let without = publish(&engine, events(vec![event("orders.eu", "1"), event("a", "2")])).await;
    let code = |receipt: &Result<Receipt, Error>| receipt.as_ref().err().map(|error| error.code);
    assert_eq!(code(&without[0]), Some(ErrorCode::KeyRequired));
    assert_eq!(code(&without[1]), None);
    let with = ask(&engine, "k", "x", events(vec![event("orders.eu", "1")])).await;
    assert!(with.expect("publishes").receipts[0].is_ok());
}

#[tokio::test(start_paused = true)]
async fn records_are_trimmed_once_their_keys_are_forgotten() {
    let store: Arc<dyn LogStore> = Arc::new(MemoryStore::new(epoch()));
    let at_once = Retention { age: Some(Duration::ZERO), ..Retention::default() };
    let rules = Rules::new(vec![Rule { retention: Some(at_once), ..rule("a") }]);
    let options = Options { rules, idempotency_window: Duration::ZERO, ..Options::default() };
    let engine = Engine::start(store.clone(), Arc::new(SystemEnvironment), options);
    ask(&engine, "k", "x", events(vec![event("a", "1")])).await.expect("publishes");
    let bounds = store.bounds();
    assert_eq!(bounds.tail, Offset::new(3), "the event and its record");
    while store.bounds().head < bounds.tail {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
