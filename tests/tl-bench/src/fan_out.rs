//! One event to many: what a delivery costs, and how late it is.

use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

use tl_conformance::RunningServer;

use crate::Runs;
use crate::bare::{BareFanOut, SteadyEvents};
use crate::figures::Figures;
use crate::machine::{self, Load};
use crate::publish::start_server;
use crate::publishers::{Publisher, Publishers};
use crate::readers::{Readers, Received};
use crate::tally::{CHANNEL, Tally};
use crate::transport::{Transport, Wish, connect};

/// How many subscribe, and how many events a second a calm channel has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    subscribers: usize,
    rate: u64,
}

/// As many as notice each event at once.
pub(crate) const THOUSAND: Size = Size { subscribers: 1_000, rate: 20 };
/// As many as one process has files for, with half as much to do a second as one core can.
pub(crate) const TEN_THOUSAND: Size = Size { subscribers: 10_000, rate: 5 };

/// Measures on a calm and on a busy channel.
pub(crate) fn run(transport: Transport, size: Size, runs: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let mut figures = Figures::default();
    let calm = through_a_server(transport, size, runs, &mut figures);
    let bare = bare_loop(size, calm.event_bytes, runs);
    figures.note("calm: a bare loop that writes the same: processor time for a delivery, µs", bare);
    figures.note("calm: ratio to the bare loop", bare / calm.each_us);
    let limit = limit_of_readers(size, calm.event_bytes);
    figures.note("the load by itself: deliveries/s from a bare loop without a pause", limit);
    figures
}

fn through_a_server(transport: Transport, size: Size, runs: &Runs, figures: &mut Figures) -> Calm {
    let server = start_server();
    let mut fan_out = FanOut::to_all(&server, transport, size);
    let calm = fan_out.at_a_steady_rate(runs, figures);
    fan_out.as_fast_as_possible(runs, figures);
    calm
}

/// What it costs to write as many bytes to as many sockets at the same rate, without a server, in
/// microseconds.
fn bare_loop(size: Size, bytes: usize, runs: &Runs) -> f64 {
    let events = size.rate * runs.seconds;
    let shape = SteadyEvents { events, bytes, together: 1, pause: size.pause() };
    let Bare { deliveries, spent, .. } = bare(size, shape);
    spent.as_secs_f64() * 1e6 / deliveries as f64
}

/// How many deliveries a second can be counted here, of events that come in batches.
fn limit_of_readers(size: Size, bytes: usize) -> f64 {
    let events = DELIVERIES_TO_COUNT / size.subscribers as u64 / BATCH * BATCH;
    let shape = SteadyEvents { events, bytes, together: BATCH, pause: Duration::ZERO };
    let Bare { deliveries, elapsed, .. } = bare(size, shape);
    deliveries as f64 / elapsed.as_secs_f64()
}

/// What a bare loop has done, and how long it took until everybody had everything.
struct Bare {
    deliveries: u64,
    spent: Duration,
    elapsed: Duration,
}

fn bare(size: Size, shape: SteadyEvents) -> Bare {
    let (epoch, subscribers) = (Instant::now(), size.subscribers.min(BOTH_ENDS_MAX));
    let fan_out = BareFanOut::start(subscribers, shape, epoch);
    let mut readers = Readers::start(epoch);
    let streams = (0..subscribers).map(|_| connect(fan_out.port)).collect();
    let begun = Instant::now();
    let who = readers.add(streams, SAMPLED);
    let (_open_until_all_is_read, written) = fan_out.finish();
    let received = readers.receive(who, written.tally);
    Bare { deliveries: received.events, spent: written.spent, elapsed: begun.elapsed() }
}

/// What was received at a steady rate, and what each delivery cost the server.
struct Calm {
    event_bytes: usize,
    each_us: f64,
}

/// Everybody who subscribes to one channel of a server.
pub(crate) struct FanOut<'a> {
    server: &'a RunningServer,
    epoch: Instant,
    readers: Readers,
    who: Range<usize>,
    size: Size,
    published: Tally,
}

impl<'a> FanOut<'a> {
    fn to_all(server: &'a RunningServer, transport: Transport, size: Size) -> Self {
        let epoch = Instant::now();
        let published = Publisher::connect(server.port(), epoch).publish();
        let mut readers = Readers::start(epoch);
        let wish = Wish { channels: &[CHANNEL], after: "earliest" };
        let subscribe = || {
            let mut stream = connect(server.port());
            transport.ask(wish, &mut stream).expect("the server takes it");
            stream
        };
        let who = add_all(&mut readers, size.subscribers, SAMPLED, published, subscribe);
        Self { server, epoch, readers, who, size, published }
    }

