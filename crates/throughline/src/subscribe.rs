use clap::{Args, ValueEnum};

use tl_client::{Received, Subscribe as Subscription, TransportKind, Update};
use tl_model::After;
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
  throughline subscribe orders.eu --output data --count 10")]
pub(crate) struct Subscribe {
    /// Channels and patterns: orders.eu, orders.* (one token), 'orders.>' (all that follows).
    #[arg(required = true)]
    channels: Vec<String>,
    /// Begin behind this cursor; or `earliest`, or `latest`.
    #[arg(long, default_value = "earliest")]
    after: After,
    /// How to read: poll, long-poll, sse, websocket, websocket-protobuf.
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// The whole event, in the CloudEvents JSON format.
    Event,
    /// Its data.
    Data,
    /// Its cursor.
    Cursor,
}

impl Subscribe {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let client = self.server.client()?;
        let subscription = Subscription::to(&self.channels).after(self.after).over(self.transport);
        let mut updates = client.subscribe(subscription);
        let mut last = None;
        let result = tokio::select! {
            result = self.print(&mut updates, &mut last) => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        if let Some(cursor) = last {
            output::note(&format!("to go on: --after {cursor}"));
        }
        result
    }

    async fn print(
        &self,
        updates: &mut tl_client::Subscription,
        last: &mut Option<String>,
    ) -> Result<(), CliError> {
        let mut printed = 0;
        while self.count.is_none_or(|count| printed < count) {
            let Some(update) = updates.next().await else { break };
            match update? {
                Update::CaughtUp(_) if self.no_follow => break,
                Update::CaughtUp(_) => {}
                Update::Disconnected { reason, retry_in } => {
                    output::note(&format!("{reason}; trying again in {retry_in:.1?}"));
                }
                Update::Event(event) => {
                    self.print_event(&event)?;
                    *last = Some(event.at.cursor().to_string());
                    printed += 1;
                }
                Update::Gap { after, through } => {
                    let (after, through) = (after.cursor(), through.cursor());
                    output::note(&format!("gap: events after {after} through {through} are gone"));
                }
            }
        }
        Ok(())
    }

    fn print_event(&self, received: &Received) -> Result<(), CliError> {
        let printed = match self.output {
            Output::Event => output::bytes(&json::received(received)),
            Output::Data => output::bytes(&received.event.data().unwrap_or_default()),
            Output::Cursor => output::line(&received.at.cursor()),
        };
        Ok(printed?)
    }
}

/// The transport of a name.
pub(crate) fn parse_transport(text: &str) -> Result<TransportKind, String> {
    text.parse().map_err(|error: tl_client::ClientError| error.to_string())
}
