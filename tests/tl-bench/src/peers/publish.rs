//! Publishing over 64 connections, each waiting for its receipt before it publishes again.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::audience::data_at;
use super::nats::StreamPublisher;
use super::postgresql::RowPublisher;
use super::publisher::Publisher;
use super::server::Server;
use super::{asked, centrifugo, mercure, nats, nchan, on_the_load_core, ours, postgresql, sockudo};
use crate::Runs;
use crate::figures::Figures;

/// Measures all servers, one after the other.
pub(crate) fn run(runs: &Runs) -> Figures {
    let mut figures = Figures::default();
    let mut first = None;
    for log in asked(LOGS, |it| it.name) {
        let rate = on_the_load_core(measure(log, runs, &mut figures));
        let first = *first.get_or_insert(rate);
        figures.note(format!("{}: receipts/s of the first for one of it", log.name), first / rate);
    }
    figures
}

/// Who gives receipts.
struct Log {
    /// The server's name, and what a receipt of it means.
    name: &'static str,
    start: fn() -> Server,
    protocol: Protocol,
}

/// How it is published to.
#[derive(Clone, Copy)]
enum Protocol {
    /// By a request that holds this data.
    Http(fn(data: &str) -> String),
    /// As a message of a stream.
    Nats,
    /// As a row.
    PostgreSql,
}

/// Ours, which all are compared to, then those that sync, then those that do not.
const LOGS: &[Log] = &[
    Log::http("throughline, synced", ours::start, ours::publication),
    Log::http("mercure, synced", mercure::start_with_bolt, mercure::publication),
    Log { name: "nats, synced", start: nats::start_syncing_always, protocol: Protocol::Nats },
    Log { name: "postgresql, synced", start: postgresql::start, protocol: Protocol::PostgreSql },
    Log { name: "nats, not synced", start: nats::start_syncing_seldom, protocol: Protocol::Nats },
    Log::http("centrifugo, in memory", centrifugo::start, centrifugo::publication),
    Log::http("nchan, in memory", nchan::start, nchan::publication),
    Log::http("sockudo, in memory", sockudo::start, sockudo::publication),
];

impl Log {
    const fn http(
        name: &'static str,
        start: fn() -> Server,
        publication: fn(&str) -> String,
    ) -> Self {
        Self { name, start, protocol: Protocol::Http(publication) }
    }
}

async fn measure(log: &Log, runs: &Runs, figures: &mut Figures) -> f64 {
    let server = (log.start)();
    let mut connections = Vec::new();
    for number in 0..PUBLISHERS {
        connections.push(Connection::open(server.port, log.protocol, number).await);
    }
    let (connections, _) = publish_for(WARM_UP, connections).await;
    let (begun, before) = (Instant::now(), server.time());
    let time = Duration::from_secs(runs.seconds);
    let (_, latencies) = publish_for(time, connections).await;
    let (elapsed, spent) = (begun.elapsed(), server.time() - before);
    let receipts = latencies.len() as f64;
    let rate = receipts / elapsed.as_secs_f64();
    figures.note(format!("{}: receipts/s", log.name), rate);
    let each = spent.as_secs_f64() * 1e6 / receipts;
    figures.note(format!("{}: server's processor time for a receipt, µs", log.name), each);
    figures.note_latencies(&format!("{}: to the receipt", log.name), latencies);
    rate
}

/// Publishes for a while on all connections. Returns them, and how long each receipt took, in microseconds.
async fn publish_for(time: Duration, connections: Vec<Connection>) -> (Vec<Connection>, Vec<u32>) {
    let until = Instant::now() + time;
    let mut publishers = JoinSet::new();
    for mut connection in connections {
        publishers.spawn_local(async move {
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let begun = Instant::now();
                connection.publish(&data_at(begun)).await;
                latencies.push(begun.elapsed().as_micros() as u32);
            }
            (connection, latencies)
        });
    }
    let (connections, latencies): (_, Vec<_>) = publishers.join_all().await.into_iter().unzip();
    (connections, latencies.concat())
}

/// A publisher's.
enum Connection {
    Http(Publisher, fn(data: &str) -> String),
    Nats(StreamPublisher),
    PostgreSql(RowPublisher),
}

impl Connection {
    async fn open(port: u16, protocol: Protocol, number: usize) -> Self {
        match protocol {
            Protocol::Http(publication) => Self::Http(Publisher::connect(port).await, publication),
            Protocol::Nats => Self::Nats(StreamPublisher::connect(port, number).await),
            Protocol::PostgreSql => Self::PostgreSql(RowPublisher::connect(port).await),
        }
    }

    async fn publish(&mut self, data: &str) {
        match self {
            Self::Http(publisher, publication) => publisher.request(&publication(data)).await,
            Self::Nats(publisher) => publisher.publish(data).await,
            Self::PostgreSql(publisher) => publisher.publish(data).await,
        }
    }
}

const PUBLISHERS: usize = 64;
/// Until connections stand and the first files are there.
const WARM_UP: Duration = Duration::from_secs(1);
