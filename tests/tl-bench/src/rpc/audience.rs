use std::io::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::figures::Figures;
use crate::readers::{Readers, Received};
use crate::tally::Tally;

use super::Turns;
use super::load::{self, Call, Callers};

/// Everybody who subscribes to the one channel of a server.
pub(super) struct Audience {
    name: &'static str,
    server: u32,
    readers: Readers,
    who: Range<usize>,
    steady: Callers,
    many: Callers,
    published: u64,
    calm: Phase,
    busy: Phase,
}

#[derive(Default)]
struct Phase {
    turns: Turns,
    latencies: Vec<u32>,
    bytes: u64,
}

impl Audience {
    pub(super) fn of(name: &'static str, server: u32, port: u16) -> Self {
        let epoch = Instant::now();
        let connect = |callers| Callers::connect(port, &Call::publish(), 1, callers).since(epoch);
        let (mut readers, mut subscribe) = (Readers::start(epoch), Call::subscribe());
        let open = |_| {
            let mut said = Vec::new();
            (0..STREAMS).for_each(|number| subscribe.put(2 * number + 1, 0, &mut said));
            let mut stream = load::open(port);
            stream.write_all(&said).expect("the server takes it");
            stream
        };
        let who = readers.add((0..CONNECTIONS).map(open).collect(), SAMPLED);
        let (calm, busy) = Default::default();
        let (steady, many) = (connect(1), connect(PUBLISHERS));
        let mut audience =
            Self { name, server, readers, who, steady, many, published: 0, calm, busy };
        audience.published += audience.steady.call_once();
        audience.receive();
        audience
    }

    /// A calm channel: every event wakes everybody.
    pub(super) fn hear_steadily(&mut self, time: Duration) {
        let mut phase = std::mem::take(&mut self.calm);
        phase.take(self, |audience| {
            let begun = Instant::now();
            for number in 0..EVENTS_A_SECOND * time.as_secs() {
                let due = begun + Duration::from_secs(number) / EVENTS_A_SECOND as u32;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                audience.published += audience.steady.call_once();
            }
        });
        self.calm = phase;
    }

    /// A busy channel: everybody is behind.
    pub(super) fn hear_much(&mut self, time: Duration) {
        let mut phase = std::mem::take(&mut self.busy);
        phase.take(self, |audience| audience.published += audience.many.call_for(time));
        self.busy = phase;
    }

    /// Notes what was measured; returns the processor time for a delivery on a calm and on a busy
    /// channel, in microseconds.
    pub(super) fn finish(self, figures: &mut Figures) -> (f64, f64) {
        let [calm, busy] = [("calm", self.calm), ("busy", self.busy)].map(|(phase, it)| {
            let name = format!("{}: {phase}", self.name);
            figures.note(format!("{name}: deliveries/s"), it.turns.rate());
            let each_us = it.turns.each_us();
            figures.note(format!("{name}: processor time for a delivery, µs"), each_us);
            let bytes = it.bytes as f64 / it.turns.done as f64;
            figures.note(format!("{name}: bytes a delivery"), bytes);
            figures.note_latencies(&format!("{name}: from publishing to receiving"), it.latencies);
            each_us
        });
        (calm, busy)
    }

    /// Waits until everybody has everything.
    fn receive(&mut self) -> Received {
        let times = self.steady.times + self.many.times;
        let expected = Tally { events: self.published, times }.times(STREAMS.into());
        self.readers.receive(self.who.clone(), expected)
    }
}

impl Phase {
    fn take(&mut self, audience: &mut Audience, publish: impl FnOnce(&mut Audience)) {
        let mut received = Received::default();
        self.turns.take(audience.server, || {
            publish(audience);
            received = audience.receive();
            received.events
        });
        self.bytes += received.bytes;
        self.latencies.append(&mut received.latencies);
    }
}

const CONNECTIONS: u32 = 10;
/// On each connection.
const STREAMS: u32 = 100;
const EVENTS_A_SECOND: u64 = 20;
/// On the busy channel.
const PUBLISHERS: usize = 8;
/// Of each reader's events, one in so many is looked at for how late it is.
const SAMPLED: u64 = 8;
