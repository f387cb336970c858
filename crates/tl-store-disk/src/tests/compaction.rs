//! What outlives its neighbours is copied forward: readers find it where it was, are told what is missing,
//! and space comes back.

use std::time::Duration;

use fastrand::Rng;

use tl_model::{Durability, Event, Gap, NewEvent, Offset, Pattern, Retention, Rule, Selection};

use super::*;
use crate::simulation::{Faults, SimulatedDisk};

/// A log, and all that was published to it.
struct Log {
    disk: SimulatedDisk,
    store: DiskStore,
    published: Vec<Published>,
    now_ms: u64,
}

struct Published {
    offset: Offset,
    channel: &'static str,
    logged_at_ms: u64,
    /// It had expired when the log was trimmed.
    may_be_gone: bool,
}

impl Log {
    fn new() -> Self {
        let disk = SimulatedDisk::new();
        let store = open(&disk, 1);
        Self { disk, store, published: Vec::new(), now_ms: 1_000 }
    }

    fn reopen(self) -> Self {
        let Self { disk, store, published, now_ms } = self;
        drop(store);
        let store = open(&disk, published.len() as u64 + 2);
        Self { disk, store, published, now_ms }
    }

    async fn append(&mut self, channels: &[&'static str]) {
        let new = |name: &&str| {
            let data = [b'x'; DATA_BYTES];
            let event = Event::builder("1", "/s", "t").data(&data).build().expect("legal");
            NewEvent { channel: Channel::parse(name).expect("channel"), event }
        };
        let (logged_at_ms, events) = (self.now_ms, channels.iter().map(new).collect());
        let batch = Batch { durability: Durability::Memory, logged_at_ms, events };
        let appended = self.store.append(batch).await.expect("appends");
        for (channel, appended) in channels.iter().zip(appended) {
            let (offset, may_be_gone) = (appended.offset, false);
            self.published.push(Published { offset, channel, logged_at_ms, may_be_gone });
        }
    }

    async fn trim(&mut self) {
        let mut newer = std::collections::HashMap::new();
        for event in self.published.iter_mut().rev() {
            let newer = newer.entry(event.channel).or_insert(0);
            event.may_be_gone |= match &event.channel[..1] {
                "c" => *newer >= 3,
                "v" => *newer >= 1,
                "s" => self.now_ms - event.logged_at_ms > 50,
                _ => false,
            };
            *newer += 1;
        }
        self.store.trim(&rules(), self.now_ms).await.expect("trims");
    }

    /// A little at a time, until nothing is left to do.
    async fn trim_all(&mut self) {
        for _ in 0..4 {
            self.trim().await;
        }
    }

    /// All of a channel that must be there, and all that may be.
    fn offsets(&self, channel: &str) -> (Vec<Offset>, Vec<Offset>) {
        let of_channel = self.published.iter().filter(|it| it.channel == channel);
        let (kept, all): (Vec<_>, Vec<_>) =
            of_channel.map(|it| ((!it.may_be_gone).then_some(it.offset), it.offset)).unzip();
        (kept.into_iter().flatten().collect(), all)
    }

    fn disk_bytes(&self) -> u64 {
        let size = |name: &String| self.disk.open(name).and_then(|file| file.size());
        self.disk.list().expect("lists").iter().map(|name| size(name).expect("a size")).sum()
    }
}

fn open(disk: &SimulatedDisk, life: u64) -> DiskStore {
    let (disk, epoch) = (Arc::new(disk.clone()), Epoch::from_random(1 << 40));
    let mut generations = life * 1_000_000..;
    let generations = Box::new(move || generations.next().expect("it has no end"));
    let workers = Workers::Caller;
    DiskStore::open_with(workers, disk, epoch, SMALL_SEGMENT_BYTES, generations).expect("opens")
}

/// `c` keeps three events of each channel, `v` the latest, `s` what is young, and all else everything.
fn rules() -> Rules {
    let rule = |pattern: &str, retention| Rule {
        retention: Some(retention),
        ..Rule::of(Pattern::parse(pattern).expect("pattern"))
    };
    let age = Some(Duration::from_millis(50));
    Rules::new(vec![
        rule("c.>", Retention { count: Some(3), ..Retention::default() }),
        rule("v.>", Retention { count: Some(1), ..Retention::default() }),
        rule("s.>", Retention { age, ..Retention::default() }),
    ])
}

fn selection(patterns: &[&str]) -> Selection {
    Selection::parse(patterns.iter().copied()).expect("selection")
}

async fn read(store: &DiskStore, patterns: &[&str], after: Offset, events_max: usize) -> Page {
    let (selection, bytes_max) = (selection(patterns), 1 << 20);
    store.read(Read { selection, after, events_max, bytes_max }).await.expect("reads")
}

/// All events of a selection, and all gaps before them.
async fn read_all(store: &DiskStore, patterns: &[&str], after: u64) -> (Vec<Offset>, Vec<Gap>) {
    let (mut offsets, mut gaps, mut after) = (Vec::new(), Vec::new(), Offset::new(after));
    loop {
        let page = read(store, patterns, after, 100).await;
        offsets.extend(page.events.iter().map(|event| event.offset));
        gaps.extend(page.gap);
        after = page.read_to;
        if page.reached_end {
            return (offsets, gaps);
        }
    }
}

/// One event in twenty is kept for ever.
async fn mostly_expired() -> Log {
    let mut log = Log::new();
    for _ in 0..40 {
        log.append(&["s.1"; 10]).await;
        log.append(&["k.1"]).await;
        log.append(&["s.2"; 9]).await;
    }
    log.now_ms += 100;
    log.append(&["s.1", "k.1"]).await;
    log.append(&["fill"; 60]).await;
    log
}

#[tokio::test]
async fn what_outlives_its_neighbours_is_kept_and_their_space_comes_back() {
    let mut log = mostly_expired().await;
    let before = log.disk_bytes();
    log.trim_all().await;
    for round in 0..3 {
        let (kept, _) = log.offsets("k.1");
        assert_eq!(read_all(&log.store, &["k.1"], 0).await, (kept.clone(), vec![]), "{round}");
        assert_eq!(read_all(&log.store, &["k.>"], 0).await, (kept, vec![]), "{round}");
        let bounds = log.store.bounds();
        assert_eq!(bounds.head, Offset::FIRST, "the oldest event is kept");
        log = log.reopen();
    }
    assert!(log.disk_bytes() < before / 3, "{} of {before} bytes", log.disk_bytes());
    let files = log.disk.list().expect("lists");
    assert!(!files.iter().any(|name| name.ends_with(".new")), "{files:?}");
}

#[tokio::test]
async fn what_is_missing_in_the_middle_is_told_also_after_reopening() {
    let mut log = mostly_expired().await;
    log.trim_all().await;
    let last_of = |log: &Log| log.offsets("s.2").1.pop().expect("published");
    for _ in 0..2 {
        // A channel that still has events knows exactly what it lost.
        let (kept, _) = log.offsets("s.1");
        let (events, gaps) = read_all(&log.store, &["s.1"], 5).await;
        assert!(events.ends_with(&kept));
        assert_eq!(gaps[0].after, Offset::new(5));
        let lost = *log.offsets("s.1").1.iter().rev().nth(kept.len()).expect("lost");
        assert!(read(&log.store, &["s.1"], lost, 10).await.gap.is_none(), "nothing behind it");
        // One that has none is told of one, and so is a pattern.
        for patterns in [["s.2"], ["s.*"], [">"]] {
            let page = read(&log.store, &patterns, last_of(&log).previous(), 10).await;
            let is_told = page.gap.is_some() || page.events[0].offset == last_of(&log);
            assert!(is_told, "{patterns:?}: {page:?}");
        }
        // Others are not.
        for patterns in [&["k.1"][..], &["k.>", "fill"], &["never.was"]] {
            assert_eq!(read_all(&log.store, patterns, 5).await.1, [], "{patterns:?}");
        }
        log = log.reopen();
    }
}

#[tokio::test]
async fn stored_values_are_read_as_a_table_without_gaps() {
    let mut log = Log::new();
    log.append(&["v.0"]).await;
    for _ in 0..60 {
        log.append(&["v.1", "v.2", "v.3", "v.1", "v.2"]).await;
    }
    log.append(&["fill"; 60]).await;
    let before = log.disk_bytes();
    log.trim_all().await;
    assert!(log.disk_bytes() < before / 2);
    let mut latest: Vec<_> =
        ["v.0", "v.1", "v.2", "v.3"].iter().map(|name| log.offsets(name).0[0]).collect();
    latest.sort();
    let (events, gaps) = read_all(&log.store, &["v.*"], 0).await;
    assert!(
        latest.iter().all(|it| events.contains(it)) && events.len() < 150,
        "{} events",
        events.len()
    );
    assert_eq!(gaps, []);
}

#[tokio::test]
async fn copying_takes_no_more_room_than_one_segment_beside_the_others() {
    let mut log = mostly_expired().await;
    let before = log.disk_bytes();
    // All room but that of one more segment and its index is taken.
    log.disk.set_faults(Faults {
        bytes_max: Some(before + 2 * SMALL_SEGMENT_BYTES),
        ..Faults::default()
    });
    log.trim_all().await;
    assert!(log.disk_bytes() < before / 3);
}

#[tokio::test]
async fn a_segment_is_not_compacted_if_what_is_left_of_it_is_damaged() {
    let mut log = mostly_expired().await;
    log.store.sealer.seal();
    let name = segments::segment_name(2);
    log.disk.damage(&name, |bytes| bytes.iter_mut().skip(60).step_by(300).for_each(|it| *it ^= 1));
    log.trim_all().await;
    let numbers: Vec<_> =
        log.store.index.read().sealed().iter().map(|segment| segment.number).collect();
    assert!(numbers.contains(&2), "{numbers:?}");
    assert!(log.store.sparse_segments() > 0, "those behind it are compacted all the same");
}

/// What could not be put in its place was not taken out either.
#[tokio::test]
async fn a_failure_leaves_everything_counted_as_it_is() {
    let mut log = Log::new();
    for _ in 0..3 {
        log.append(&["c.1"; 20]).await;
        log.append(&["k.1"]).await;
    }
    log.append(&["k.1"; 70]).await;
    log.append(&["s.1"; 20]).await;
    log.append(&["c.1", "c.1", "c.1"]).await;
    log.append(&["s.1"; 20]).await;
    log.now_ms += 100;
    log.append(&["fill"; 90]).await;
    log.append(&["s.1"]).await;
    log.disk.set_faults(Faults { removes_fail: true, ..Faults::default() });
    log.store.trim(&rules(), log.now_ms).await.expect_err("it fails");
    log.disk.set_faults(Faults::default());
    log.trim_all().await;
    let (kept, _) = log.offsets("c.1");
    assert!(read_all(&log.store, &["c.1"], 0).await.0.ends_with(&kept));
}

/// The last event of a channel stays while others do, and is not copied for that again and again.
#[tokio::test]
async fn what_stays_though_it_has_expired_is_copied_once() {
    let mut log = Log::new();
    let name = |number| -> &'static str { Box::leak(format!("s.c{number}").into_boxed_str()) };
    let names: Vec<_> = (0..80).map(name).collect();
    for name in &names {
        log.append(&["k.1", "k.1", name]).await;
    }
    for name in &names {
        log.append(&["s.x", name]).await;
    }
    log.now_ms += 100;
    log.append(&["k.1"; 10]).await;
    log.append(&["fill"; 60]).await;
    log.trim_all().await;
    let trims = || log.store.index.read().view(&selection(&[">"])).trims;
    let before = trims();
    log.store.trim(&rules(), log.now_ms).await.expect("trims");
    assert_eq!(trims(), before, "nothing is left to do");
}

/// A reader of a selection that goes on from page to page, and what it was told.
struct Reader {
    patterns: &'static [&'static str],
    after: Offset,
    /// What is missing up to here it knows.
    told_to: Offset,
}

