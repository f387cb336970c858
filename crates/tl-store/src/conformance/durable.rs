//! Promises of stores that outlive the process.

use std::sync::Arc;

use tl_model::{Durability, Gap, Offset};

use super::{NOW_MS, append, channel, event, read, trimmed_log};
use crate::{Batch, LogStore};

/// A place that holds a log, which can be opened again and again.
pub trait Home {
    /// Opens the log, after whatever opened it before was dropped.
    fn open(&self) -> Arc<dyn LogStore>;
}

/// Declares a test for every promise a durable store keeps beyond those of every store. The factory
/// makes an empty [`Home`].
#[macro_export]
macro_rules! durable_suite {
    ($factory:expr) => {
        $crate::conformance_suite!(@tests $factory =>
            the_log_goes_on_where_it_ended
            weaker_durability_is_safe_after_a_flush
            gaps_are_told_after_reopening
            reopening_many_times_changes_nothing
        );
    };
}

/// Epoch, events, offsets and back pointers are the same after reopening.
pub async fn the_log_goes_on_where_it_ended(home: impl Home) {
    let store = home.open();
    let epoch = store.epoch();
    let first = append(&*store, vec![event("a", "1"), event("b", "2")]).await;
    let before = read(&*store, &[">"], 0).await.events;
    drop(store);
    let store = home.open();
    assert_eq!(store.epoch(), epoch);
    assert_eq!(read(&*store, &[">"], 0).await.events, before);
    assert_eq!(store.last(&channel("a")).map(|last| last.offset), Some(first[0].offset));
    let next = append(&*store, vec![event("a", "3")]).await[0];
    assert!(next.offset > first[1].offset);
    assert_eq!(next.previous, first[0].offset);
}

/// See [`LogStore::flush`].
pub async fn weaker_durability_is_safe_after_a_flush(home: impl Home) {
    let store = home.open();
    for durability in [Durability::Memory, Durability::Os, Durability::Memory] {
        let batch = Batch { durability, logged_at_ms: NOW_MS, events: vec![event("a", "x")] };
        store.append(batch).await.expect("appends");
    }
    store.flush().await.expect("flushes");
    let before = read(&*store, &["a"], 0).await.events;
    drop(store);
    assert_eq!(read(&*home.open(), &["a"], 0).await.events, before);
}

/// What was trimmed before a restart is told after it.
pub async fn gaps_are_told_after_reopening(home: impl Home) {
    let store = home.open();
    let (first, head) = trimmed_log(&store).await;
    drop(store);
    let store = home.open();
    assert_eq!(store.bounds().head, head);
    let gap = async |name: &str| read(&*store, &[name], first.get()).await.gap;
    let expected = Some(Gap { after: first, through: head.previous() });
    assert_eq!(gap("trimmed").await, expected);
    assert_eq!(gap("gone").await, expected, "forgotten channels may have lost something");
    assert_eq!(gap("kept").await, None, "its back pointer says that nothing came before");
}

/// Opening is not an event of the log.
pub async fn reopening_many_times_changes_nothing(home: impl Home) {
    let mut expected = Vec::new();
    for round in 0..10 {
        let store = home.open();
        let found = read(&*store, &["a"], 0).await.events;
        assert_eq!(found, expected, "round {round}");
        append(&*store, vec![event("a", &round.to_string())]).await;
        expected = read(&*store, &["a"], 0).await.events;
        let offsets: Vec<_> = expected.iter().map(|event| event.offset).collect();
        assert!(offsets.is_sorted() && offsets[0] == Offset::FIRST);
    }
}
