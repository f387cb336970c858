//! Trimming beside readers, crashes and disks that fail: nothing is told wrongly, and nothing stops.

use std::time::Duration;

use tl_model::{Durability, Event, NewEvent, Offset, Pattern, Retention, Rule};

use super::*;
use crate::reader;
use crate::simulation::{Faults, SimulatedDisk};

async fn append(store: &DiskStore, names: impl IntoIterator<Item = String>) {
    let event = Event::builder("1", "/s", "t").data(&[b'x'; 400]).build().expect("legal");
    let new = |name: String| {
        let channel = Channel::parse(&name).expect("channel");
        NewEvent { channel, event: event.clone() }
    };
    let events = names.into_iter().map(new).collect();
    let batch = Batch { durability: Durability::Fsync, logged_at_ms: 1, events };
    store.append(batch).await.expect("appends");
}

/// Enough for several segments.
async fn append_many(store: &DiskStore, name: &str) {
    for _ in 0..60 {
        append(store, std::iter::repeat_n(name.to_owned(), 8)).await;
    }
}

fn first_of(name: &str) -> Read {
    let selection = Channel::parse(name).expect("channel").into();
    Read { selection, after: Offset::START, events_max: 4, bytes_max: 1 << 20 }
}

fn older_than_a_second() -> Rules {
    let retention = Retention { age: Some(Duration::from_secs(1)), ..Retention::default() };
    let pattern = Pattern::parse(">").expect("pattern");
    let rule = Rule { retention: Some(retention), ..Rule::of(pattern) };
    Rules::new(vec![rule])
}

#[tokio::test]
async fn channels_that_come_and_go_leave_nothing_behind() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    for round in 0..120 {
        let names = (0..100).map(|number| format!("session.{:0>80}", round * 100 + number));
        append(&store, names).await;
        if round > 60 {
            store.trim(&older_than_a_second(), 1_000_000).await.expect("trims");
        }
    }
    assert!(store.index.read().sealed().is_empty());
    assert!(store.index.read().channels() < 12_000, "places of channels are used again");
    let files = disk.list().expect("lists").len();
    assert!(files < 6, "{files} files");
}

#[tokio::test]
async fn a_gap_is_told_while_what_was_dropped_is_being_forgotten() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    append_many(&store, "a").await;
    store.sealer.seal();
    store.writer.drop_segments(1).await.expect("drops");
    let between = store.read(first_of("a")).await.expect("reads");
    store.sealer.forget_dropped().expect("forgets");
    let after = store.read(first_of("a")).await.expect("reads");
    assert_eq!(between.gap, after.gap);
    let through = after.gap.expect("a gap").through;
    assert_eq!(after.events[0].offset, through.next());
}

/// A plan that was made before its segment was trimmed never reads what the file holds afterwards.
#[tokio::test]
async fn a_file_that_is_used_again_is_not_taken_for_what_it_was() {
    // Records of the same length lie in the same places, others in others.
    for other in ["b", "bb"] {
        let (disk, other_disk) = (SimulatedDisk::new(), SimulatedDisk::new());
        let store = open(&disk);
        append_many(&store, "a").await;
        store.sealer.seal();
        let other_store = open(&other_disk);
        append(&other_store, ["first".to_owned()]).await;
        append_many(&other_store, other).await;
        drop(other_store);
        disk.damage(&segments::segment_name(1), |bytes| {
            let file = other_disk.open(&segments::segment_name(1)).expect("opens");
            file.read_at(bytes, 0).expect("reads");
        });
        let page = reader::read(store.index.clone(), store.searches.clone(), first_of("a")).await;
        let offset = Offset::new(1);
        let is_noticed =
            matches!(page, Err(ReadError::Damaged { offset: it, .. }) if it <= offset.plus(3));
        assert!(is_noticed, "{page:?}");
    }
}

#[tokio::test]
async fn a_segment_that_cannot_be_removed_leaves_no_hole() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    append_many(&store, "a").await;
    append_many(&store, "a").await;
    store.sealer.seal();
    disk.set_faults(Faults { removes_fail: true, ..Faults::default() });
    store.writer.drop_segments(3).await.expect("goes on");
    disk.set_faults(Faults::default());
    store.writer.drop_segments(4).await.expect("goes on");
    store.sealer.forget_dropped().expect("forgets");
    drop(store);
    let store = open(&disk);
    assert_eq!(store.index.read().sealed().first().map(|segment| segment.number), Some(5));
}

#[tokio::test]
async fn a_file_that_was_being_made_in_a_crash_is_used() {
    for len in [0, 47] {
        let home = TempHome::new();
        drop(home.open());
        let first = home.0.path().join("journal").join(segments::segment_name(1));
        std::fs::write(first, vec![0; len]).expect("writes");
        let store = home.open();
        assert_eq!(store.bounds().tail, Offset::FIRST, "{len} bytes");
    }
}

/// What is unsound is made anew, and trimming goes on.
#[tokio::test]
async fn a_damaged_index_does_not_stop_trimming() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    append_many(&store, "a").await;
    store.sealer.seal();
    disk.damage("00000000000000000001.index", |bytes| bytes[3_000] ^= 1);
    for _ in 0..2 {
        store.trim(&older_than_a_second(), 1_000_000).await.expect("trims");
    }
    assert!(store.index.read().sealed().is_empty());
}

#[tokio::test]
async fn a_missing_index_is_made_anew_on_opening() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    append_many(&store, "a").await;
    store.sealer.seal();
    let sealed = store.index.read().sealed().len();
    drop(store);
    disk.remove("00000000000000000001.index").expect("removes");
    assert_eq!(open(&disk).index.read().sealed().len(), sealed);
}
