//! One event to many: what a delivery costs, and how late it is.

use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use tl_conformance::RunningServer;

use crate::bare::{BareFanOut, SteadyEvents};
use crate::figures::Figures;
use crate::http::Publisher;
use crate::publish::{publishing, start_server};
use crate::subscriber::{Deliveries, Received, Transport};
use crate::{Runs, machine};

/// Measures on a calm and on a busy channel.
pub(crate) fn run(transport: Transport, runs: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, measure(transport, runs))
}

async fn measure(transport: Transport, runs: &Runs) -> Figures {
    let mut figures = Figures::default();
    let server = start_server();
    let fan_out = FanOut::to_all(&server, transport).await;
    let calm = fan_out.at_a_steady_rate(runs, &mut figures).await;
    fan_out.as_fast_as_possible(runs, &mut figures).await;
    let bare = bare_loop(calm.received.bytes / calm.received.events, runs).await;
    figures.note("calm: a bare loop that writes the same: processor time for a delivery, µs", bare);
    figures.note("calm: ratio to the bare loop", bare / calm.each_us);
    figures
}

/// What it costs to write as many bytes to as many sockets at the same rate, without a server.
async fn bare_loop(bytes: usize, runs: &Runs) -> f64 {
    let (epoch, events) = (Instant::now(), RATE * runs.seconds);
    let shape = SteadyEvents { events, bytes, pause: PAUSE };
    let fan_out = BareFanOut::start(SUBSCRIBERS, shape, epoch);
    let deliveries = Deliveries::new(epoch);
    for _ in 0..SUBSCRIBERS {
        deliveries.connect(fan_out.port).await;
    }
    let received = deliveries.take(SUBSCRIBERS * events as usize).await;
    fan_out.finish().as_secs_f64() * 1e6 / received.events as f64
}

/// What was received at a steady rate, and what each delivery cost the server.
struct Calm {
    received: Received,
    each_us: f64,
}

struct FanOut<'a> {
    server: &'a RunningServer,
    epoch: Instant,
    deliveries: Deliveries,
}

impl<'a> FanOut<'a> {
    async fn to_all(server: &'a RunningServer, transport: Transport) -> Self {
        let epoch = Instant::now();
        Publisher::connect(server.port(), epoch).await.publish().await;
        let deliveries = Deliveries::new(epoch);
        for _ in 0..SUBSCRIBERS {
            deliveries.subscribe(server.port(), transport).await;
        }
        deliveries.take(SUBSCRIBERS).await;
        Self { server, epoch, deliveries }
    }

    /// A calm channel: every event wakes everybody, and each write carries one event.
    async fn at_a_steady_rate(&self, runs: &Runs, figures: &mut Figures) -> Calm {
        let mut publisher = Publisher::connect(self.server.port(), self.epoch).await;
        let (events, before) = (RATE * runs.seconds, machine::time_of_process(self.server.id()));
        let mut ticks = tokio::time::interval(PAUSE);
        for _ in 0..events {
            ticks.tick().await;
            publisher.publish().await;
        }
        let received = self.deliveries.take(SUBSCRIBERS * events as usize).await;
        let spent = machine::time_of_process(self.server.id()) - before;
        let each = spent.as_secs_f64() * 1e6 / received.events as f64;
        figures.note("calm: server's processor time for a delivery, µs", each);
        figures.note_latencies("calm: from publishing to receiving", received.latencies.clone());
        Calm { received, each_us: each }
    }

    /// A busy channel: everybody is behind, and a write carries whatever waits.
    async fn as_fast_as_possible(&self, runs: &Runs, figures: &mut Figures) {
        let (begun, before) = (Instant::now(), machine::time_of_process(self.server.id()));
        let time = Duration::from_secs(runs.seconds);
        let events = publishing(self.server.port(), self.epoch, PUBLISHERS, time).await;
        let received = self.deliveries.take(SUBSCRIBERS * events).await;
        let elapsed = begun.elapsed().as_secs_f64();
        let spent = machine::time_of_process(self.server.id()) - before;
        let each = spent.as_secs_f64() * 1e6 / received.events as f64;
        figures.note("busy: deliveries/s", received.events as f64 / elapsed);
        figures.note("busy: server's processor time for a delivery, µs", each);
        figures.note_latencies("busy: from publishing to receiving", received.latencies);
    }
}

const SUBSCRIBERS: usize = 1_000;
/// Events a second on the calm channel.
const RATE: u64 = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(1_000 / RATE);
/// Publishers on the busy one.
const PUBLISHERS: usize = 8;
