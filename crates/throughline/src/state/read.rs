use clap::Args;

use tl_client::Client;

use crate::subscribe::Output;
use crate::{CliError, ServerArgs, output};

/// Print the document of a channel.
///
/// Its data is printed as it was written, on standard output; its cursor, for --if-match, on standard
/// error. If there is no document, or it was deleted, the command fails.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline state get orders.42
  throughline state get orders.42 --output event
  cursor=$(throughline state get orders.42 --output cursor)")]
pub(super) struct Get {
    /// The channel, such as orders.42.
    channel: String,
    /// What to print of the document.
    #[arg(short, long, value_enum, default_value_t = Output::Data)]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

/// Print the documents of channels, one a line.
///
/// Deleted documents are left out. They are read page by page: what changes meanwhile may be printed
/// twice, the later one last.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline state list 'orders.*'
  throughline state list 'orders.>' customers.7 --output data")]
pub(super) struct List {
    /// Channels and patterns: orders.42, 'orders.*' (one token), 'orders.>' (all that follows).
    #[arg(required = true)]
    channels: Vec<String>,
    /// What to print of each document.
    #[arg(short, long, value_enum, default_value_t = Output::Event)]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

impl Get {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let document = self.server.client()?.state(&self.channel).await?;
        let document = document.ok_or_else(|| {
            let channel = &self.channel;
            CliError::Other(format!(
                "{channel} has no document: none was made, or it was deleted; make one with \
                 `throughline state put {channel} DATA`"
            ))
        })?;
        self.output.print(&document)?;
        if !matches!(self.output, Output::Cursor) {
            output::note(&format!(
                "to change this and nothing newer: --if-match {}",
                document.at.cursor()
            ));
        }
        Ok(())
    }
}

impl List {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let client = self.server.client()?;
        let mut after = "earliest".to_owned();
        loop {
            let page = documents(&client, &self.channels, &after).await?;
            for document in &page.events {
                self.output.print(document)?;
            }
            if page.caught_up {
                return Ok(());
            }
            after = page.next.cursor().to_string();
        }
    }
}

/// The next page of documents.
pub(super) async fn documents(
    client: &Client,
    channels: &[String],
    after: &str,
) -> Result<tl_client::Page, CliError> {
    Ok(client.documents(channels, after, Some(DOCUMENTS_AT_ONCE)).await?)
}

/// As many as the server gives.
const DOCUMENTS_AT_ONCE: usize = tl_model::limits::PAGE_EVENTS_MAX;
