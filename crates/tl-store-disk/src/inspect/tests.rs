use std::path::PathBuf;

use tl_model::{Channel, Durability, Event, NewEvent};
use tl_store::{Batch, LogStore};

use super::*;
use crate::{DiskStore, Options};

/// Three batches of 20,000 bytes each fill a segment.
pub(crate) const SEGMENT_BYTES: u64 = 64 * 1024;
const DATA_BYTES: usize = 20_000;

/// A store of ten events, each a batch of its own: three in a segment, one in the
/// fourth.
pub(crate) struct Store(pub(crate) tempfile::TempDir);

impl Store {
    pub(crate) async fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a temporary directory"));
        let store = home.open().expect("opens");
        for number in 0..10 {
            append(&store, number).await;
        }
        home
    }

    pub(crate) fn open(&self) -> Result<DiskStore, crate::OpenError> {
        DiskStore::open(&Options { segment_bytes: SEGMENT_BYTES, ..Options::new(self.0.path()) })
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.0.path().join("journal").join(segment_name(number))
    }

    pub(crate) fn change(&self, number: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.segment(number)).expect("reads");
        change(&mut bytes);
        fs::write(self.segment(number), bytes).expect("writes");
    }

    pub(crate) fn inspect(&self) -> Report {
        inspect(self.0.path()).expect("inspects")
    }

    /// Every piece of damage: segment, first lost offset, the one behind the last, kind.
    fn damage(&self) -> Vec<(u64, u64, u64, DamageKind)> {
        let damage = self.inspect().damage.into_iter().map(|it| {
            let number = segment_number(&it.segment).expect("a segment");
            (number, it.offsets.start.get(), it.offsets.end.get(), it.kind)
        });
        damage.collect()
    }
}

pub(crate) async fn append(store: &DiskStore, number: usize) {
    let event = Event::builder("1", "/s", "t").data(&[b'x'; DATA_BYTES]).build().expect("legal");
    let channel =
        Channel::parse(if number.is_multiple_of(2) { "even" } else { "odd" }).expect("channel");
    let events = vec![NewEvent { channel, event }];
    let batch =
        Batch { durability: Durability::Fsync, logged_at_ms: 1_000 + number as u64, events };
    store.append(batch).await.expect("appends");
}

/// Of the first event in a segment; the second and third follow.
const IN_EVENT: [usize; 3] = [200, 20_300, 40_400];

#[tokio::test]
async fn a_sound_store_is_described_exactly() {
    let report = Store::new().await.inspect();
    assert!(report.is_sound() && report.torn.is_none(), "{report:?}");
    assert_eq!((report.segments, report.batches, report.events), (4, 10, 10));
    assert_eq!(report.data_bytes, 10 * DATA_BYTES as u64);
    assert!(report.disk_bytes >= 4 * SEGMENT_BYTES);
    assert_eq!(report.offsets, Some((Offset::new(1), Offset::new(10))));
    assert_eq!(report.logged_at_ms, Some((1_000, 1_009)));
    let even = report.channels[&Channel::parse("even").expect("channel")];
    assert_eq!(even, ChannelReport { events: 5, data_bytes: 5 * DATA_BYTES as u64 });
}

#[tokio::test]
async fn every_damaged_batch_is_told_with_its_offsets() {
    let store = Store::new().await;
    for (number, event) in [(1, 1), (2, 0), (2, 2), (3, 0)] {
        store.change(number, |bytes| bytes[IN_EVENT[event]] ^= 1);
    }
    let batch = DamageKind::Batch;
    let expected = [(1, 2, 3), (2, 4, 5), (2, 6, 7), (3, 7, 8)];
    assert_eq!(store.damage(), expected.map(|(at, from, to)| (at, from, to, batch.clone())));
    assert_eq!(store.inspect().events, 6, "the others are read");
}

#[tokio::test]
async fn any_damaged_byte_of_an_event_is_noticed() {
    let store = Store::new().await;
    let sound = fs::read(store.segment(2)).expect("reads");
    for at in (0..60_000).step_by(1_111).chain(0..300) {
        store.change(2, |bytes| bytes[at] ^= 0x10);
        assert!(!store.inspect().is_sound(), "byte {at}");
        fs::write(store.segment(2), &sound).expect("writes");
    }
}

