use std::time::Duration;

use tl_model::{Pattern, Retention, Rule, Rules, Selection};
use tl_store::{LogStore, Read as ReadLog};

use super::*;
use crate::inspect::tests::{SEGMENT_BYTES, Store, append};
use crate::{DiskStore, Options, inspect};

struct Copies(tempfile::TempDir);

impl Copies {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("copy")
    }

    fn of(&self, store: &Store) -> Result<Backup, BackupError> {
        backup(store.0.path(), &self.path())
    }

    fn open(&self) -> DiskStore {
        let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(self.path()) };
        DiskStore::open(&options).expect("the copy opens")
    }
}

async fn offsets(store: &DiskStore) -> Vec<u64> {
    let selection = Selection::parse([">"]).expect("selection");
    let (events_max, bytes_max) = (usize::MAX, usize::MAX);
    let read = ReadLog { selection, after: Offset::START, events_max, bytes_max };
    let page = store.read(read).await.expect("reads");
    page.events.iter().map(|event| event.offset.get()).collect()
}

/// Keeps so many events in each of the two channels.
fn keep(events: u64) -> Rules {
    let retention = Retention { count: Some(events), ..Retention::default() };
    let pattern = Pattern::parse(">").expect("pattern");
    Rules::new(vec![Rule { retention: Some(retention), ..Rule::of(pattern) }])
}

#[tokio::test]
async fn a_copy_is_the_same_log_and_goes_on() {
    let (store, copies) = (Store::new().await, Copies::new());
    let open = store.open().expect("opens");
    let done = copies.of(&store).expect("a store in use is copied");
    assert_eq!((done.copied, done.kept, done.report.events), (4, 0, 10));
    let copy = copies.open();
    assert_eq!(copy.epoch(), open.epoch());
    assert_eq!(offsets(&copy).await, (1..=10).collect::<Vec<_>>());
    append(&copy, 10).await;
    assert_eq!(offsets(&copy).await.last(), Some(&11));
}

#[tokio::test]
async fn a_later_copy_takes_only_what_is_new() {
    let (store, copies) = (Store::new().await, Copies::new());
    copies.of(&store).expect("copies");
    let open = store.open().expect("opens");
    for number in 10..14 {
        append(&open, number).await;
    }
    let done = copies.of(&store).expect("copies");
    assert_eq!((done.copied, done.kept, done.report.events), (2, 3, 14));
}

#[tokio::test]
async fn a_copy_that_broke_off_is_finished() {
    let (store, copies) = (Store::new().await, Copies::new());
    copies.of(&store).expect("copies");
    let segment = |number| copies.path().join("journal").join(segment_name(number));
    fs::remove_file(segment(4)).expect("removes");
    fs::remove_file(segment(3)).expect("removes");
    let cut = File::options().write(true).open(segment(2)).expect("opens");
    cut.set_len(30_000).expect("cuts");
    fs::write(copies.path().join("journal").join(NEW_COPY_NAME), "half").expect("writes");
    let done = copies.of(&store).expect("copies");
    assert_eq!((done.copied, done.kept, done.report.events), (3, 1, 10));
}

#[tokio::test]
async fn a_copy_keeps_nothing_that_was_trimmed() {
    let (store, copies) = (Store::new().await, Copies::new());
    copies.of(&store).expect("copies");
    let open = store.open().expect("opens");
    open.trim(&keep(2), 0).await.expect("trims");
    let done = copies.of(&store).expect("copies");
    assert_eq!((done.copied, done.kept, done.removed), (1, 1, 2));
    assert_eq!(offsets(&copies.open()).await, [7, 8, 9, 10]);
}

#[tokio::test]
async fn a_damaged_store_is_not_copied_over_a_sound_copy() {
    let (store, copies) = (Store::new().await, Copies::new());
    copies.of(&store).expect("copies");
    append(&store.open().expect("opens"), 10).await;
    store.change(4, |bytes| bytes[200] ^= 1);
    let refused = copies.of(&store).expect_err("refused");
    assert!(matches!(refused, BackupError::Damaged(_)), "{refused}");
    let refused = Copies::new().of(&store).expect_err("refused");
    assert!(matches!(refused, BackupError::Damaged(_)), "{refused}");
    assert_eq!(offsets(&copies.open()).await.len(), 10);
}

#[tokio::test]
async fn only_an_earlier_copy_of_the_same_log_is_written_to() {
    let (store, copies) = (Store::new().await, Copies::new());
    let refused = backup(store.0.path(), store.0.path()).expect_err("refused");
    assert!(matches!(refused, BackupError::Same(_)), "{refused}");
    let other = Store::new().await;
    let refused = backup(store.0.path(), other.0.path()).expect_err("refused");
    assert!(matches!(refused, BackupError::Other(_)), "{refused}");
    copies.of(&store).expect("copies");
    append(&copies.open(), 10).await;
    let refused = copies.of(&store).expect_err("the copy has been served");
    assert!(matches!(refused, BackupError::Ahead(_)), "{refused}");
}

/// Whatever a server writes, trims and uses again meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_while_segments_are_trimmed_and_reused_is_whole() {
    let (store, copies) = (Store::new().await, Copies::new());
    let open = store.open().expect("opens");
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let logging = tokio::spawn(async move {
        let mut number = 10;
        while stopped.try_recv().is_err() {
            append(&open, number).await;
            open.trim(&keep(6), 0).await.expect("trims");
            number += 1;
        }
        number
    });
    let (from, to) = (store.0.path().to_owned(), copies.path());
    let copying = tokio::task::spawn_blocking(move || {
        let mut last = 10;
        for _ in 0..30 {
            let done = backup(&from, &to).expect("copies");
            let (_, reached) = done.report.offsets.expect("there are events");
            assert!(reached.get() >= last, "a later copy reaches at least as far");
            last = reached.get();
            assert!(done.report.events >= 9, "{:?}", done.report.offsets);
        }
    });
    let copied = tokio::time::timeout(Duration::from_secs(60), copying).await;
    copied.expect("copying ends").expect("every copy is whole");
    stop.send(()).expect("it is still logging");
    assert!(logging.await.expect("logs") > 10);
    assert!(inspect(&copies.path()).expect("inspects").is_sound());
}
