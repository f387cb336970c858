//! Publishing over WebSocket without waiting in between: what the server can take.

use std::time::{Duration, Instant};

use tl_model::Form;

use crate::Runs;
use crate::figures::Figures;
use crate::machine::{self, Load};
use crate::publish::{logged, start_server};
use crate::sessions::{Sessions, Shape};

/// Frames in both forms, of one event and of many.
pub(crate) fn run(runs: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let mut figures = Figures::default();
    for (name, form, events) in [
        ("JSON, 1 event a frame", Form::Json, 1),
        ("protobuf, 1 event a frame", Form::Protobuf, 1),
        ("JSON, 16 events a frame", Form::Json, 16),
        ("protobuf, 16 events a frame", Form::Protobuf, 16),
    ] {
        measure(name, Shape { form, events }, runs, &mut figures);
    }
    figures
}

fn measure(name: &str, shape: Shape, runs: &Runs, figures: &mut Figures) {
    let server = start_server();
    let mut sessions = Sessions::open(server.port(), SESSIONS, shape);
    let events_of = |frames: u64| frames * shape.events as u64;
    let warming_up = events_of(sessions.publish_for(WARM_UP));
    let (begun, load) = (Instant::now(), Load::begin());
    let before = machine::time_of_process(server.id());
    let events = events_of(sessions.publish_for(Duration::from_secs(runs.seconds)));
    let elapsed = begun.elapsed().as_secs_f64();
    let load = load.share();
    let spent = (machine::time_of_process(server.id()) - before).as_secs_f64();
    drop(sessions);
    let logged = logged(&server.stop());
    assert_eq!(logged.events, events + warming_up, "every receipt is for an event in the log");
    let mut note = |what: &str, value| figures.note(format!("{name}: {what}"), value);
    note("receipts/s", events as f64 / elapsed);
    note("receipts for a second of the server's core", events as f64 / spent);
    note("events per sync", logged.events_per_batch());
    note("how busy the server's core was", spent / elapsed);
    note("how busy the load's core was", load);
}

const SESSIONS: usize = 4;
/// Until the first segments are there.
const WARM_UP: Duration = Duration::from_secs(1);
