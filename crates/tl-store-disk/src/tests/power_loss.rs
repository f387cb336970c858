//! What survives when the power goes, or the process dies, at any moment.

use std::collections::HashSet;

use proptest::prelude::*;

use tl_model::{Durability, Event, LoggedEvent, NewEvent, Offset, Selection};

use super::*;
use crate::simulation::SimulatedDisk;

/// What a publisher was told, and of what.
#[derive(Clone, Debug)]
struct Told {
    durability: Durability,
    /// The first offset of the batch.
    batch: Offset,
    offset: Offset,
    data: Vec<u8>,
}

fn open(disk: &SimulatedDisk, seed: u64) -> DiskStore {
    let mut generations = Random(seed);
    let (disk, epoch) = (Arc::new(disk.clone()), Epoch::from_random(1 << 40));
    let generations = Box::new(move || generations.next());
    DiskStore::open_on(disk, epoch, SEGMENT_BYTES, generations).expect("a crashed log opens")
}

/// A small generator (SplitMix64), so that a seed tells the whole run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

async fn append(
    store: &DiskStore,
    durability: Durability,
    count: usize,
    bytes_max: u64,
    random: &mut Random,
) -> Vec<Told> {
    let channel = |random: &mut Random| format!("c{}", random.below(5));
    let data: Vec<Vec<u8>> = (0..count)
        .map(|_| (0..random.below(bytes_max + 1)).map(|_| random.next() as u8).collect())
        .collect();
    let new = |data: &Vec<u8>| NewEvent {
        channel: Channel::parse(&channel(random)).expect("channel"),
        event: Event::builder("1", "/s", "t").data(data).build().expect("legal"),
    };
    let events = data.iter().map(new).collect();
    let batch = Batch { durability, logged_at_ms: 0, events };
    let appended = store.append(batch).await.expect("appends");
    let batch = appended[0].offset;
    let told = appended.iter().zip(data);
    told.map(|(it, data)| Told { durability, batch, offset: it.offset, data }).collect()
}

async fn read_all(store: &DiskStore) -> Vec<LoggedEvent> {
    let selection = Selection::parse([">"]).expect("selection");
    let (events_max, bytes_max) = (usize::MAX, usize::MAX);
    let read = Read { selection, after: Offset::START, events_max, bytes_max };
    store.read(read).await.expect("reads").events
}

/// One life of a store: appends of many sizes, then the power goes in the middle of more. Returns
/// how many of the events told with each durability were lost.
async fn one_crash(seed: u64, weakest: Durability, page_bytes: usize) -> usize {
    let mut random = Random(seed);
    let disk = SimulatedDisk::new();
    let store = open(&disk, seed);
    let mut told = Vec::new();
    for _ in 0..random.below(20) {
        let durability = if random.below(3) == 0 { weakest } else { Durability::Fsync };
        let (count, bytes_max) = size(&mut random);
        told.extend(append(&store, durability, count, bytes_max, &mut random).await);
    }
    // What follows is written and not synced, as if the power went before the sync returned.
    let mut unsynced = Vec::new();
    for _ in 0..random.below(4) {
        let (count, bytes_max) = size(&mut random);
        unsynced.extend(append(&store, Durability::Os, count, bytes_max, &mut random).await);
    }
    let image = disk.after_power_loss(page_bytes, || random.next() & 1 == 0);
    drop(store);
    check(&image, &told, &unsynced, seed).await
}

fn size(random: &mut Random) -> (usize, u64) {
    let counts = [1, 1, 2, 16, 64];
    let bytes = [0, 20, 256, 5_000, 20_000];
    let count = counts[random.below(5) as usize];
    let bytes = if count > 2 { 256 } else { bytes[random.below(5) as usize] };
    (count, bytes)
}

async fn check(image: &SimulatedDisk, told: &[Told], unsynced: &[Told], seed: u64) -> usize {
    let store = open(image, seed ^ 1);
    let found = read_all(&store).await;
    let all: Vec<_> = told.iter().chain(unsynced).collect();
    for event in &found {
        let known = all.iter().find(|told| told.offset == event.offset);
        let known = known.unwrap_or_else(|| panic!("seed {seed}: {} was invented", event.offset));
        assert_eq!(event.event.data().as_deref(), Some(&*known.data), "seed {seed}");
    }
    let is_found = |told: &&&Told| found.iter().any(|event| event.offset == told.offset);
    let lost: Vec<_> = told.iter().filter(|told| !is_found(&told)).collect();
    assert!(
        lost.iter().all(|told| told.durability != Durability::Fsync),
        "seed {seed}: a synced event was lost"
    );
    let lost_batches: HashSet<_> =
        all.iter().filter(|told| !is_found(told)).map(|told| told.batch).collect();
    assert!(
        all.iter().filter(is_found).all(|told| !lost_batches.contains(&told.batch)),
        "seed {seed}: a part of a batch survived"
    );
    // Offsets that were told are not told again, lost or not.
    let mut random = Random(seed);
    let again = append(&store, Durability::Fsync, 3, 10, &mut random).await;
    let highest = all.iter().map(|told| told.offset).max().unwrap_or_default();
    assert!(again[0].offset > highest, "seed {seed}: {} after {highest}", again[0].offset);
    drop(store);
    let store = open(image, seed ^ 2);
    let after = read_all(&store).await;
    assert_eq!(after.len(), found.len() + 3, "seed {seed}: the second opening agrees");
    lost.len()
}

#[tokio::test]
async fn a_power_loss_loses_no_synced_event_and_invents_none() {
    for seed in 0..400 {
        let page_bytes = if seed % 2 == 0 { 4_096 } else { 512 };
        one_crash(seed, Durability::Fsync, page_bytes).await;
    }
}

#[tokio::test]
async fn weaker_durability_never_costs_a_synced_event_or_an_offset() {
    let mut lost = 0;
    for seed in 1_000..1_200 {
        for weakest in [Durability::Os, Durability::Memory] {
            lost += one_crash(seed, weakest, 4_096).await;
        }
    }
    assert!(lost > 0, "the check of the check: weaker durability must lose something here");
}

#[tokio::test]
async fn what_the_system_has_survives_the_process() {
    let disk = SimulatedDisk::new();
    let store = open(&disk, 1);
    let mut random = Random(1);
    let kept = append(&store, Durability::Os, 5, 100, &mut random).await;
    append(&store, Durability::Memory, 5, 100, &mut random).await;
    let image = disk.after_process_death();
    drop(store);
    let found: Vec<_> = read_all(&open(&image, 2)).await.iter().map(|it| it.offset).collect();
    assert_eq!(found, kept.iter().map(|told| told.offset).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_torn_end_left_behind_is_never_taken_for_anything() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let mut disk = SimulatedDisk::new();
        let mut expected: Vec<LoggedEvent> = Vec::new();
        for life in 0..4 {
            let store = open(&disk, seed * 10 + life);
            let found = read_all(&store).await;
            assert!(found.starts_with(&expected), "seed {seed}");
            // Large, so that the segment with the torn end is soon not the last any more.
            append(&store, Durability::Fsync, 1, 60_000, &mut random).await;
            expected = read_all(&store).await;
            for _ in 0..5 {
                append(&store, Durability::Os, 1, 0, &mut random).await;
            }
            let image = disk.after_power_loss(512, || random.next() & 1 == 0);
            drop(store);
            disk = image;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_seed_survives(seed: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(one_crash(seed, Durability::Os, 4_096));
    }
}
