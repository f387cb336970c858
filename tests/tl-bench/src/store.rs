//! The embedded store by itself: what its journal makes of the disk, how it opens, how it is read.

mod filled;

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use tl_model::{Channel, Durability, Event, NewEvent, Offset, Rules, Selection};
use tl_store::{Batch, LogStore, Read};
use tl_store_disk::{DiskStore, Options};

use crate::Runs;
use crate::bare::BareLog;
use crate::figures::Figures;
use crate::machine;
use crate::retention::newest;
use crate::segments::Segments;

use filled::Filled;
pub(crate) use filled::{fill_and_wait, open_and_tell};

/// Synced batches of events against a plain append and fdatasync of the same data, in turns.
pub(crate) fn journal(runs: &Runs) -> Figures {
    let mut figures = Figures::default();
    for (bytes, events) in [(256, 1), (256, 16), (256, 256), (1_024, 1), (1_024, 16), (1_024, 256)]
    {
        let name = format!("{events} × {bytes} B: ");
        let home = tempfile::tempdir().expect("a temporary directory");
        let (ratio, rate, written) = in_turns(home.path(), bytes, events, runs);
        figures.note(format!("{name}batches/s"), rate);
        figures.note(format!("{name}ratio to the bare disk"), ratio);
        figures.note(format!("{name}device bytes for a byte of data"), written);
    }
    for (name, rules) in
        [("files made new", Rules::default()), ("files used again", newest(">", 1_000))]
    {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (written, reused) = over_whole_segments(&home.path().join("data"), &rules);
        let name = format!("16 × 256 B, over {SEGMENTS} segments, {name}: ");
        figures.note(format!("{name}device bytes for a byte of data"), written);
        figures.note(format!("{name}segments in a used file"), reused as f64);
    }
    figures
}

/// Batches that the journal alone syncs in a second.
pub(crate) fn journal_rate(home: &Path, bytes: usize, events: usize, runs: &Runs) -> f64 {
    let store = DiskStore::open(&Options::new(home.join("journal-alone"))).expect("opens");
    let (runtime, batch) =
        (runtime(), batch(&vec!["bench".to_owned(); events], bytes, Durability::Fsync));
    let (begun, mut batches) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(runs.seconds) {
        runtime.block_on(store.append(batch.clone())).expect("appends");
        batches += 1;
    }
    f64::from(batches) / begun.elapsed().as_secs_f64()
}

/// The ratio of the rates, the rate of batches, and what the device wrote for a byte of data.
fn in_turns(home: &Path, bytes: usize, events: usize, runs: &Runs) -> (f64, f64, f64) {
    let store = DiskStore::open(&Options::new(home.join("data"))).expect("the store opens");
    let runtime = runtime();
    let mut bare = BareLog::new(home, bytes * events);
    let batch = batch(&vec!["bench".to_owned(); events], bytes, Durability::Fsync);
    let (mut ours, mut spent, mut bare_rates) = (0, Duration::ZERO, Vec::new());
    let (mut written, until) = (0, Instant::now() + Duration::from_secs(runs.seconds));
    while Instant::now() < until {
        let (begun, before) = (Instant::now(), machine::device_bytes_written(home));
        while begun.elapsed() < SLICE {
            runtime.block_on(store.append(batch.clone())).expect("appends");
            ours += 1;
        }
        spent += begun.elapsed();
        written += machine::device_bytes_written(home) - before;
        bare_rates.push(bare.rate(SLICE));
    }
    let rate = f64::from(ours) / spent.as_secs_f64();
    let bare_rate = bare_rates.iter().sum::<f64>() / bare_rates.len() as f64;
    let data = f64::from(ours) * (bytes * events) as f64;
    (rate / bare_rate, rate, written as f64 / data)
}

