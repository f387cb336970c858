//! What those who read notice of those who do not.

use std::ops::Range;
use std::time::{Duration, Instant};

use tl_conformance::{RunningServer, ServerOptions};

use crate::Runs;
use crate::fan_out::{add_all, publish_steadily};
use crate::figures::{self, Figures};
use crate::machine::{self, Load};
use crate::publishers::Publisher;
use crate::readers::Readers;
use crate::tally::{CHANNEL, Tally};
use crate::transport::{Transport, Wish, connect, connect_with_little_room};

/// All read, and a tenth does not, in turns; with each transport.
pub(crate) fn run(runs: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let mut figures = Figures::default();
    for transport in [Transport::Sse, Transport::WebSocket] {
        measure(transport, runs, &mut figures);
    }
    figures
}

fn measure(transport: Transport, runs: &Runs, figures: &mut Figures) {
    let server = RunningServer::start(&ServerOptions {
        core: Some(machine::SERVER_CORE),
        // Otherwise whoever takes nothing for two heartbeats is hung up on.
        config: "[connections]\nheartbeat = \"1h\"\n".to_owned(),
        ..Default::default()
    });
    let mut room = Room::open(&server, transport);
    let memory = || machine::memory_of_process(server.id()) as f64 / 1024.0 / 1024.0;
    let (mut all, mut some, mut after) = (Phase::default(), Phase::default(), 0.0);
    let before = memory();
    for _ in 0..TURNS {
        room.publish(runs, &mut all);
        room.stop_some();
        room.publish(runs, &mut some);
        after = memory();
        room.all_go_on();
    }
    let [all_p99, some_p99] = [&all, &some].map(|phase| figures::share(&phase.latencies, 0.99));
    let name = |what: &str| format!("{transport:?}: {what}");
    all.note(&name("all read"), figures);
    some.note(&name("1,000 have stopped"), figures);
    figures.note(name("p99: ratio of all reading to some having stopped"), all_p99 / some_p99);
    figures.note(name("memory of the server before anybody stops, MiB"), before);
    figures.note(name("memory of the server while 1,000 have stopped, MiB"), after);
}

/// A server with everybody in it.
struct Room<'a> {
    server: &'a RunningServer,
    publisher: Publisher,
    readers: Readers,
    reading: Range<usize>,
    stopping: Range<usize>,
    published: Tally,
    /// What those who stop get besides.
    filled: Tally,
}

/// What was measured of those who read.
#[derive(Default)]
struct Phase {
    latencies: Vec<u32>,
    server: Duration,
    load: Vec<f64>,
    elapsed: Duration,
}

impl<'a> Room<'a> {
    fn open(server: &'a RunningServer, transport: Transport) -> Self {
        let epoch = Instant::now();
        let mut publisher = Publisher::connect(server.port(), epoch);
        let (published, mut readers) = (publisher.publish(), Readers::start(epoch));
        let subscribe = |mut stream, channels: &[&str]| {
            let wish = Wish { channels, after: "earliest" };
            transport.ask(wish, &mut stream).expect("the server takes it");
            stream
        };
        let reading = add_all(&mut readers, READING, SAMPLED, published, || {
            subscribe(connect(server.port()), &[CHANNEL])
        });
        let stopping = add_all(&mut readers, STOPPING, NEVER, published, || {
            subscribe(connect_with_little_room(server.port()), &[CHANNEL, FILLING])
        });
        let filled = Tally::default();
        Self { server, publisher, readers, reading, stopping, published, filled }
    }

    fn publish(&mut self, runs: &Runs, phase: &mut Phase) {
        self.wait_for_rest();
        let (begun, load) = (Instant::now(), Load::begin());
        let before = machine::time_of_process(self.server.id());
        let pause = Duration::from_millis(1_000) / RATE as u32;
        publish_steadily(&mut self.publisher, RATE * runs.seconds, pause, |one| {
            self.published += one;
        });
        let received = self.readers.receive(self.reading.clone(), self.published);
        phase.server += machine::time_of_process(self.server.id()) - before;
        phase.load.push(load.share());
        phase.elapsed += begun.elapsed();
        phase.latencies.extend(received.latencies);
    }
}

impl Room<'_> {
    /// Those who are to stop do, and get more than their sockets hold.
    fn stop_some(&mut self) {
        self.readers.pause(self.stopping.clone());
        let body = format!("{{\"at\":\"{:012}\",\"padding\":\"{:0FILLING_BYTES$}\"}}", 1, 0);
        for _ in 0..FILLING_EVENTS {
            self.publisher.publish_to(FILLING, body.as_bytes());
            self.filled += Tally::one(1);
        }
        while self.stuck().len() < STOPPING {
            std::thread::sleep(PAUSE);
        }
        let most = self.stuck().into_iter().max().expect("somebody has stopped");
        let filled = (FILLING_EVENTS * FILLING_BYTES) as u64;
        assert!(most < filled / 2, "{most} bytes fit into a socket, and so may all");
    }

    /// Until the server has nothing left to do for those who came, stopped or went on. What that
    /// costs is no matter of how many have stopped.
    fn wait_for_rest(&self) {
        let used = || machine::time_of_process(self.server.id());
        let begun = Instant::now();
        loop {
            let before = used();
            std::thread::sleep(PAUSE);
            if used() - before < PAUSE / 10 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "the server works on, with nothing to do");
        }
    }

    /// Bytes that wait in the server's sockets of those who do not take them.
    fn stuck(&self) -> Vec<u64> {
        let mut unsent = machine::unsent_bytes(self.server.port());
        unsent.retain(|bytes| *bytes > 0);
        unsent
    }

    /// Those who had stopped read all that they have missed.
    fn all_go_on(&mut self) {
        self.readers.resume(self.stopping.clone());
        let mut expected = self.published;
        expected += self.filled;
        self.readers.receive(self.stopping.clone(), expected);
    }
}

impl Phase {
    fn note(self, name: &str, figures: &mut Figures) {
        let elapsed = self.elapsed.as_secs_f64();
        let load = self.load.iter().sum::<f64>() / self.load.len() as f64;
        figures.note_latencies(&format!("{name}: publishing to receiving"), self.latencies);
        let server = self.server.as_secs_f64() / elapsed;
        figures.note(format!("{name}: how busy the server's core was"), server);
        figures.note(format!("{name}: how busy the load's core was"), load);
    }
}

/// How often all read and then some have stopped.
const TURNS: usize = 2;
/// Events a second: with 10,000 subscribers neither core has more than half to do.
const RATE: u64 = 5;
const READING: usize = 9_000;
const STOPPING: usize = 1_000;
/// Of each reader's events, all are looked at for how late they are.
const SAMPLED: u64 = 1;
/// Those of others are not.
const NEVER: u64 = 0;
/// Where events go that only those get who are to stop.
const FILLING: &str = "filling";
/// What one of them holds: it is sent in one part.
const FILLING_BYTES: usize = 30_000;
/// With all of them, several times as much as a socket takes.
const FILLING_EVENTS: usize = 32;
/// Until the server has tried to write.
const PAUSE: Duration = Duration::from_millis(50);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);
