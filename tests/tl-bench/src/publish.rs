//! Publishing with durability `fsync`: how many receipts a second, and how many share a sync.

use std::path::Path;
use std::time::{Duration, Instant};

use tl_conformance::{RunningServer, ServerOptions};
use tl_model::{Channel, Event, NewEvent};

use crate::bare::{BareCrowd, BareLog};
use crate::bare_http::BareHttp;
use crate::busy::{self, BusyEngine, Published};
use crate::figures::Figures;
use crate::publishers::Publishers;
use crate::tally::{CHANNEL, DATA_BYTES};
use crate::{Runs, machine, store};

/// The engine with its journal, in this process, on all cores, in turns with threads that each sync for
/// themselves.
pub(crate) fn in_process(runs: &Runs) -> Figures {
    let home = tempfile::tempdir().expect("a temporary directory");
    let engine = BusyEngine::start(&home.path().join("data"), vec![event()]);
    engine.publish_for(WARM_UP);
    let (mut published, mut others) = (Published::default(), others(home.path()));
    for _ in 0..runs.seconds {
        published += engine.publish_for(SLICE);
        others.iter_mut().for_each(|(_, threads, rates)| rates.push(threads.rate(SLICE)));
    }
    engine.close();
    let (rate, events) = (published.rate(), published.events_per_sync().round() as usize);
    let mut figures = Measured::from(published).figures(runs, home.path());
    let journal = store::journal_rate(home.path(), DATA_BYTES, events, runs) * events as f64;
    figures.note("the journal alone with such batches: events/s", journal);
    figures.note("ratio to the journal alone", rate / journal);
    for (name, _, rates) in others {
        let other = rates.iter().sum::<f64>() / rates.len() as f64;
        figures.note(format!("bare: {name}: events/s"), other);
        figures.note(format!("times as many as {name}"), rate / other);
    }
    figures
}

/// Those who sync each event by itself, and how many they do a second in each turn.
fn others(home: &Path) -> [(String, BareCrowd, Vec<f64>); 4] {
    let (many, bytes) = (busy::PUBLISHERS, event().event.encoded().len());
    let crowds = [
        ("1 thread syncing each".to_owned(), BareCrowd::in_one_file(home, 1, bytes)),
        (format!("{many} threads syncing each"), BareCrowd::in_one_file(home, many, bytes)),
        (
            format!("{many} threads syncing each, in a file written full before"),
            BareCrowd::in_a_full_file(home, many, bytes),
        ),
        (
            format!("{many} threads syncing each, in a file each"),
            BareCrowd::in_a_file_each(home, many, bytes),
        ),
    ];
    crowds.map(|(name, threads)| (name, threads, Vec::new()))
}

/// The server on one core, publishers on the other, in turns with hyper alone.
pub(crate) fn over_http(runs: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let home = tempfile::tempdir().expect("a temporary directory");
    let (server, bare, epoch) = (start_server(), BareHttp::start(), Instant::now());
    let mut publishers = Publishers::connect(server.port(), HTTP_PUBLISHERS, epoch);
    let mut bare_publishers = Publishers::connect(bare.port, HTTP_PUBLISHERS, epoch);
    publishers.publish_for(WARM_UP);
    bare_publishers.publish_for(WARM_UP);
    let (mut ours, mut others) = (Turns::default(), Turns::default());
    let before = machine::time_of_process(server.id());
    for _ in 0..runs.seconds {
        ours.take(&mut publishers);
        others.take(&mut bare_publishers);
    }
    let spent = machine::time_of_process(server.id()) - before;
    bare.finish();
    let events_per_sync = logged(&server.stop()).events_per_batch();
    let Turns { receipts, elapsed, .. } = ours;
    let measured = Measured { receipts, elapsed, spent, events_per_sync };
    let mut figures = measured.figures(runs, home.path());
    figures.note("how busy the load's core was", ours.load());
    figures.note("bare: hyper alone: requests/s", others.rate());
    figures.note("ratio to hyper alone", ours.rate() / others.rate());
    figures.note("bare: hyper alone: how busy the load's core was", others.load());
    figures
}

/// What publishers have done in their turns.
#[derive(Default)]
struct Turns {
    receipts: u64,
    elapsed: Duration,
    spent: Duration,
}

impl Turns {
    fn take(&mut self, publishers: &mut Publishers) {
        let (begun, spent) = (Instant::now(), machine::thread_time());
        self.receipts += publishers.publish_for(SLICE).events;
        self.elapsed += begun.elapsed();
        self.spent += machine::thread_time() - spent;
    }

    fn rate(&self) -> f64 {
        self.receipts as f64 / self.elapsed.as_secs_f64()
    }

    fn load(&self) -> f64 {
        self.spent.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// The server with its defaults, alone on its core.
pub(crate) fn start_server() -> RunningServer {
    RunningServer::start(&ServerOptions { core: Some(machine::SERVER_CORE), ..Default::default() })
}

/// What happened between two moments.
struct Measured {
    receipts: u64,
    elapsed: Duration,
    spent: Duration,
    events_per_sync: f64,
}

impl From<Published> for Measured {
    fn from(published: Published) -> Self {
        let Published { receipts, elapsed, spent, .. } = published;
        Self { receipts, elapsed, spent, events_per_sync: published.events_per_sync() }
    }
}

impl Measured {
    fn rate(&self) -> f64 {
        self.receipts as f64 / self.elapsed.as_secs_f64()
    }

    /// The figures, beside what the bare disk does in the same place with batches of the same size.
    fn figures(self, runs: &Runs, home: &Path) -> Figures {
        let rate = self.rate();
        let Self { receipts, spent, events_per_sync, .. } = self;
        let batch_bytes = event().event.encoded().len() * events_per_sync.round() as usize;
        let bare = BareLog::new(home, batch_bytes).rate(Duration::from_secs(runs.seconds));
        let mut figures = Figures::default();
        figures.note("receipts/s", rate);
        figures.note("events per sync", events_per_sync);
        figures
            .note("processor time for an event, µs", spent.as_secs_f64() * 1e6 / receipts as f64);
        figures.note("bare: appends + fdatasync/s of such batches", bare);
        figures.note("ratio to the bare disk", rate / (bare * events_per_sync));
        figures
    }
}

fn event() -> NewEvent {
    let id = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    let event = Event::builder(id, "/bench", "event").data(&[b'x'; DATA_BYTES]).build();
    let channel = Channel::parse(CHANNEL).expect("a legal name");
    NewEvent { channel, event: event.expect("legal") }
}

/// What a server has appended to its log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged {
    pub(crate) events: u64,
    batches: u64,
}

impl Logged {
    /// How many shared a sync.
    pub(crate) fn events_per_batch(self) -> f64 {
        self.events as f64 / self.batches as f64
    }
}

/// The server says it when it stops.
pub(crate) fn logged(log: &str) -> Logged {
    let last: serde_json::Value =
        log.lines().last().and_then(|line| serde_json::from_str(line).ok()).expect("JSON");
    let count = |name: &str| last[name].as_u64().expect("a count");
    Logged { events: count("events"), batches: count("batches") }
}

const HTTP_PUBLISHERS: usize = 64;
/// Until connections stand and the first segments are there.
const WARM_UP: Duration = Duration::from_secs(1);
/// A turn: long beside making ready a segment.
const SLICE: Duration = Duration::from_secs(1);
