//! What is known of channels is the same with a checkpoint, without one and with an old one.

use std::time::Duration;

use tl_model::{Durability, Event, NewEvent, Offset, Pattern, Retention, Rule};

use super::*;
use crate::simulation::SimulatedDisk;

/// Appends events of many channels, enough for several segments.
async fn append_many(store: &DiskStore, seed: u64) {
    let mut random = seed;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    for _ in 0..40 {
        let event = |number: u64| {
            let event = Event::builder("1", "/s", "t").data(&[b'x'; 400]).build().expect("legal");
            let channel = Channel::parse(&format!("c.{number}")).expect("channel");
            NewEvent { channel, event }
        };
        let events = (0..8).map(|_| event(draw(50))).collect();
        let batch = Batch { durability: Durability::Fsync, logged_at_ms: draw(1_000), events };
        store.append(batch).await.expect("appends");
    }
}

/// All that is known of every channel.
fn known(store: &DiskStore) -> Vec<String> {
    let index = store.index.read();
    let mut known = Vec::new();
    for number in 0..50 {
        let channel = Channel::parse(&format!("c.{number}")).expect("channel");
        let selection = channel.clone().into();
        let missing = index.view(&selection).trimmed_to;
        let kept = index.kept(channel.as_str());
        known.push(format!("{channel} {:?} {kept:?} {missing:?}", index.last(&channel)));
    }
    known.push(format!("{:?}", index.bounds()));
    known
}

async fn trim(store: &DiskStore) {
    let retention = Retention { count: Some(3), ..Retention::default() };
    let pattern = Pattern::parse(">").expect("pattern");
    let rule = Rule { retention: Some(retention), ..Rule::of(pattern) };
    store.trim(&Rules::new(vec![rule]), 0).await.expect("trims");
}

const CHECKPOINT: &str = "heads";

/// What is known of channels is in the checkpoint, so nobody who publishes waits for an index.
#[tokio::test]
async fn publishing_goes_on_before_missing_indexes_are_made_anew() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    append_many(&store, 1).await;
    drop(store);
    for name in disk.list().expect("lists").iter().filter(|name| name.ends_with(".index")) {
        disk.remove(name).expect("removes");
    }
    let without_index = |store: &DiskStore| {
        let sealed = store.index.read().sealed();
        sealed.iter().filter(|segment| !segment.has_index()).count()
    };
    let store = open_in_the_caller(&disk);
    let missing = without_index(&store);
    assert!(missing > 1, "{missing} are missing");
    let selection = Channel::parse("c.1").expect("channel").into();
    let read = Read { selection, after: Offset::START, events_max: 1, bytes_max: 1 };
    assert_eq!(store.read(read).await.expect("reads").events.len(), 1, "a reader makes its own");
    assert!(without_index(&store) < missing);
    append_many(&store, 2).await;
    assert_eq!(without_index(&store), 0);
}

fn open_in_the_caller(disk: &SimulatedDisk) -> DiskStore {
    let (disk, epoch) = (Arc::new(disk.clone()), Epoch::from_random(1 << 40));
    let mut generations = 9_000_000..;
    let generations = Box::new(move || generations.next().expect("it has no end"));
    let store = DiskStore::open_with(Workers::Caller, disk, epoch, SEGMENT_BYTES, generations);
    store.expect("opens")
}

#[tokio::test]
async fn what_is_known_of_channels_is_the_same_with_any_checkpoint_and_without() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    append_many(&store, 1).await;
    drop(store);
    let old = disk.after_process_death();
    let store = open(&disk);
    append_many(&store, 2).await;
    trim(&store).await;
    append_many(&store, 3).await;
    let expected = known(&store);
    assert_ne!(store.bounds().head, Offset::FIRST, "something was trimmed");
    let crashed = disk.after_process_death();
    drop(store);
    let closed = disk.after_process_death();
    let without = closed.after_process_death();
    without.remove(CHECKPOINT).expect("there is one");
    let with_old = closed.after_process_death();
    with_old.put(&old, CHECKPOINT);
    let damaged = closed.after_process_death();
    damaged.damage(CHECKPOINT, |bytes| bytes[60] ^= 1);
    for (name, disk) in [
        ("crashed", crashed),
        ("closed", closed),
        ("without", without),
        ("with an old one", with_old),
        ("with a damaged one", damaged),
    ] {
        assert_eq!(known(&open(&disk)), expected, "{name}");
    }
}

/// Of sealed segments only the headers are looked at: nothing else of them need even be there.
#[tokio::test]
async fn opening_with_a_checkpoint_reads_the_last_segment_only() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    append_many(&store, 1).await;
    store.sealer.seal();
    let expected = known(&store);
    drop(store);
    let indexes = disk.list().expect("lists").into_iter().filter(|name| name.ends_with(".index"));
    for index in indexes {
        disk.damage(&index, |bytes| bytes[4096..].fill(0));
        disk.damage(&index.replace(".index", ".segment"), |bytes| bytes[48..].fill(0));
    }
    assert_eq!(known(&open(&disk)), expected);
}

#[tokio::test]
async fn trimming_by_age_leaves_the_newest_segment() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    append_many(&store, 1).await;
    let retention = Retention { age: Some(Duration::from_secs(1)), ..Retention::default() };
    let pattern = Pattern::parse(">").expect("pattern");
    let rule = Rule { retention: Some(retention), ..Rule::of(pattern) };
    store.trim(&Rules::new(vec![rule]), 1_000_000).await.expect("trims");
    assert!(store.index.read().sealed().is_empty(), "all full segments are gone");
    let bounds = store.bounds();
    assert!(bounds.head < bounds.tail, "the newest is kept");
    let files = disk.list().expect("lists");
    assert_eq!(files.iter().filter(|name| name.ends_with(".index")).count(), 0, "{files:?}");
}