impl Reader {
    async fn check(&mut self, log: &Log, random: &mut Rng) {
        let page = read(&log.store, self.patterns, self.after, random.usize(1..20)).await;
        let selection = selection(self.patterns);
        if let Some(gap) = page.gap {
            self.told_to = self.told_to.max(page.trimmed_to);
            assert!(gap.after == self.after && gap.through > self.after, "{gap:?}");
            let first = page.events.first().map(|event| event.offset);
            assert!(first.is_none_or(|first| first > gap.through), "{gap:?} {first:?}");
        }
        let is_asked = |it: &&Published| {
            let channel = Channel::parse(it.channel).expect("channel");
            it.offset > self.after && it.offset <= page.read_to && selection.matches(&channel)
        };
        let mut found = page.events.iter().map(|event| event.offset).peekable();
        let is_table = self.patterns.iter().any(|pattern| pattern.contains(['*', '>']));
        for event in log.published.iter().filter(is_asked) {
            if found.next_if_eq(&event.offset).is_some() {
                continue;
            }
            let (offset, channel) = (event.offset, event.channel);
            assert!(event.may_be_gone, "{offset} of {channel} is lost");
            let is_told = offset <= self.told_to || is_table && channel.starts_with('v');
            assert!(is_told, "{:?}: {offset} of {channel} is missing and not told", self.patterns);
        }
        assert_eq!(found.next(), None, "nothing else is found");
        assert!(self.patterns != ["k.1"] || page.gap.is_none(), "nothing of it is ever missing");
        // As a subscription goes on, or as one that asks for pages does.
        let last = page.events.last().map(|event| event.offset);
        let last = last.or(page.gap.map(|gap| gap.through)).unwrap_or(self.after);
        self.after = if random.bool() { page.read_to } else { last };
    }
}