/// What the device wrote for a byte of data while so many whole segments were filled, and how many of
/// them were in the file of a trimmed one. The store is trimmed in every pause, so that whatever can be
/// used again is there before a new file is made.
fn over_whole_segments(directory: &Path, rules: &Rules) -> (f64, usize) {
    let store = DiskStore::open(&Options::new(directory)).expect("the store opens");
    let (runtime, mut segments) = (runtime(), Segments::of(directory));
    let batch = batch(&vec!["bench".to_owned(); 16], 256, Durability::Fsync);
    let mut fill = |segments_begun| {
        let mut batches = 0;
        while segments.begun() < segments_begun {
            let begun = Instant::now();
            while begun.elapsed() < SLICE {
                runtime.block_on(store.append(batch.clone())).expect("appends");
                batches += 1;
            }
            runtime.block_on(store.trim(rules, 1)).expect("trims");
            segments.look();
        }
        (batches, segments.reused())
    };
    let (_, reused_before) = fill(SEGMENTS_BEFORE);
    let before = machine::device_bytes_written(directory);
    let (batches, reused) = fill(SEGMENTS_BEFORE + SEGMENTS);
    let written = machine::device_bytes_written(directory) - before;
    (written as f64 / f64::from(batches * 16 * 256), reused - reused_before)
}

/// How long a store takes to open after `kill -9`, and how much memory it is then.
pub(crate) fn open(_: &Runs) -> Figures {
    let mut figures = Figures::default();
    let many = Filled::new(Shape { channels: 1_000_000, events: 2_000_000, data_bytes: 100 });
    many.note_opening("1 million channels of 2 events", &mut figures);
    for gigabytes in [1, 10] {
        let events = gigabytes * 1_000_000;
        let filled = Filled::new(Shape { channels: 10_000, events, data_bytes: 900 });
        filled.note_opening(&format!("{gigabytes} GB in 10,000 channels"), &mut figures);
    }
    figures
}

/// How long it takes to read what a selection matches out of a log that holds far more.
pub(crate) fn catch_up(_: &Runs) -> Figures {
    let mut figures = Figures::default();
    let filled = Filled::new(Shape { channels: 1_000_000, events: 10_000_000, data_bytes: 900 });
    let store = DiskStore::open(&Options::new(filled.path())).expect("the store opens");
    let selections = [
        ("a channel with 10 events", "g.07.7"),
        ("a pattern for 0.1 % of the channels", "g.0.1.>"),
        ("a pattern for 1 % of the channels", "g.1.>"),
        ("a channel with 1 % of the events", "often"),
        ("everything", ">"),
    ];
    for (name, selection) in selections {
        let (events, elapsed) = read_all(&store, selection);
        figures.note(format!("{name}: events"), events as f64);
        figures.note(format!("{name}: ms"), elapsed.as_secs_f64() * 1e3);
        figures.note(format!("{name}: µs an event"), elapsed.as_secs_f64() * 1e6 / events as f64);
    }
    figures
}

/// Reads all events of a selection, page by page; returns how many, and how long it took.
pub(crate) fn read_all(store: &DiskStore, selection: &str) -> (usize, Duration) {
    let selection = Selection::parse([selection]).expect("a selection");
    let (runtime, begun) = (runtime(), Instant::now());
    let (mut after, mut events) = (Offset::START, 0);
    loop {
        let selection = selection.clone();
        let read = Read { selection, after, events_max: 1_000, bytes_max: 4 * 1024 * 1024 };
        let page = runtime.block_on(store.read(read)).expect("reads");
        (after, events) = (page.read_to, events + page.events.len());
        if page.reached_end {
            return (events, begun.elapsed());
        }
    }
}

/// What a log is filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) channels: u64,
    pub(crate) events: u64,
    pub(crate) data_bytes: usize,
}

fn batch(channels: &[String], data_bytes: usize, durability: Durability) -> Batch {
    let data = vec![b'x'; data_bytes];
    let event = Event::builder("0190a1b2-c3d4-7e5f", "/bench", "event").data(&data).build();
    let event = event.expect("legal");
    let new = |name: &String| {
        let channel = Channel::parse(name).expect("a legal name");
        NewEvent { channel, event: event.clone() }
    };
    Batch { durability, logged_at_ms: 1, events: channels.iter().map(new).collect() }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Turns that are short beside what a noisy machine does, and long beside a sync.
const SLICE: Duration = Duration::from_millis(100);
/// The first file is made anew, and so is the spare beside it.
const SEGMENTS_BEFORE: usize = 3;
/// Enough that a part of one more or less makes no difference.
const SEGMENTS: usize = 4;
