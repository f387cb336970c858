//! One channel to 1,000 subscribers: what a delivery costs each server, how late it is, what gets lost.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::audience::{Audience, data_at};
use super::contender::Contender;
use super::publisher::Publisher;
use super::server::Server;
use super::{CONTENDERS, asked, on_the_load_core};
use crate::Runs;
use crate::figures::Figures;

/// Measures all servers, one after the other.
pub(crate) fn run(runs: &Runs) -> Figures {
    let mut figures = Figures::default();
    for contender in asked(CONTENDERS, |it| it.name) {
        on_the_load_core(measure(contender, runs, &mut figures));
    }
    figures
}

async fn measure(contender: &Contender, runs: &Runs, figures: &mut Figures) {
    let fan_out = FanOut::to_all(contender).await;
    let calm = fan_out.calm(runs).await;
    calm.note(figures, contender.name, "calm");
    let busy = fan_out.publish(Some(UNDER_WAY), runs).await;
    figures.note(format!("{}, busy: deliveries/s", contender.name), busy.rate());
    busy.note(figures, contender.name, "busy");
    let memory = fan_out.server.memory() as f64 / MIB;
    figures.note(format!("{}, busy: server's memory, MiB", contender.name), memory);
    let flood = fan_out.publish(None, runs).await;
    flood.note_losses(figures, contender.name);
    let memory = fan_out.server.memory() as f64 / MIB;
    figures.note(format!("{}, flood: server's memory, MiB", contender.name), memory);
}

/// What happened between two moments.
struct Measured {
    published: usize,
    received: usize,
    cut_off: usize,
    elapsed: Duration,
    spent: Duration,
    latencies: Vec<u32>,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.received as f64 / self.elapsed.as_secs_f64()
    }

    fn note(self, figures: &mut Figures, name: &str, load: &str) {
        let a_second = self.received as f64 / self.spent.as_secs_f64();
        figures
            .note(format!("{name}, {load}: deliveries for a second of processor time"), a_second);
        figures.note(format!("{name}, {load}: events lost, %"), self.lost());
        figures.note_latencies(&format!("{name}, {load}: to receiving"), self.latencies);
    }

    fn note_losses(self, figures: &mut Figures, name: &str) {
        figures.note(format!("{name}, flood: deliveries/s"), self.rate());
        figures.note(format!("{name}, flood: events lost, %"), self.lost());
        figures.note(format!("{name}, flood: subscribers cut off"), self.cut_off as f64);
    }

    fn lost(&self) -> f64 {
        let due = (self.published * SUBSCRIBERS) as f64;
        (1.0 - self.received as f64 / due) * 100.0
    }
}

struct FanOut<'a> {
    contender: &'a Contender,
    server: Server,
    epoch: Instant,
    audience: Audience,
}

impl<'a> FanOut<'a> {
    async fn to_all(contender: &'a Contender) -> Self {
        let (server, epoch) = ((contender.start)(), Instant::now());
        let (audience, opening) = (Audience::new(epoch), (contender.opening)());
        for _ in 0..SUBSCRIBERS {
            audience.join(server.port, &opening).await;
        }
        let fan_out = Self { contender, server, epoch, audience };
        let mut publisher = Publisher::connect(fan_out.server.port).await;
        publisher.request(&(contender.publication)(&data_at(epoch))).await;
        let all_have_it = fan_out.audience.has_received(SUBSCRIBERS).await;
        assert!(all_have_it, "{}: all subscribe before anything is measured", contender.name);
        fan_out
    }

    /// Every event wakes everybody, and each write carries one event.
    async fn calm(&self, runs: &Runs) -> Measured {
        let moment = self.moment();
        let mut publisher = Publisher::connect(self.server.port).await;
        let mut ticks = tokio::time::interval(PAUSE);
        let events = RATE * runs.seconds as usize;
        for _ in 0..events {
            ticks.tick().await;
            publisher.request(&self.publication()).await;
        }
        self.since(moment, events).await
    }

    /// Eight publishers without a pause. At most so many events are under way, published but not with
    /// every subscriber, so that a server that drops what waits too long does not have to.
    async fn publish(&self, under_way: Option<usize>, runs: &Runs) -> Measured {
        let moment = self.moment();
        let before = self.audience.events();
        let until = Instant::now() + Duration::from_secs(runs.seconds);
        let published = Rc::new(Cell::new(0_usize));
        let mut publishers = JoinSet::new();
        for _ in 0..PUBLISHERS {
            let (audience, published) = (self.audience.clone(), published.clone());
            let (publication, epoch) = (self.contender.publication, self.epoch);
            let mut publisher = Publisher::connect(self.server.port).await;
            publishers.spawn_local(async move {
                while Instant::now() < until {
                    published.set(published.get() + 1);
                    let waiting = published.get().saturating_sub(under_way.unwrap_or(usize::MAX));
                    audience.has_received(before + waiting * SUBSCRIBERS).await;
                    publisher.request(&publication(&data_at(epoch))).await;
                }
            });
        }
        publishers.join_all().await;
        self.since(moment, published.get()).await
    }

    fn publication(&self) -> String {
        (self.contender.publication)(&data_at(self.epoch))
    }

    fn moment(&self) -> Moment {
        self.audience.take_latencies();
        Moment {
            at: Instant::now(),
            time: self.server.time(),
            events: self.audience.events(),
            cut_off: self.audience.cut_off(),
        }
    }

    /// What has happened since a moment, when all that was published is received or lost.
    async fn since(&self, moment: Moment, published: usize) -> Measured {
        self.audience.has_received(moment.events + published * SUBSCRIBERS).await;
        Measured {
            published,
            received: self.audience.events() - moment.events,
            cut_off: self.audience.cut_off() - moment.cut_off,
            elapsed: self.audience.last_received().saturating_duration_since(moment.at),
            spent: self.server.time() - moment.time,
            latencies: self.audience.take_latencies(),
        }
    }
}

/// When a measurement begins.
struct Moment {
    at: Instant,
    time: Duration,
    events: usize,
    cut_off: usize,
}

const SUBSCRIBERS: usize = 1_000;
/// Events a second on the calm channel.
const RATE: usize = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(1_000 / RATE as u64);
/// Publishers on the busy one.
const PUBLISHERS: usize = 8;
/// What the server that keeps least for a subscriber takes with room to spare.
const UNDER_WAY: usize = 64;
const MIB: f64 = 1024.0 * 1024.0;
