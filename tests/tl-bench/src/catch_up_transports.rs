//! Reading what was logged before, over each transport, against reading it in one process.

use std::path::Path;
use std::time::{Duration, Instant};

use tl_conformance::{RunningServer, ServerOptions};
use tl_model::Form;
use tl_store_disk::{DiskStore, Options};

use crate::figures::Figures;
use crate::pages::{Pages, cursor_of};
use crate::readers::Readers;
use crate::sessions::{self, Sessions, Shape};
use crate::tally::{self, CHANNEL, Tally, Times};
use crate::transport::{Transport, Wish, connect};
use crate::{Runs, machine, store};

/// One reader reads one channel from the beginning, again and again.
pub(crate) fn run(runs: &Runs) -> Figures {
    let home = tempfile::tempdir().expect("a temporary directory");
    let directory = home.path().join("data");
    let in_process = std::thread::scope(|scope| {
        let filled = scope.spawn(|| fill(&directory));
        filled.join().expect("it does not panic");
        scope.spawn(|| in_process(&directory, runs)).join().expect("it does not panic")
    });
    machine::stay_on(machine::LOAD_CORE);
    // Nothing of what is read is in its memory.
    let server = start(&directory);
    let (mut pages, mut sse, mut web_socket) = Default::default();
    for _ in 0..turns(runs) {
        pages += over_pages(server.port());
        sse += subscribed(server.port(), Transport::Sse);
        web_socket += subscribed(server.port(), Transport::WebSocket);
    }
    let mut figures = Figures::default();
    let rate = |elapsed: Duration| (EVENTS * turns(runs)) as f64 / elapsed.as_secs_f64();
    figures.note("bare: in one process: events/s", rate(in_process));
    for (name, elapsed) in [("pages", pages), ("SSE", sse), ("WebSocket", web_socket)] {
        figures.note(format!("{name}: events/s"), rate(elapsed));
        figures.note(format!("{name}: ratio to one process"), rate(elapsed) / rate(in_process));
    }
    figures
}

fn turns(runs: &Runs) -> u64 {
    runs.seconds
}

fn start(directory: &Path) -> RunningServer {
    let (core, data) = (Some(machine::SERVER_CORE), Some(directory.to_owned()));
    RunningServer::start(&ServerOptions { core, data, ..ServerOptions::default() })
}

fn fill(directory: &Path) {
    machine::stay_on(machine::LOAD_CORE);
    let server = start(directory);
    let shape = Shape { form: Form::Protobuf, events: EVENTS_OF_A_FRAME };
    let frames = EVENTS / EVENTS_OF_A_FRAME as u64;
    Sessions::open(server.port(), 1, shape).publish_frames(frames);
    server.stop();
}

/// On the server's core.
fn in_process(directory: &Path, runs: &Runs) -> Duration {
    machine::stay_on(machine::SERVER_CORE);
    let store = DiskStore::open(&Options::new(directory)).expect("the store opens");
    let read = |_| {
        let (events, elapsed) = store::read_all(&store, CHANNEL);
        assert_eq!(events as u64, EVENTS);
        elapsed
    };
    read(0);
    (0..turns(runs)).map(read).sum()
}

/// All events, by a reader that goes on as far as its connection allows.
fn subscribed(port: u16, transport: Transport) -> Duration {
    let begun = Instant::now();
    let mut readers = Readers::start(begun);
    let mut stream = connect(port);
    let wish = Wish { channels: &[CHANNEL], after: "earliest" };
    transport.ask(wish, &mut stream).expect("the server takes it");
    let who = readers.add(vec![stream], 0);
    readers.receive(who, all());
    begun.elapsed()
}

/// All events, in pages as large as there are.
fn over_pages(port: u16) -> Duration {
    let (begun, mut pages) = (Instant::now(), Pages::connect(port));
    let (mut tally, mut cursor, finder) =
        (Tally::default(), "earliest".to_owned(), tally::finder());
    while tally.events < EVENTS {
        let body = pages.read(&cursor, PAGE_EVENTS);
        let page: Tally = Times::new(body, &finder).map(Tally::one).sum();
        assert!(page.events > 0, "the log has more");
        tally += page;
        cursor = cursor_of(body);
    }
    assert_eq!(tally, all());
    begun.elapsed()
}

fn all() -> Tally {
    Tally::one(sessions::AT).times(EVENTS)
}

const EVENTS: u64 = 100_000;
const EVENTS_OF_A_FRAME: usize = 16;
const PAGE_EVENTS: usize = 1_000;
