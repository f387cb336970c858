//! What a server does on this machine and network.

mod latencies;
mod numbers;
mod progress;
mod publisher;
mod report;
mod run;
mod subscriber;
mod usage;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use tl_client::{Client, ClientError, TransportKind};
use tl_model::Channel;

use crate::subscribe::parse_transport;
use crate::{CliError, ServerArgs, output};
use publisher::{PublishOver, Published, Publisher, Task};
use report::{Delivering, Publishing, Report};
use run::{DATA_BYTES_MIN, Mark, Run};
use subscriber::{Delivered, Subscriber};
use usage::Usage;

/// Measure what a server does here: how many events, how fast, and that none is lost.
///
/// Publishes to a running server and reads everything back, all in this process and by one clock.
/// Every event carries a number, so whatever a subscriber is not given, or is given twice, is
/// counted exactly; then the exit code is 1. Ctrl-C stops early and still tells the figures.
///
/// Without --channel the events go to a channel of their own, `bench.` and some letters. They stay
/// in the log like all others: give `bench.>` a rule in the server's configuration
/// (`retention = { age = "1h" }`) and their space comes back.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline bench
  throughline bench --server https://events.example.com --rate 1000 --subscribers 100 \\
      --subscribe-over sse --seconds 30 --json")]
pub(crate) struct Bench {
    /// How many publish at once, each over connections of its own.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = at_most(10_000))]
    publishers: u64,
    /// How many read everything; 0 to publish only.
    #[arg(long, value_name = "COUNT", default_value_t = 4,
        value_parser = clap::value_parser!(u64).range(0..=10_000))]
    subscribers: u64,
    /// Events a second that all publish together; 0: as fast as receipts allow.
    ///
    /// With a rate, time counts from when it was an event's turn.
    #[arg(long, value_name = "EVENTS", default_value_t = 0)]
    rate: u64,
    /// Bytes of data of an event.
    #[arg(long, value_name = "BYTES", default_value_t = 128,
        value_parser = clap::value_parser!(u64).range(DATA_BYTES_MIN..))]
    size: u64,
    /// How long to publish.
    #[arg(long, default_value_t = 5, value_parser = at_most(86_400))]
    seconds: u64,
    /// Publish so many events, however long it takes.
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds", value_parser = at_most(u64::MAX))]
    events: Option<u64>,
    /// How many events a publisher sends before the first of them has its receipt.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = at_most(1_000))]
    in_flight: u64,
    /// How to publish.
    #[arg(long, value_name = "TRANSPORT", value_enum, default_value_t = PublishOver::Http)]
    publish_over: PublishOver,
    /// How to read: poll, long-poll, sse, websocket, websocket-protobuf, grpc, grpc-web, connect.
    #[arg(long, value_name = "TRANSPORT", default_value = "websocket", value_parser = parse_transport)]
    subscribe_over: TransportKind,
    /// The channel to publish to; without it, one of its own.
    #[arg(long, value_name = "NAME", value_parser = parse_channel)]
    channel: Option<Channel>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What a server is put under.
