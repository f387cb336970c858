use clap::{Args, ValueEnum};

use tl_client::{Received, Subscribe as Subscription, TransportKind, Update};
use tl_model::{After, Position};
use tl_wire::json;

use crate::{CliError, ServerArgs, output};

/// Read events and print them, one a line.
///
/// Reading begins with the oldest event kept, or behind --after, and goes on with what comes live.
/// If the connection is lost it is made again, and reading goes on where it was. On the way out the
/// cursor to go on from is told: it is good for any transport.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline subscribe orders.eu
  throughline subscribe 'orders.>' chat.lobby --after latest
  throughline subscribe orders.eu --transport sse --after 1014d2pf2dby63c1s
  throughline subscribe orders.eu --transport grpc
  throughline subscribe orders.eu --output data --count 10")]
pub(crate) struct Subscribe {
    /// Channels and patterns: orders.eu, orders.* (one token), 'orders.>' (all that follows).
    #[arg(required = true)]
    channels: Vec<String>,
    /// Begin behind this cursor; or `earliest`, or `latest`.
    #[arg(long, default_value = "earliest")]
    after: After,
    /// How to read: poll, long-poll, sse, websocket, websocket-protobuf, grpc, grpc-web, connect.
    #[arg(short, long, default_value = "websocket", value_parser = parse_transport)]
    transport: TransportKind,
    /// What to print of each event.
    #[arg(short, long, value_enum, default_value_t = Output::Event)]
    output: Output,
    /// Stop after so many events.
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    /// Stop when all there is has been read.
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What to print of an event.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Output {
    /// The whole event, in the CloudEvents JSON format.
    Event,
    /// Its data.
    Data,
    /// Its cursor.
    Cursor,
}

/// Prints events, counts them, and knows where to go on.
#[derive(Debug)]
pub(crate) struct Printer {
    output: Output,
    /// How many are still to be printed, if that is limited.
    left: Option<u64>,
    stops_at_end: bool,
    place: Option<Position>,
}

impl Subscribe {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let client = self.server.client()?;
        let subscription = Subscription::to(&self.channels).after(self.after).over(self.transport);
        let mut updates = client.subscribe(subscription);
        let mut printer = Printer::new(self.output, self.count);
        printer.stops_at_end = self.no_follow;
        let result = tokio::select! {
            result = printer.follow(&mut updates) => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        printer.tell_place();
        result
    }
}

impl Printer {
    pub(crate) fn new(output: Output, count: Option<u64>) -> Self {
        Self { output, left: count, stops_at_end: false, place: None }
    }

    /// Prints what a subscription brings.
    pub(crate) async fn follow(
        &mut self,
        updates: &mut tl_client::Subscription,
    ) -> Result<(), CliError> {
        while !self.is_done() {
            let Some(update) = updates.next().await else { break };
            match update? {
                Update::CaughtUp(_) if self.stops_at_end => break,
                Update::CaughtUp(_) => {}
                Update::Disconnected { reason, retry_in } => {
                    output::note(&format!("{reason}; trying again in {retry_in:.1?}"));
                }
                Update::Event(event) => {
                    self.print(&event)?;
                    self.reached(event.at);
                }
                Update::Gap { after, through } => {
                    let (after, through) = (after.cursor(), through.cursor());
                    output::note(&format!("gap: events after {after} through {through} are gone"));
                }
            }
        }
        Ok(())
    }

    /// Prints an event, and counts it.
    pub(crate) fn print(&mut self, event: &Received) -> Result<(), CliError> {
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.output.print(event)
    }

    /// Whether as many have been printed as are wanted.
    pub(crate) fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// All up to this place has been printed.
    pub(crate) fn reached(&mut self, place: Position) {
        self.place = Some(place);
    }

    /// Says where to go on.
    pub(crate) fn tell_place(&self) {
        if let Some(place) = self.place {
            output::note(&format!("to go on: --after {}", place.cursor()));
        }
    }
}

impl Output {
    /// Prints this much of an event.
    pub(crate) fn print(self, received: &Received) -> Result<(), CliError> {
        let printed = match self {
            Self::Event => output::bytes(&json::received(received)),
            Self::Data => output::bytes(&received.event.data().unwrap_or_default()),
            Self::Cursor => output::line(&received.at.cursor()),
        };
        Ok(printed?)
    }
}

/// The transport of a name.
pub(crate) fn parse_transport(text: &str) -> Result<TransportKind, String> {
    text.parse().map_err(|error: tl_client::ClientError| error.to_string())
}
