//! What publishers notice of retention that gives back as much as they publish.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tl_engine::{Environment, SystemEnvironment};
use tl_model::{Channel, Event, NewEvent, Pattern, Retention, Rule, Rules};
use tl_store::LogStore;
use tl_store_disk::DiskStore;

use crate::Runs;
use crate::busy::{BusyEngine, Published};
use crate::figures::Figures;
use crate::segments::Segments;

/// Stores that differ in what they keep, in turns. Each is filled first, until those that let go of
/// something have begun to.
pub(crate) fn run(runs: &Runs) -> Figures {
    let home = tempfile::tempdir().expect("a temporary directory");
    let [mut everything, mut newest, mut some_for_ever] = [
        ("everything kept", Rules::default()),
        ("the newest 100 of each channel kept", newest(">", KEPT)),
        ("the newest 100, one channel in ten for ever", newest("brief.>", KEPT)),
    ]
    .map(|(name, rules)| Trimmed::start(name, home.path(), rules));
    for _ in 0..turns(runs) {
        everything.take_turn();
        newest.take_turn();
        some_for_ever.take_turn();
    }
    let (mut figures, rate) = (Figures::default(), everything.published.rate());
    for store in [everything, newest, some_for_ever] {
        store.note(rate, &mut figures);
    }
    figures
}

/// Rules that keep so many events of each channel of a pattern, and none that is a day old.
pub(crate) fn newest(pattern: &str, count: u64) -> Rules {
    let pattern = Pattern::parse(pattern).expect("a pattern");
    let retention = Retention { age: Some(DAY), count: Some(count), bytes: None };
    Rules::new(vec![Rule { retention: Some(retention), ..Rule::of(pattern) }])
}

fn turns(runs: &Runs) -> u64 {
    (runs.seconds.div_ceil(SLICE.as_secs())).min(TURNS_MAX)
}

/// A store that is trimmed while it is published to.
struct Trimmed {
    name: &'static str,
    engine: BusyEngine,
    rules: Rules,
    segments: Segments,
    published: Published,
    trims: Vec<Duration>,
}

impl Trimmed {
    fn start(name: &'static str, home: &Path, rules: Rules) -> Self {
        let directory = home.join(name);
        let engine = BusyEngine::start(&directory, events());
        let segments = Segments::of(&directory);
        let (published, trims) = (Published::default(), Vec::new());
        let mut started = Self { name, engine, rules, segments, published, trims };
        while started.published.receipts < FILLED {
            started.take_turn();
        }
        started.published = Published::default();
        started.trims.clear();
        started
    }

    /// Publishes for a while. The engine trims every ten seconds; here it is done every second, which
    /// is harsher, and in no other's turn.
    fn take_turn(&mut self) {
        let trims = trim_until(Instant::now() + SLICE, self.engine.store(), self.rules.clone());
        let trims = self.engine.runtime().spawn(trims);
        self.published += self.engine.publish_for(SLICE);
        self.trims.extend(self.engine.runtime().block_on(trims).expect("trimming works"));
        self.segments.look();
    }

    fn note(self, rate_of_everything: f64, figures: &mut Figures) {
        let Self { name, engine, rules, segments, published, trims } = self;
        engine.close();
        let mut note = |what: &str, value| figures.note(format!("{name}: {what}"), value);
        note("receipts/s", published.rate());
        note("events per sync", published.events_per_sync());
        let spent = published.spent.as_secs_f64() * 1e6 / published.receipts as f64;
        note("processor time for an event, µs", spent);
        note("segments begun", segments.begun() as f64);
        note("MiB on disk at the end", segments.bytes_on_disk() as f64 / 1024.0 / 1024.0);
        if rules.keep_everything() {
            return;
        }
        note("ratio to everything kept", published.rate() / rate_of_everything);
        let trimming = trims.iter().sum::<Duration>().as_secs_f64() * 1e3;
        note("ms of a trim", trimming / trims.len() as f64);
        note("segments in a used file", segments.reused() as f64);
        note("MiB given back", segments.given_back() as f64 * SEGMENT_MIB);
    }
}

/// Trims every second, by the time that is; returns how long each took.
async fn trim_until(until: Instant, store: Arc<DiskStore>, rules: Rules) -> Vec<Duration> {
    let (mut ticks, mut trims) = (tokio::time::interval(TRIM_INTERVAL), Vec::new());
    while !rules.keep_everything() {
        ticks.tick().await;
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        store.trim(&rules, SystemEnvironment.now_ms()).await.expect("trims");
        trims.push(begun.elapsed());
    }
    trims
}

/// One event for each channel. One channel in ten has another name than the rest.
fn events() -> Vec<NewEvent> {
    let id = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    let event = Event::builder(id, "/bench", "event").data(&[b'x'; DATA_BYTES]).build();
    let event = event.expect("legal");
    let name = |number| match number % 10 {
        0 => format!("lasting.{number}"),
        _ => format!("brief.{number}"),
    };
    let channel = |number| Channel::parse(&name(number)).expect("a legal name");
    (0..CHANNELS)
        .map(|number| NewEvent { channel: channel(number), event: event.clone() })
        .collect()
}

const CHANNELS: u64 = 10_000;
const DATA_BYTES: usize = 256;
/// Events of a channel that are kept: with all channels some 400 MB, so that a segment stays for
/// longer than a turn and is seen.
const KEPT: u64 = 100;
/// Events until something expires, and half as many again.
const FILLED: u64 = CHANNELS * KEPT * 3 / 2;
const DAY: Duration = Duration::from_secs(24 * 3_600);
const SLICE: Duration = Duration::from_secs(2);
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// No store grows beyond 6 GB, at 150 MB a second.
const TURNS_MAX: u64 = 15;
/// The size of a segment unless somebody says another.
const SEGMENT_MIB: f64 = 64.0;
