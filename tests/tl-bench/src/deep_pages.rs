//! What a page costs that has ten thousand before it.

use std::time::Instant;

use tl_conformance::{RunningServer, ServerOptions};
use tl_model::Form;

use crate::Runs;
use crate::figures::Figures;
use crate::machine;
use crate::pages::{Pages, cursor_of};
use crate::sessions::{Sessions, Shape};

/// The first page and the last, in turns.
pub(crate) fn run(runs: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let home = tempfile::tempdir().expect("a temporary directory");
    let options = ServerOptions {
        core: Some(machine::SERVER_CORE),
        data: Some(home.path().join("data")),
        ..ServerOptions::default()
    };
    let server = RunningServer::start(&options);
    let shape = Shape { form: Form::Protobuf, events: EVENTS_OF_A_FRAME };
    let frames = PAGES * PAGE_EVENTS / EVENTS_OF_A_FRAME;
    Sessions::open(server.port(), 1, shape).publish_frames(frames as u64);
    server.stop();
    // Nothing of what is read is in its memory.
    let server = RunningServer::start(&options);
    let mut pages = Pages::connect(server.port());
    let last = (1..PAGES)
        .fold("earliest".to_owned(), |cursor, _| cursor_of(pages.read(&cursor, PAGE_EVENTS)));
    let mut turns = [Turn::default(), Turn::default()];
    for _ in 0..runs.seconds {
        for (turn, after) in turns.iter_mut().zip(["earliest", last.as_str()]) {
            turn.read(&server, &mut pages, after);
        }
    }
    let mut figures = Figures::default();
    let [first, last] = turns.map(|turn| turn.note(&mut figures));
    figures.note("server's processor time: ratio of page 10,000 to page 1", last / first);
    figures
}

/// One page, read again and again.
#[derive(Default)]
struct Turn {
    name: &'static str,
    micros: Vec<u32>,
    server_ms: f64,
}

impl Turn {
    fn read(&mut self, server: &RunningServer, pages: &mut Pages, after: &str) {
        self.name = if after == "earliest" { "page 1" } else { "page 10,000" };
        let before = machine::time_of_process(server.id());
        for _ in 0..READS {
            let begun = Instant::now();
            let page = pages.read(after, PAGE_EVENTS);
            assert!(page.len() > PAGE_EVENTS * 100, "the page is full");
            self.micros.push(begun.elapsed().as_micros() as u32);
        }
        self.server_ms += (machine::time_of_process(server.id()) - before).as_secs_f64() * 1e3;
    }

    /// Returns the server's processor time for one page, in microseconds.
    fn note(self, figures: &mut Figures) -> f64 {
        let server = self.server_ms * 1e3 / self.micros.len() as f64;
        figures.note(format!("{}: server's processor time, µs", self.name), server);
        figures
            .note_latencies(&format!("{}: from asking to the whole page", self.name), self.micros);
        server
    }
}

const PAGES: usize = 10_000;
const PAGE_EVENTS: usize = 100;
const EVENTS_OF_A_FRAME: usize = 16;
/// Reads of one page before the other has its turn.
const READS: usize = 2_000;
