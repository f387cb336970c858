use clap::Args;

use tl_client::{Client, Subscribe as Subscription, TransportKind};
use tl_model::{After, Position};

use super::read::documents;
use crate::subscribe::{Output, Printer, parse_transport};
use crate::{CliError, ServerArgs};

/// Print the documents of channels, then every change as it comes.
///
/// A deleted document is an event without data that says `deleted`. If the connection is lost it is
/// made again, and no change is missed. On the way out the cursor to go on from is told: with --after
/// only the changes since then are printed, over any transport.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline state watch orders.42 --output data
  throughline state watch 'orders.*'
  throughline state watch 'orders.*' --after 1qj994h4cwd9p12 --transport sse")]
pub(super) struct Watch {
    /// Channels and patterns: orders.42, 'orders.*' (one token), 'orders.>' (all that follows).
    #[arg(required = true)]
    channels: Vec<String>,
    /// Print only what changes behind this cursor; or `latest`.
    #[arg(long)]
    after: Option<After>,
    /// How to read: poll, long-poll, sse, websocket, websocket-protobuf, grpc, grpc-web, connect.
    #[arg(short, long, default_value = "websocket", value_parser = parse_transport)]
    transport: TransportKind,
    /// What to print of each document.
    #[arg(short, long, value_enum, default_value_t = Output::Event)]
    output: Output,
    /// Stop after so many documents and changes.
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    #[command(flatten)]
    server: ServerArgs,
}

impl Watch {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let client = self.server.client()?;
        let mut printer = Printer::new(self.output, self.count);
        let result = tokio::select! {
            result = self.print(&client, &mut printer) => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        printer.tell_place();
        result
    }

    async fn print(&self, client: &Client, printer: &mut Printer) -> Result<(), CliError> {
        let after = match self.after {
            Some(after) => after,
            None => After::Position(self.print_present(client, printer).await?),
        };
        let subscription = Subscription::to(&self.channels).after(after).over(self.transport);
        printer.follow(&mut client.subscribe(subscription)).await
    }

    /// Prints the documents there are, up to the end that the log has now; whatever comes behind it is
    /// a change. So nothing that is deleted meanwhile is missed.
    async fn print_present(
        &self,
        client: &Client,
        printer: &mut Printer,
    ) -> Result<Position, CliError> {
        let page = client.page(&self.channels, "latest", None, None).await?;
        let end = page.map(|page| page.next).ok_or_else(no_page)?;
        let mut after = "earliest".to_owned();
        loop {
            let page = documents(client, &self.channels, &after).await?;
            for document in page.events.iter().filter(|it| it.at.offset <= end.offset) {
                if printer.is_done() {
                    return Ok(end);
                }
                printer.print(document)?;
            }
            if page.caught_up || page.next.offset >= end.offset {
                printer.reached(end);
                return Ok(end);
            }
            after = page.next.cursor().to_string();
        }
    }
}

fn no_page() -> CliError {
    CliError::Other("the server said that a page has not changed that was never read".into())
}
