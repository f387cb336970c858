//! What an earlier life of the log has left behind, shown step by step.

use std::time::Duration;

use tl_model::{Durability, Event, NewEvent, Offset, Pattern, Retention, Rule};

use super::*;
use crate::simulation::SimulatedDisk;

fn open(disk: &SimulatedDisk, generation: u64) -> Result<DiskStore, OpenError> {
    let mut generations = generation * 1_000..;
    let generations = Box::new(move || generations.next().expect("it has no end"));
    let (disk, epoch) = (Arc::new(disk.clone()), Epoch::from_random(1 << 40));
    DiskStore::open_on(disk, epoch, SEGMENT_BYTES, generations)
}

async fn append(store: &DiskStore, durability: Durability, data_bytes: usize) -> Offset {
    let data = vec![b'x'; data_bytes];
    let event = Event::builder("1", "/s", "t").data(&data).build().expect("legal");
    let events = vec![NewEvent { channel: Channel::parse("a").expect("channel"), event }];
    let batch = Batch { durability, logged_at_ms: 0, events };
    store.append(batch).await.expect("appends")[0].offset
}

async fn trim_all(store: &DiskStore) {
    let retention = Some(Retention { age: Some(Duration::ZERO), ..Retention::default() });
    let pattern = Pattern::parse(">").expect("pattern");
    let rule = Rule { retention, ..Rule::of(pattern) };
    store.trim(&Rules::new(vec![rule]), 1).await.expect("trims");
}

#[tokio::test]
async fn what_a_killed_process_had_not_synced_is_synced_before_the_next_segment_begins() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, 1).expect("opens");
    append(&store, Durability::Os, 10).await;
    append(&store, Durability::Os, 10).await;
    let disk = disk.after_process_death();
    drop(store);
    let store = open(&disk, 2).expect("opens");
    append(&store, Durability::Fsync, SEGMENT_BYTES as usize).await;
    let disk = disk.after_power_loss(512, || false);
    drop(store);
    open(&disk, 3).map(drop).expect("what was synced is not given up for what was not");
}

#[tokio::test]
async fn what_a_killed_process_had_not_synced_is_synced_before_all_else_is_trimmed() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, 1).expect("opens");
    append(&store, Durability::Os, 10).await;
    let highest = append(&store, Durability::Os, SEGMENT_BYTES as usize).await;
    let disk = disk.after_process_death();
    drop(store);
    let store = open(&disk, 2).expect("opens");
    trim_all(&store).await;
    let disk = disk.after_power_loss(512, || false);
    drop(store);
    let tail = open(&disk, 3).expect("opens").bounds().tail;
    assert!(tail > highest, "{highest} would be given out twice");
}

#[tokio::test]
async fn a_segment_without_events_does_not_let_go_of_the_one_that_tells_the_next_offset() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, 1).expect("opens");
    append(&store, Durability::Os, 10).await;
    let highest = append(&store, Durability::Os, SEGMENT_BYTES as usize).await;
    // Of the second segment only the first page survives: its header, and no whole batch.
    let mut pages = 0;
    let disk = disk.after_power_loss(512, || {
        pages += 1;
        pages == 1
    });
    drop(store);
    let store = open(&disk, 2).expect("opens");
    assert!(store.bounds().tail > highest);
    trim_all(&store).await;
    drop(store);
    for index in [true, false] {
        if !index {
            // The checkpoint knows of the first segment what its index did.
            disk.remove("00000000000000000001.index").expect("removes");
        }
        let tail = open(&disk, 3).expect("opens").bounds().tail;
        assert!(tail > highest, "{highest} would be given out twice");
    }
}
