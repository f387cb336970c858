use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::Environment;

struct Clock(AtomicU64);

impl Environment for Clock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn random(&self) -> u64 {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_knows_how_long_it_has_run_also_if_the_clock_is_set_back() {
    let clock = Arc::new(Clock(AtomicU64::new(1_000)));
    let store = Arc::new(MemoryStore::new(epoch()));
    let engine = Engine::start(store, clock.clone(), Options::default());
    for (now_ms, uptime_ms) in [(1_000, 0), (61_000, 60_000), (500, 0)] {
        clock.0.store(now_ms, Ordering::Relaxed);
        assert_eq!(engine.uptime(), Duration::from_millis(uptime_ms));
    }
}

#[tokio::test(start_paused = true)]
async fn earliest_and_latest_are_the_ends_of_what_is_kept() {
    let latest = Retention { count: Some(1), ..Retention::default() };
    let store = Arc::new(MemoryStore::new(epoch()));
    let engine = engine_on(store, vec![Rule { retention: Some(latest), ..rule("a") }]);
    assert_eq!(engine.earliest(), engine.latest(), "there is nothing yet");
    let mut last = Offset::START;
    for id in ["1", "2", "3"] {
        last = publish_one(&engine, "a", id).await;
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(engine.latest(), Position { epoch: epoch(), offset: last });
    let kept = read(&engine, &["a"], After::Position(engine.earliest())).await.expect("reads");
    assert_eq!((kept.gap, kept.events.len()), (None, 1));
}