#[tokio::test]
async fn a_missing_segment_is_told_with_its_offsets() {
    let store = Store::new().await;
    fs::remove_file(store.segment(2)).expect("removes");
    assert_eq!(store.damage(), [(2, 4, 7, DamageKind::Missing)]);
    fs::remove_file(store.segment(3)).expect("removes");
    let missing = DamageKind::Missing;
    assert_eq!(store.damage(), [(2, 4, 10, missing.clone()), (3, 4, 10, missing)]);
}

#[tokio::test]
async fn a_store_whose_oldest_segments_were_trimmed_is_sound() {
    let store = Store::new().await;
    fs::remove_file(store.segment(1)).expect("removes");
    assert_eq!(store.damage(), []);
    assert_eq!(store.inspect().offsets, Some((Offset::new(4), Offset::new(10))));
}

#[tokio::test]
async fn events_under_a_damaged_header_are_found() {
    let store = Store::new().await;
    store.change(2, |bytes| bytes[20] ^= 1);
    assert_eq!(store.damage(), [(2, 4, 4, DamageKind::Header)]);
    assert_eq!(store.inspect().events, 10);
}

#[tokio::test]
async fn a_damaged_header_of_the_last_segment_is_no_fresh_file() {
    let store = Store::new().await;
    store.change(4, |bytes| bytes[20] ^= 1);
    assert_eq!(store.damage(), [(4, 10, 10, DamageKind::Header)]);
}

#[tokio::test]
async fn a_cut_segment_is_told_with_its_offsets() {
    let store = Store::new().await;
    store.change(2, |bytes| bytes.truncate(30_000));
    assert_eq!(store.damage(), [(2, 5, 7, DamageKind::Batch)]);
    store.change(2, Vec::clear);
    assert_eq!(store.damage(), [(2, 4, 7, DamageKind::Header)]);
}

#[tokio::test]
async fn a_torn_end_is_harmless() {
    let store = Store::new().await;
    append(&store.open().expect("opens"), 10).await;
    // The last batch was never known to be synced.
    store.change(4, |bytes| bytes[IN_EVENT[1]] ^= 1);
    let report = store.inspect();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.torn.map(|torn| torn.segment), Some(segment_name(4)));
    store.open().expect("the server opens it");
    assert!(store.inspect().torn.is_none(), "and cuts it off");
}

#[tokio::test]
async fn damage_in_the_last_segment_is_no_torn_end() {
    let store = Store::new().await;
    append(&store.open().expect("opens"), 10).await;
    store.change(4, |bytes| bytes[IN_EVENT[0]] ^= 1);
    assert_eq!(store.damage(), [(4, 10, 11, DamageKind::Batch)]);
    assert!(store.open().is_err());
}

#[tokio::test]
async fn a_file_that_was_named_but_never_begun_is_harmless() {
    let store = Store::new().await;
    let old = fs::read(store.segment(1)).expect("reads");
    for content in [vec![0; 1_000], Vec::new(), old] {
        fs::write(store.segment(5), content).expect("writes");
        assert_eq!(store.damage(), []);
    }
}

#[tokio::test]
async fn a_segment_of_another_log_is_told() {
    let (store, other) = (Store::new().await, Store::new().await);
    fs::copy(other.segment(2), store.segment(2)).expect("copies");
    assert_eq!(store.damage(), [(2, 4, 7, DamageKind::Foreign)]);
    fs::copy(other.segment(4), store.segment(4)).expect("copies");
    assert_eq!(store.damage()[1], (4, 10, u64::MAX, DamageKind::Foreign));
}

#[tokio::test]
async fn inspecting_needs_the_store_to_itself_and_changes_nothing() {
    let store = Store::new().await;
    let open = store.open().expect("opens");
    let refused = inspect(store.0.path()).expect_err("refused");
    assert!(matches!(refused, InspectError::Directory(DirectoryError::Locked(_))), "{refused}");
    drop(open);
    fs::remove_file(store.0.path().join("LOCK")).expect("removes");
    store.inspect();
    assert!(!store.0.path().join("LOCK").exists());
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let home = tempfile::tempdir().expect("a temporary directory");
    for path in [home.path().to_owned(), home.path().join("absent")] {
        let refused = inspect(&path).expect_err("refused");
        assert!(
            matches!(refused, InspectError::Directory(DirectoryError::Missing(_))),
            "{refused}"
        );
    }
    assert_eq!(fs::read_dir(home.path()).expect("reads").count(), 0);
}
