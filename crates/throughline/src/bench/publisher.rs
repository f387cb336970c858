use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use tl_client::{Client, ClientError, Draft, Protocol, PublishOptions, Receipt, Session};
use tl_model::{Error, ErrorCode, Form};

use super::latencies::Latencies;
use super::numbers::Numbers;
use super::run::{Mark, Run};

/// How to publish.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum PublishOver {
    /// A request for each event.
    Http,
    /// A WebSocket session with frames in JSON.
    Websocket,
    /// A WebSocket session with frames in protobuf.
    WebsocketProtobuf,
    /// A gRPC call for each event.
    Grpc,
    /// A gRPC-Web call for each event.
    GrpcWeb,
    /// A call of the Connect protocol for each event.
    Connect,
}

/// Publishes one share of the events over connections of its own.
pub(super) struct Publisher {
    publisher: u32,
    way: Way,
    run: Arc<Run>,
}

/// What a publisher is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) start: Instant,
    /// How many events it publishes, unless it is stopped before.
    pub(super) events: u64,
    pub(super) in_flight: usize,
    pub(super) size: usize,
    /// How many publishers there are.
    pub(super) publishers: u32,
    /// Events a second that all publishers are to publish together; 0 for no limit.
    pub(super) rate: u64,
}

/// What a publisher has done.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The events that have a receipt.
    pub(super) receipts: Numbers,
    pub(super) refused: u64,
    /// Why the last one was.
    pub(super) refusal: Option<String>,
    pub(super) latencies: Latencies,
    /// When the last receipt came.
    pub(super) last_us: u64,
}

enum Way {
    Calls(Client),
    Http(Client),
    Session(Session),
}

/// What became of an event.
enum Answer {
    Receipt { number: u64, sent_us: u64 },
    Refused(Error),
}

impl PublishOver {
    /// Its name on the command line.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Websocket => "websocket",
            Self::WebsocketProtobuf => "websocket-protobuf",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
            Self::Connect => "connect",
        }
    }
}

impl Publisher {
    /// Connects, so that the first event need not.
    pub(super) async fn connect(
        publisher: u32,
        client: &Client,
        over: PublishOver,
        run: Arc<Run>,
    ) -> Result<Self, ClientError> {
        let connected = async |protocol| {
            let client = client.apart()?.over(protocol);
            client.page(&[run.channel().to_owned()], "latest", None, None).await?;
            Ok::<_, ClientError>(client)
        };
        let way = match over {
            PublishOver::Http => Way::Http(connected(Protocol::Http).await?),
            // It has a connection of its own, which the first event makes.
            PublishOver::Grpc => Way::Calls(connected(Protocol::Grpc).await?),
            PublishOver::GrpcWeb => Way::Calls(connected(Protocol::GrpcWeb).await?),
            PublishOver::Connect => Way::Calls(connected(Protocol::Connect).await?),
            PublishOver::Websocket => Way::Session(client.session(Form::Json).await?),
            PublishOver::WebsocketProtobuf => Way::Session(client.session(Form::Protobuf).await?),
        };
        Ok(Self { publisher, way, run })
    }

    /// Publishes until it has done its share or is stopped, and waits for what is under way.
    pub(super) async fn run(
        self,
        task: Task,
        stop: CancellationToken,
    ) -> Result<Published, ClientError> {
        let mut published = Published::default();
        let mut under_way = FuturesUnordered::new();
        let mut next = 0;
        while next < task.events {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(answer) = under_way.next() => published.take(answer?, &self.run),
                () = task.turn(self.publisher, next), if under_way.len() < task.in_flight => {
                    under_way.push(self.publish(task, next));
                    next += 1;
                }
            }
        }
        while let Some(answer) = under_way.next().await {
            published.take(answer?, &self.run);
        }
        Ok(published)
    }

    async fn publish(&self, task: Task, number: u64) -> Result<Answer, ClientError> {
        let sent_us = self.run.time_us(task.sent_at(self.publisher, number).into_std());
        let mark = Mark::Event { publisher: self.publisher, number, sent_us };
        let data = self.run.data(mark, task.size);
        let (channel, id) = (self.run.channel(), self.run.event_id(self.publisher, number));
        let draft = |id, data| Draft {
            id: Some(id),
            data_content_type: Some(JSON.to_owned()),
            data: Some(data),
            ..Draft::default()
        };
        let answer = match &self.way {
            Way::Calls(client) => client.publish(channel, &draft(id, data)).await,
            Way::Http(client) => client.publish_raw(channel, &id, JSON, data).await,
            Way::Session(session) => {
                let event = draft(id, data);
                let receipts = session.publish(channel, vec![event], PublishOptions::default());
                receipts.await.and_then(only_one)
            }
        };
        match answer {
            Ok(_) => Ok(Answer::Receipt { number, sent_us }),
            Err(ClientError::Refused(error)) if error.code.is_retryable() => {
                // Who is asked to slow down does.
                tokio::time::sleep(error.retry_after.unwrap_or_default().min(PAUSE_MAX)).await;
                Ok(Answer::Refused(error))
            }
            Err(error) => Err(error),
        }
    }
}