    /// A calm channel: every event wakes everybody, and each write carries one event.
    fn at_a_steady_rate(&mut self, runs: &Runs, figures: &mut Figures) -> Calm {
        let mut publisher = Publisher::connect(self.server.port(), self.epoch);
        let measuring = Measuring::begin(self.server);
        publish_steadily(&mut publisher, self.size.rate * runs.seconds, self.size.pause(), |one| {
            self.published += one;
        });
        let received = self.readers.receive(self.who.clone(), self.published);
        let each_us = measuring.note("calm", &received, figures);
        figures.note_latencies("calm: from publishing to receiving", received.latencies);
        Calm { event_bytes: (received.bytes / received.events) as usize, each_us }
    }

    /// A busy channel: everybody is behind, and a write carries whatever waits.
    fn as_fast_as_possible(&mut self, runs: &Runs, figures: &mut Figures) {
        let mut publishers = Publishers::connect(self.server.port(), PUBLISHERS, self.epoch);
        let (begun, measuring) = (Instant::now(), Measuring::begin(self.server));
        self.published += publishers.publish_for(Duration::from_secs(runs.seconds));
        let received = self.readers.receive(self.who.clone(), self.published);
        figures.note("busy: deliveries/s", received.events as f64 / begun.elapsed().as_secs_f64());
        measuring.note("busy", &received, figures);
        figures.note_latencies("busy: from publishing to receiving", received.latencies);
    }
}

/// Opens many, a few at a time, so that none has to wait in line for longer than a handshake may take.
/// Each gets what is expected first.
pub(crate) fn add_all(
    readers: &mut Readers,
    count: usize,
    sampled: u64,
    expected: Tally,
    mut open: impl FnMut() -> TcpStream,
) -> Range<usize> {
    let mut all = readers.add(Vec::new(), sampled);
    while all.len() < count {
        let together = OPENED_TOGETHER.min(count - all.len());
        let who = readers.add((0..together).map(|_| open()).collect(), sampled);
        readers.receive(who.clone(), expected);
        all.end = who.end;
    }
    all
}

/// Publishes so many events, each when it is due.
pub(crate) fn publish_steadily(
    publisher: &mut Publisher,
    events: u64,
    pause: Duration,
    mut published: impl FnMut(Tally),
) {
    let begun = Instant::now();
    for number in 0..events {
        let due = begun + pause * number as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        published(publisher.publish());
    }
}

/// How busy both sides are, from some moment on.
struct Measuring<'a> {
    server: &'a RunningServer,
    before: Duration,
    begun: Instant,
    load: Load,
}

impl<'a> Measuring<'a> {
    fn begin(server: &'a RunningServer) -> Self {
        let before = machine::time_of_process(server.id());
        Self { server, before, begun: Instant::now(), load: Load::begin() }
    }

    /// Returns the server's processor time for a delivery, in microseconds.
    fn note(self, phase: &str, received: &Received, figures: &mut Figures) -> f64 {
        let (load, elapsed) = (self.load.share(), self.begun.elapsed());
        let spent = machine::time_of_process(self.server.id()) - self.before;
        let each_us = spent.as_secs_f64() * 1e6 / received.events as f64;
        figures.note(format!("{phase}: server's processor time for a delivery, µs"), each_us);
        let busy = spent.as_secs_f64() / elapsed.as_secs_f64();
        figures.note(format!("{phase}: how busy the server's core was"), busy);
        figures.note(format!("{phase}: how busy the load's core was"), load);
        each_us
    }
}

impl Size {
    fn pause(self) -> Duration {
        Duration::from_micros(1_000_000 / self.rate)
    }
}

/// Publishers on the busy channel.
const PUBLISHERS: usize = 8;
/// Connections of which one process has the files of both ends.
const BOTH_ENDS_MAX: usize = 9_500;
/// Fewer than a server's socket keeps waiting.
const OPENED_TOGETHER: usize = 500;
/// Of each reader's events, one in so many is looked at for how late it is.
const SAMPLED: u64 = 8;
/// Enough to take seconds.
const DELIVERIES_TO_COUNT: u64 = 8_000_000;
/// What a write to somebody who is a little behind carries.
const BATCH: u64 = 20;
