use std::fs;

use tl_model::{Gap, LoggedEvent, Selection};
use tl_store::{LogStore, Page, Read};

use super::*;
use crate::inspect::tests::{Store, append};

/// Of the first event in a segment; the second and third follow.
const IN_EVENT: [usize; 3] = [200, 20_300, 40_400];

async fn page(store: &crate::DiskStore, patterns: &[&str], after: u64) -> Page {
    let selection = Selection::parse(patterns.iter().copied()).expect("selection");
    let (events_max, bytes_max, after) = (100, 1 << 20, Offset::new(after));
    store.read(Read { selection, after, events_max, bytes_max }).await.expect("reads")
}

/// All that is left of a selection, and what its reader is told to be missing.
async fn read(store: &crate::DiskStore, patterns: &[&str]) -> (Vec<u64>, Vec<Gap>) {
    let (mut offsets, mut gaps, mut after) = (Vec::new(), Vec::new(), 0);
    loop {
        let page = page(store, patterns, after).await;
        offsets.extend(page.events.iter().map(|event: &LoggedEvent| event.offset.get()));
        gaps.extend(page.gap);
        after = page.read_to.get();
        if page.reached_end {
            return (offsets, gaps);
        }
    }
}

fn repaired(store: &Store) -> Repair {
    let done = repair(store.0.path()).expect("is repaired");
    assert!(!done.damage.is_empty() && done.report.is_sound());
    done
}

fn gap(after: u64, through: u64) -> Gap {
    Gap { after: Offset::new(after), through: Offset::new(through) }
}

#[tokio::test]
async fn what_is_whole_is_read_again_and_what_is_lost_is_told_as_a_gap() {
    let store = Store::new().await;
    for (number, event) in [(1, 1), (2, 0), (2, 2)] {
        store.change(number, |bytes| bytes[IN_EVENT[event]] ^= 1);
    }
    let damaged = fs::read(store.segment(2)).expect("reads");
    let done = repaired(&store);
    assert_eq!(done.report.events, 7);
    assert_eq!(fs::read(done.kept.join("00000000000000000002.1")).expect("kept"), damaged);
    for _ in 0..2 {
        let open = store.open().expect("opens");
        let (offsets, gaps) = read(&open, &[">"]).await;
        assert_eq!(offsets, [1, 3, 5, 7, 8, 9, 10]);
        assert_eq!(gaps.first(), Some(&gap(1, 2)), "{gaps:?}");
        // 1, 3, 5 … are even numbers; of the odd ones 2, 4 and 6 are lost.
        assert_eq!(read(&open, &["odd"]).await, (vec![8, 10], vec![gap(0, 6)]));
        assert_eq!(read(&open, &["even"]).await, (vec![1, 3, 5, 7, 9], vec![]));
        assert!(page(&open, &["no.such"], 1).await.gap.is_some(), "any channel may have been lost");
        assert!(page(&open, &[">"], 7).await.gap.is_none());
    }
    let open = store.open().expect("opens");
    append(&open, 10).await;
    assert_eq!(read(&open, &["even"]).await.0, [1, 3, 5, 7, 9, 11]);
}

#[tokio::test]
async fn missing_segments_are_told_as_a_gap() {
    let store = Store::new().await;
    fs::remove_file(store.segment(2)).expect("removes");
    fs::remove_file(store.segment(3)).expect("removes");
    repaired(&store);
    let open = store.open().expect("opens");
    assert_eq!(read(&open, &[">"]).await.0, [1, 2, 3, 10]);
    assert_eq!(page(&open, &["even"], 3).await.gap, Some(gap(3, 9)));
}

#[tokio::test]
async fn a_damaged_header_loses_nothing() {
    let store = Store::new().await;
    store.change(2, |bytes| bytes[20] ^= 1);
    assert_eq!(repaired(&store).report.events, 10);
    assert_eq!(read(&store.open().expect("opens"), &[">"]).await.0.len(), 10);
}

#[tokio::test]
async fn no_offset_of_a_lost_end_is_given_out_again() {
    for damage in [|bytes: &mut Vec<u8>| bytes[IN_EVENT[0]] ^= 1, Vec::clear] {
        let store = Store::new().await;
        append(&store.open().expect("opens"), 10).await;
        store.change(4, |bytes| {
            damage(bytes);
            // Not a file that was never begun.
            bytes.resize(100, 1);
        });
        if store.open().is_ok() {
            continue;
        }
        repaired(&store);
        let open = store.open().expect("opens");
        assert!(page(&open, &["even"], 9).await.gap.is_some(), "11 was lost");
        append(&open, 11).await;
        let last = read(&open, &[">"]).await.0.pop().expect("events");
        assert!(last > 1_000, "{last}");
    }
}