async fn live(seed: u64) -> usize {
    let mut random = Rng::with_seed(seed);
    let mut log = Log::new();
    let mut readers = Vec::new();
    for _ in 0..80 {
        let count = random.usize(1..12);
        let channels: Vec<_> =
            (0..count).map(|_| *random.choice(CHANNELS).expect("some")).collect();
        log.append(&channels).await;
        log.now_ms += random.u64(0..10);
        match random.u8(..12) {
            0 | 1 => log.trim().await,
            2 => log = log.reopen(),
            3 => {
                let patterns = *random.choice(SELECTIONS).expect("some");
                let after = Offset::new(random.u64(0..log.store.bounds().tail.get()));
                let told_to = log.store.bounds().head.previous().min(after);
                readers.push(Reader { patterns, after, told_to });
            }
            _ => {}
        }
        for reader in &mut readers {
            reader.check(&log, &mut random).await;
        }
    }
    log.store.sparse_segments()
}

#[tokio::test]
async fn whatever_is_missing_in_what_is_read_has_been_told() {
    let seed = fastrand::u64(..u64::MAX / 2);
    println!("THROUGHLINE_SEED={seed}");
    let mut compactions = 0;
    for seed in seed..seed + 40 {
        println!("{seed}");
        compactions += live(seed).await;
    }
    assert!(compactions > 20, "{compactions} compactions");
}

const CHANNELS: &[&str] = &["c.1", "c.2", "v.1", "v.2", "s.1", "s.1", "s.2", "k.1"];
const SELECTIONS: &[&[&str]] = &[
    &["c.1"],
    &["c.*"],
    &["v.1"],
    &["v.*"],
    &["s.1"],
    &["s.>"],
    &["s.2", "v.1"],
    &["k.1"],
    &[">"],
    &["c.1", "c.2", "k.1"],
    &["*.1"],
];
const DATA_BYTES: usize = 400;
const SMALL_SEGMENT_BYTES: u64 = 16 * 1024;
