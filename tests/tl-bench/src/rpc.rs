//! Calls over gRPC: what one costs the server, beside other servers that do the same.

mod audience;
mod load;
mod peer;
mod size;

use std::time::{Duration, Instant};

use tl_conformance::{RunningServer, ServerOptions};

use crate::figures::Figures;
use crate::{Runs, machine};

use audience::Audience;
use load::{Call, Callers};
use peer::Peer;

pub(crate) use size::run as sizes;

/// Publishing event by event, in turns with tonic on the same engine.
pub(crate) fn publish(runs: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let home = tempfile::tempdir().expect("a temporary directory");
    let (ours, theirs) = (start_server(), Peer::tonic(home.path()));
    let servers = [("ours", ours.id(), ours.port()), ("tonic", theirs.id(), theirs.port)];
    call_in_turns(servers, &Call::publish(), runs)
}

/// Giving messages back, on our listener in turns with the library's own.
pub(crate) fn echo(runs: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let (ours, theirs) = (Peer::start(&["echo-ours"]), Peer::start(&["echo-theirs"]));
    let servers = [("ours", ours.id(), ours.port), ("connectrpc", theirs.id(), theirs.port)];
    call_in_turns(servers, &Call::echo(), runs)
}

/// One channel to 1,000 streams, in turns with tonic on the same engine.
pub(crate) fn fan_out(runs: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let home = tempfile::tempdir().expect("a temporary directory");
    let (ours, theirs) = (start_server(), Peer::tonic(home.path()));
    let mut audiences = [
        Audience::of("ours", ours.id(), ours.port()),
        Audience::of("tonic", theirs.id(), theirs.port),
    ];
    for _ in 0..runs.seconds {
        audiences.iter_mut().for_each(|audience| audience.hear_steadily(SLICE));
        audiences.iter_mut().for_each(|audience| audience.hear_much(SLICE));
    }
    let mut figures = Figures::default();
    let [ours, theirs] = audiences.map(|audience| audience.finish(&mut figures));
    figures.note("calm: times the work of tonic in the same processor time", theirs.0 / ours.0);
    figures.note("busy: times the work of tonic in the same processor time", theirs.1 / ours.1);
    figures
}

/// The same calls to both servers. Each has the core to itself while it is its turn.
fn call_in_turns(servers: [(&str, u32, u16); 2], call: &Call, runs: &Runs) -> Figures {
    let mut figures = Figures::default();
    let mut measured = servers.map(|(name, id, port)| {
        let mut callers = Callers::connect(port, call, CONNECTIONS, CALLERS);
        callers.call_for(SLICE);
        (name, id, callers, Turns::default())
    });
    for _ in 0..runs.seconds {
        for (_, id, callers, turns) in &mut measured {
            turns.take(*id, || callers.call_for(SLICE));
        }
    }
    let each_us = measured.map(|(name, _, _, turns)| {
        figures.note(format!("{name}: calls/s"), turns.rate());
        let each_us = turns.each_us();
        figures.note(format!("{name}: processor time for a call, µs"), each_us);
        each_us
    });
    let (other, ..) = servers[1];
    let ratio = each_us[1] / each_us[0];
    figures.note(format!("times the work of {other} in the same processor time"), ratio);
    figures
}

/// What a server has done in its turns.
#[derive(Clone, Copy, Default)]
struct Turns {
    done: u64,
    spent: Duration,
    elapsed: Duration,
}

impl Turns {
    fn take(&mut self, server: u32, work: impl FnOnce() -> u64) {
        let (begun, before) = (Instant::now(), machine::time_of_process(server));
        self.done += work();
        self.elapsed += begun.elapsed();
        self.spent += machine::time_of_process(server) - before;
    }

    fn rate(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64()
    }

    fn each_us(&self) -> f64 {
        self.spent.as_secs_f64() * 1e6 / self.done as f64
    }
}

fn start_server() -> RunningServer {
    RunningServer::start(&ServerOptions {
        core: Some(machine::SERVER_CORE),
        // Nobody here answers pings.
        config: "[connections]\nheartbeat = \"1h\"\n".to_owned(),
        ..Default::default()
    })
}

const CONNECTIONS: usize = 8;
/// Calls under way on each connection.
const CALLERS: usize = 8;
/// A turn.
const SLICE: Duration = Duration::from_secs(1);