#[tokio::test]
async fn a_file_of_another_log_is_not_given_up_for_lost() {
    let (store, other) = (Store::new().await, Store::new().await);
    fs::copy(other.segment(2), store.segment(2)).expect("copies");
    let refused = repair(store.0.path()).expect_err("refused");
    assert!(matches!(refused, RepairError::Misplaced(_)), "{refused}");
    fs::remove_file(store.segment(2)).expect("removes");
    repaired(&store);
}

#[tokio::test]
async fn a_sound_store_is_left_as_it_is() {
    let store = Store::new().await;
    let before = fs::read(store.segment(2)).expect("reads");
    let done = repair(store.0.path()).expect("nothing to do");
    assert!(done.damage.is_empty() && !done.kept.exists());
    assert_eq!(fs::read(store.segment(2)).expect("reads"), before);
}

#[tokio::test]
async fn what_was_lost_is_told_also_once_the_channel_goes_on() {
    let store = Store::new().await;
    fs::remove_file(store.segment(2)).expect("removes");
    fs::remove_file(store.segment(3)).expect("removes");
    repaired(&store);
    for number in 10..12 {
        let open = store.open().expect("opens");
        assert_eq!(page(&open, &["even"], 3).await.gap, Some(gap(3, 9)));
        append(&open, number).await;
        assert_eq!(page(&open, &["even"], 3).await.gap, Some(gap(3, 9)));
    }
}

/// What an earlier use of its file left behind tells nothing of where the log ends.
#[tokio::test]
async fn a_file_that_was_named_but_never_begun_is_left_alone() {
    let store = Store::new().await;
    for number in 10..12 {
        append(&store.open().expect("opens"), number).await;
    }
    store.change(4, |bytes| bytes[IN_EVENT[1]] ^= 1);
    fs::copy(store.segment(1), store.segment(5)).expect("copies");
    assert_eq!(repaired(&store).report.events, 11);
    let open = store.open().expect("opens");
    append(&open, 12).await;
    let offsets = read(&open, &[">"]).await.0;
    assert!(offsets.contains(&12) && offsets[offsets.len() - 1] > 12, "{offsets:?}");
}

#[tokio::test]
async fn a_sparse_segment_of_another_log_costs_nothing() {
    let (store, other) = (Store::new().await, Store::new().await);
    fs::remove_file(other.segment(2)).expect("removes");
    fs::remove_file(other.segment(3)).expect("removes");
    repaired(&other);
    let third = fs::read(store.segment(3)).expect("reads");
    fs::copy(other.segment(3), store.segment(3)).expect("copies");
    store.open().map(drop).expect_err("refused");
    fs::write(store.segment(3), third).expect("writes");
    assert_eq!(read(&store.open().expect("opens"), &[">"]).await.0.len(), 10);
}

#[tokio::test]
async fn a_damaged_header_of_a_sparse_segment_loses_nothing() {
    let store = Store::new().await;
    store.change(2, |bytes| bytes[20] ^= 1);
    store.change(3, |bytes| bytes[IN_EVENT[1]] ^= 1);
    assert_eq!(repaired(&store).report.events, 9);
    for number in [2, 3] {
        store.change(number, |bytes| bytes[20] ^= 1);
    }
    assert_eq!(repaired(&store).report.events, 9);
}

#[tokio::test]
async fn a_damaged_event_does_not_cost_the_others_of_its_batch() {
    let store = Store::new().await;
    store.change(2, |bytes| bytes[20] ^= 1);
    repaired(&store);
    // Now the three events are in one batch, behind a longer header.
    store.change(2, |bytes| bytes[4_096 + IN_EVENT[1]] ^= 1);
    assert_eq!(repaired(&store).report.events, 9);
    let open = store.open().expect("opens");
    assert_eq!(read(&open, &[">"]).await.0, [1, 2, 3, 4, 6, 7, 8, 9, 10]);
    assert_eq!(page(&open, &["even"], 3).await.gap, Some(gap(3, 5)));
}

#[tokio::test]
async fn a_sparse_segment_that_is_cut_off_at_the_end_of_the_log_is_damage() {
    let store = Store::new().await;
    append(&store.open().expect("opens"), 10).await;
    store.change(4, |bytes| bytes[IN_EVENT[0]] ^= 1);
    repaired(&store);
    store.change(4, |bytes| bytes.truncate(4_096));
    fs::remove_file(store.segment(4).with_extension("index")).expect("removes");
    store.open().map(drop).expect_err("refused");
    repaired(&store);
}
