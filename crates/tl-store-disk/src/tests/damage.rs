//! What the store does about disks that fail and bytes that change.

use tl_model::{Durability, Event, NewEvent, Offset, Selection};

use super::*;
use crate::simulation::{Faults, SimulatedDisk};

fn open(disk: &SimulatedDisk) -> Result<DiskStore, OpenError> {
    let mut generation = 0;
    let generations = move || {
        generation += 1;
        generation
    };
    let (disk, epoch) = (Arc::new(disk.clone()), Epoch::from_random(1 << 40));
    DiskStore::open_on(disk, epoch, SEGMENT_BYTES, Box::new(generations))
}

async fn append(store: &DiskStore, data_bytes: usize) -> Result<Offset, AppendError> {
    let data = vec![b'x'; data_bytes];
    let event = Event::builder("1", "/s", "t").data(&data).build().expect("legal");
    let events = vec![NewEvent { channel: Channel::parse("a").expect("channel"), event }];
    let batch = Batch { durability: Durability::Fsync, logged_at_ms: 0, events };
    Ok(store.append(batch).await?[0].offset)
}

async fn read_all(store: &DiskStore) -> Result<Vec<Offset>, ReadError> {
    let selection = Selection::parse([">"]).expect("selection");
    let (events_max, bytes_max) = (usize::MAX, usize::MAX);
    let page = store.read(Read { selection, after: Offset::START, events_max, bytes_max }).await?;
    Ok(page.events.iter().map(|event| event.offset).collect())
}

/// Three events in one segment, written and closed.
async fn three_events() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let store = open(&disk).expect("opens");
    for _ in 0..3 {
        append(&store, 100).await.expect("appends");
    }
    disk
}

const FIRST: &str = "00000000000000000001.segment";

#[tokio::test]
async fn a_failed_sync_stops_the_log_and_reading_goes_on() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).expect("opens");
    append(&store, 10).await.expect("appends");
    disk.set_faults(Faults { syncs_fail: true, ..Faults::default() });
    assert!(matches!(append(&store, 10).await, Err(AppendError::Stopped(_))));
    disk.set_faults(Faults::default());
    assert!(matches!(append(&store, 10).await, Err(AppendError::Stopped(_))), "never retried");
    assert_eq!(read_all(&store).await.expect("reads"), [Offset::new(1)]);
    drop(store);
    let store = open(&disk).expect("opens");
    append(&store, 10).await.expect("a store opened anew goes on");
}

#[tokio::test]
async fn a_failed_write_stops_the_log() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).expect("opens");
    append(&store, 10).await.expect("appends");
    disk.set_faults(Faults { writes_fail: true, ..Faults::default() });
    assert!(matches!(append(&store, 10).await, Err(AppendError::Stopped(_))));
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_once_there_is_room() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).expect("opens");
    let first = append(&store, 10).await.expect("appends");
    disk.set_faults(Faults { is_full: true, ..Faults::default() });
    let larger_than_the_rest = SEGMENT_BYTES as usize * 2;
    assert!(matches!(append(&store, larger_than_the_rest).await, Err(AppendError::Full)));
    append(&store, 10).await.expect("what fits is still taken");
    disk.set_faults(Faults::default());
    let last = append(&store, larger_than_the_rest).await.expect("appends");
    assert_eq!(read_all(&store).await.expect("reads"), [first, first.next(), last]);
    drop(store);
    let store = open(&disk).expect("opens");
    assert_eq!(read_all(&store).await.expect("reads"), [first, first.next(), last]);
}

#[tokio::test]
async fn a_byte_that_changes_after_opening_is_noticed_when_it_is_read() {
    let disk = three_events().await;
    let store = open(&disk).expect("opens");
    disk.damage(FIRST, |bytes| bytes[200] ^= 1);
    assert!(matches!(read_all(&store).await, Err(ReadError::Damaged { .. })));
}

#[tokio::test]
async fn damage_before_the_end_is_reported_with_its_offset() {
    let disk = three_events().await;
    // Within the second batch.
    disk.damage(FIRST, |bytes| bytes[400] ^= 1);
    match open(&disk).map(|_| ()) {
        Err(OpenError::Recovery(RecoveryError::Damaged { segment, offset, .. })) => {
            assert_eq!((segment.as_str(), offset), (FIRST, Offset::new(2)));
        }
        other => panic!("{other:?}"),
    }
}

/// Three segments with an event each, the first two of them with an index.
async fn three_segments() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let store = open(&disk).expect("opens");
    for _ in 0..3 {
        append(&store, SEGMENT_BYTES as usize / 2).await.expect("appends");
    }
    store.sealer.seal();
    drop(store);
    disk
}

const FIRST_INDEX: &str = "00000000000000000001.index";