impl Task {
    /// When it is an event's turn to be published, if there are turns; the publishers take them in
    /// their order.
    fn due(self, publisher: u32, number: u64) -> Option<Instant> {
        if self.rate == 0 {
            return None;
        }
        let before = number * u64::from(self.publishers) + u64::from(publisher);
        Some(self.start + Duration::from_secs_f64(before as f64 / self.rate as f64))
    }

    async fn turn(self, publisher: u32, number: u64) {
        if let Some(due) = self.due(publisher, number) {
            tokio::time::sleep_until(due).await;
        }
    }

    /// From when on an event's time counts: from its turn if it had to wait for others, so that a
    /// server that stalls is not measured by the one event that noticed.
    fn sent_at(self, publisher: u32, number: u64) -> Instant {
        let now = Instant::now();
        let due = self.due(publisher, number);
        due.filter(|due| *due + TIMER_GRAIN < now).unwrap_or(now)
    }
}

impl Published {
    fn take(&mut self, answer: Answer, run: &Run) {
        match answer {
            Answer::Receipt { number, sent_us } => {
                self.receipts.insert(number);
                self.last_us = run.now_us();
                self.latencies.record(self.last_us.saturating_sub(sent_us));
                run.count_receipt();
            }
            Answer::Refused(error) => {
                self.refused += 1;
                self.refusal = Some(error.to_string());
            }
        }
    }
}

/// The receipt of one event, or why it has none.
fn only_one(mut receipts: Vec<Receipt>) -> Result<Receipt, ClientError> {
    let senseless = || ClientError::Protocol("one event did not get one receipt".into());
    let receipt = receipts.pop().ok_or_else(senseless)?;
    let Some(problem) = receipt.error.as_option() else { return Ok(receipt) };
    let code: ErrorCode = problem.code.parse().map_err(|()| senseless())?;
    let error = Error::new(code, problem.detail.clone());
    Err(ClientError::Refused(match problem.retry_after_ms {
        Some(wait) => error.retry_after(Duration::from_millis(wait.into())),
        None => error,
    }))
}

const JSON: &str = "application/json";
/// Timers wake up as late as that without anybody being late.
const TIMER_GRAIN: Duration = Duration::from_millis(3);
/// A run is short: it does not wait as long as a server may ask.
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn task(rate: u64) -> Task {
        let (start, publishers) = (Instant::now(), 4);
        Task { start, events: 1, in_flight: 1, size: 128, publishers, rate }
    }

    #[test]
    fn publishers_take_turns_at_the_rate_asked_for() {
        let task = task(100);
        let turns = [(0, 0), (1, 0), (3, 0), (0, 1), (2, 25)];
        let dues = turns.map(|(publisher, number)| {
            let due = task.due(publisher, number).expect("there is a rate");
            (due - task.start).as_millis()
        });
        assert_eq!(dues, [0, 10, 30, 40, 1_020]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_had_to_wait_counts_from_its_turn() {
        let (paced, free) = (task(10), task(0));
        tokio::time::advance(Duration::from_millis(101)).await;
        let now = Instant::now();
        assert_eq!(paced.sent_at(0, 0), paced.start, "it is a tenth of a second late");
        assert_eq!(paced.sent_at(1, 0), now, "it is as late as a timer");
        assert_eq!(free.sent_at(0, 0), now, "it has no turn");
    }
}