#[derive(Clone, Copy, Debug, Serialize)]
struct Load {
    publishers: u64,
    subscribers: u64,
    rate: u64,
    size: u64,
    in_flight: u64,
    publish_over: &'static str,
    subscribe_over: &'static str,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let client = self.server.client()?;
        let run = Arc::new(Run::new(self.channel.as_ref().map(Channel::as_str)));
        self.reach(&client, &run).await?;
        let mut interrupts = signal(SignalKind::interrupt())?;
        output::note(&format!(
            "publishing to {}, where events stay in the log until a rule for retention removes them",
            run.channel()
        ));
        let stop = CancellationToken::new();
        let report = tokio::select! {
            report = self.measure(&client, &run, &stop) => report,
            () = interrupted(&mut interrupts, &stop) => Err(CliError::Other("interrupted".into())),
            never = progress::draw(&run) => match never {},
        };
        progress::clear();
        let report = report?;
        match self.json {
            true => output::line(&serde_json::json!(report).to_string())?,
            false => output::line(&report.table())?,
        }
        report.failure().map_or(Ok(()), |failure| Err(CliError::Other(failure)))
    }

    /// Asks for something small, so that what is wrong is told once and at once.
    async fn reach(&self, client: &Client, run: &Run) -> Result<(), CliError> {
        let channels = [run.channel().to_owned()];
        let Err(error) = client.page(&channels, "latest", None, None).await else { return Ok(()) };
        let server = &self.server.server;
        Err(match error {
            ClientError::Connection(reason) => CliError::Other(format!(
                "{server} cannot be reached: {reason}; start a server there with `throughline \
                 serve`, or name another with --server (http://… or https://…)"
            )),
            ClientError::Protocol(reason) => CliError::Other(format!(
                "{server} does not answer as a Throughline server does: {reason}"
            )),
            error => error.into(),
        })
    }

    /// Puts the load on the server until it is time to stop.
    async fn measure(
        &self,
        client: &Client,
        run: &Arc<Run>,
        stop: &CancellationToken,
    ) -> Result<Report, CliError> {
        let subscribers = (0..self.subscribers)
            .map(|_| Subscriber::attach(client, self.subscribe_over, run.clone()));
        let subscribers = some_at_a_time(subscribers).await?;
        let publishers = (0..self.publishers as u32)
            .map(|number| Publisher::connect(number, client, self.publish_over, run.clone()));
        let publishers = some_at_a_time(publishers).await?;
        let (usage, start_us) = (Usage::start(), run.now_us());
        let (mut reading, give_up) = (JoinSet::new(), CancellationToken::new());
        for subscriber in subscribers {
            reading.spawn(subscriber.run(give_up.clone()));
        }
        let published = self.publish(publishers, stop).await?;
        let cores_busy = usage.cores_busy();
        let delivered = read_the_rest(client, run, reading, &give_up).await?;
        let receipts: Vec<_> = published.iter().map(|it| it.receipts.clone()).collect();
        let mut report = Report {
            server: self.server.server.clone(),
            channel: run.channel().to_owned(),
            load: self.load(),
            published: Publishing::of(&published, start_us, self.size),
            delivered: Delivering::of(&delivered, &receipts, start_us, self.size),
            cores_busy,
            cores: usage::cores(),
            warnings: Vec::new(),
        };
        report.warn();
        Ok(report)
    }

    /// Lets all publishers do their share; returns what each has done, in their order.
    async fn publish(
        &self,
        publishers: Vec<Publisher>,
        stop: &CancellationToken,
    ) -> Result<Vec<Published>, CliError> {
        let start = Instant::now();
        let mut publishing = JoinSet::new();
        for (number, publisher) in publishers.into_iter().enumerate() {
            let run = publisher.run(self.task(start, number as u64), stop.clone());
            publishing.spawn(async move { (number, run.await) });
        }
        let mut published = Vec::new();
        while !publishing.is_empty() {
            let overdue = async {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.time(start) => stop.cancel(),
                }
                tokio::time::sleep(PATIENCE).await;
            };
            let joined = tokio::select! {
                joined = publishing.join_next() => joined,
                () = overdue => return Err(CliError::Other(format!(
                    "the server owes receipts for {PATIENCE:?}: is it still running?"
                ))),
            };
            let (number, done) = joined.expect("there are some").map_err(failed)?;
            published.push((number, done?));
        }
        published.sort_unstable_by_key(|(number, _)| *number);
        Ok(published.into_iter().map(|(_, published)| published).collect())
    }

    fn task(&self, start: Instant, publisher: u64) -> Task {
        let publishers = self.publishers;
        let share = |events: u64| events / publishers + u64::from(publisher < events % publishers);
        Task {
            start,
            events: self.events.map_or(u64::MAX, share),
            in_flight: self.in_flight as usize,
            size: self.size as usize,
            publishers: publishers as u32,
            rate: self.rate,
        }
    }

    /// Lets the time to publish pass.
    async fn time(&self, start: Instant) {
        match self.events {
            Some(_) => std::future::pending().await,
            None => tokio::time::sleep_until(start + Duration::from_secs(self.seconds)).await,
        }
    }

    fn load(&self) -> Load {
        Load {
            publishers: self.publishers,
            subscribers: self.subscribers,
            rate: self.rate,
            size: self.size,
            in_flight: self.in_flight,
            publish_over: self.publish_over.as_str(),
            subscribe_over: self.subscribe_over.as_str(),
        }
    }
}

/// Has all subscribers read up to the end of the run, for as long as anything comes.
async fn read_the_rest(
    client: &Client,
    run: &Run,
    mut reading: JoinSet<Result<Delivered, ClientError>>,
    give_up: &CancellationToken,
) -> Result<Vec<Delivered>, CliError> {
    if !reading.is_empty() {
        // In the one order of the log it comes after everything that has a receipt.
        let id = run.event_id(u32::MAX, 0);
        let data = run.data(Mark::End, 0);
        client.publish_raw(run.channel(), &id, "application/json", data).await?;
    }
    let mut delivered = Vec::new();
    loop {
        let before = run.deliveries();
        match timeout(PATIENCE, reading.join_next()).await {
            Ok(None) => return Ok(delivered),
            Ok(Some(joined)) => delivered.push(joined.map_err(failed)??),
            Err(_) if run.deliveries() == before => give_up.cancel(),
            Err(_) => {}
        }
    }
}

/// Does all of it, but no more at once than a server accepts without a pause.
async fn some_at_a_time<T>(
    all: impl Iterator<Item = impl Future<Output = Result<T, ClientError>>>,
) -> Result<Vec<T>, ClientError> {
    stream::iter(all).buffered(CONNECTING_MAX).try_collect().await
}

/// Stops publishing at the first Ctrl-C, and returns at the second.
async fn interrupted(interrupts: &mut Signal, stop: &CancellationToken) {
    interrupts.recv().await;
    progress::clear();
    output::note("stopping; Ctrl-C again to give up");
    stop.cancel();
    interrupts.recv().await;
}

fn failed(error: JoinError) -> CliError {
    CliError::Other(error.to_string())
}

fn parse_channel(text: &str) -> Result<Channel, String> {
    Channel::parse(text).map_err(|error| error.to_string())
}

fn at_most(most: u64) -> clap::builder::RangedU64ValueParser {
    clap::builder::RangedU64ValueParser::new().range(1..=most)
}

/// How long nothing may come before nothing is expected any more: longer than any poll's interval.
const PATIENCE: Duration = Duration::from_secs(30);
/// Below the backlog of every usual listener.
const CONNECTING_MAX: usize = 64;