/// A segment with an index is not read on opening, but whenever its events are; one without is.
#[tokio::test]
async fn damage_in_an_earlier_segment_is_reported() {
    let disk = three_segments().await;
    for damage in [110, SEGMENT_BYTES as usize / 2] {
        let disk = disk.after_process_death();
        disk.damage(FIRST, |bytes| bytes[damage] ^= 1);
        let store = open(&disk).expect("opens");
        let read = read_all(&store).await.expect_err("it is noticed");
        let offset = Offset::new(1);
        assert!(matches!(read, ReadError::Damaged { offset: it, .. } if it == offset), "{read}");
        drop(store);
        disk.remove(FIRST_INDEX).expect("removes");
        disk.remove("heads").expect("removes");
        let opened = open(&disk).map(|_| ()).expect_err("it is noticed");
        let is_damage = matches!(opened, OpenError::Recovery(RecoveryError::Damaged { .. }));
        assert!(is_damage, "{opened}");
    }
}

#[tokio::test]
async fn a_missing_segment_is_reported() {
    let disk = three_segments().await;
    let without_second = disk.after_process_death();
    without_second.remove("00000000000000000002.segment").expect("removes");
    let error = open(&without_second).map(|_| ()).expect_err("refused");
    assert!(matches!(error, OpenError::Recovery(RecoveryError::Missing(_))), "{error}");
}

/// An index is made from its segment, so nothing of it can be lost.
#[tokio::test]
async fn an_index_that_is_gone_or_unsound_is_made_anew() {
    let disk = three_segments().await;
    let all: Vec<_> = (1..=3).map(Offset::new).collect();
    let spoilt: [fn(&SimulatedDisk); 4] = [
        |disk| disk.remove(FIRST_INDEX).expect("removes"),
        |disk| disk.damage(FIRST_INDEX, |bytes| bytes.truncate(100)),
        |disk| disk.damage(FIRST_INDEX, |bytes| bytes[9] ^= 1),
        |disk| disk.rename("00000000000000000002.index", FIRST_INDEX).expect("renames"),
    ];
    for spoil in spoilt {
        let disk = disk.after_process_death();
        spoil(&disk);
        let store = open(&disk).expect("opens");
        assert_eq!(read_all(&store).await.expect("reads"), all);
        store.sealer.seal();
        assert_eq!(read_all(&store).await.expect("reads"), all);
        drop(store);
        assert!(disk.open(FIRST_INDEX).is_ok(), "it is there again");
    }
}

#[tokio::test]
async fn an_index_that_is_damaged_while_it_is_used_is_made_anew() {
    let disk = three_segments().await;
    let store = open(&disk).expect("opens");
    disk.damage(FIRST_INDEX, |bytes| bytes[9] ^= 1);
    let all: Vec<_> = (1..=3).map(Offset::new).collect();
    assert_eq!(read_all(&store).await.expect("reads"), all);
}

#[tokio::test]
async fn a_full_disk_keeps_an_index_in_memory() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).expect("opens");
    for _ in 0..3 {
        append(&store, SEGMENT_BYTES as usize / 2).await.expect("appends");
    }
    disk.set_faults(Faults { is_full: true, ..Faults::default() });
    store.sealer.seal();
    assert_eq!(read_all(&store).await.expect("reads").len(), 3);
}

#[tokio::test]
async fn a_file_that_was_named_but_never_begun_is_used() {
    let disk = three_events().await;
    disk.create("00000000000000000002.segment", SEGMENT_BYTES).expect("creates");
    let store = open(&disk).expect("opens");
    let offset = append(&store, 10).await.expect("appends");
    drop(store);
    let store = open(&disk).expect("opens");
    assert_eq!(read_all(&store).await.expect("reads").last(), Some(&offset));
}

/// A header is synced with the first batch: one that makes no sense is no sign of a crash.
#[tokio::test]
async fn a_damaged_header_is_reported_also_of_the_last_segment() {
    let spoilt: [fn(&mut Vec<u8>); 2] = [|bytes| bytes[30] ^= 1, |bytes| bytes[..48].fill(0)];
    for spoil in spoilt {
        let disk = three_events().await;
        disk.damage(FIRST, spoil);
        let error = open(&disk).map(|_| ()).expect_err("refused");
        let is_damage = matches!(error, OpenError::Recovery(RecoveryError::Damaged { .. }));
        assert!(is_damage, "{error}");
    }
}

#[tokio::test]
async fn a_segment_of_another_log_is_refused() {
    let disk = three_events().await;
    let other = Epoch::from_random(2 << 40);
    let store = DiskStore::open_on(Arc::new(disk), other, SEGMENT_BYTES, Box::new(|| 9));
    let error = store.map(|_| ()).expect_err("refused");
    assert!(matches!(error, OpenError::Recovery(RecoveryError::Foreign(_))), "{error}");
}
