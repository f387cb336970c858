use std::io::Read;
use std::path::PathBuf;

use clap::Args;

use tl_client::{Condition, Draft, Receipt};

use crate::write::{self, WriteArgs};
use crate::{CliError, ServerArgs, output};

/// Replace the document of a channel, or make its first.
///
/// Without DATA and --file, all of standard input is the document. What is JSON is stored as JSON,
/// other text as text. The cursor of the new document is printed once it is durable.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline state put orders.42 '{\"status\": \"new\"}'
  throughline state put orders.42 '{\"status\": \"new\"}' --if-absent
  throughline state put orders.42 '{\"status\": \"paid\"}' --if-match 1qj994h4cwd9p11
  throughline state put pictures.ada --file ada.png --content-type image/png
  jq .order export.json | throughline state put orders.42 --idempotency-key import-42")]
pub(super) struct Put {
    /// The channel, such as orders.42.
    channel: String,
    /// The document; `-` for standard input.
    data: Option<String>,
    /// Take the document from a file.
    #[arg(short, long, value_name = "FILE", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// What kind of thing it is (CloudEvents type).
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// The media type of the document.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Put it only if the channel has no document.
    #[arg(long, conflicts_with = "if_match")]
    if_absent: bool,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Change the members of a document that a JSON merge patch names.
///
/// Members are replaced, objects are merged, and what is `null` is removed (RFC 7396). Whatever the
/// patch does not name stays as it is, to the digit, and so do the document's type and other
/// attributes. The document must be JSON. What others change at the same time is kept, too; with
/// --if-match, the change is refused instead. The cursor of the new document is printed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline state patch orders.42 '{\"status\": \"paid\"}'
  throughline state patch orders.42 '{\"customer\": {\"phone\": null}}'
  throughline state patch orders.42 '{\"total\": 13}' --if-match 1qj994h4cwd9p11")]
pub(super) struct Patch {
    /// The channel, such as orders.42.
    channel: String,
    /// What to change; `-` for standard input.
    patch: String,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Delete the document of a channel.
///
/// Subscribers get an event without data that says so (`deleted`). What was there before stays in the
/// log for as long as the channel's rules keep it. The cursor of that event is printed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline state delete orders.42
  throughline state delete orders.42 --if-match 1qj994h4cwd9p11")]
pub(super) struct Delete {
    /// The channel, such as orders.42.
    channel: String,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl Put {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let client = self.server.client()?;
        let data = match (&self.data, &self.file) {
            (_, Some(path)) => std::fs::read(path)
                .map_err(|source| CliError::File { path: path.display().to_string(), source })?,
            (Some(data), None) => given(data)?,
            (None, None) => standard_input()?,
        };
        let content_type = self.content_type.clone();
        let content_type = content_type.unwrap_or_else(|| write::media_type(&data).to_owned());
        let document = Draft {
            event_type: self.event_type.clone(),
            data_content_type: Some(content_type),
            data: Some(data.into()),
            ..Draft::default()
        };
        let mut options = self.write.options();
        if self.if_absent {
            options.condition = Condition::Absent;
        }
        let receipt = client.put_state(&self.channel, &document, &options).await;
        print(&receipt.map_err(|error| write::explain(error, &self.channel))?)
    }
}

impl Patch {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let client = self.server.client()?;
        let (patch, options) = (given(&self.patch)?, self.write.options());
        let receipt = client.patch_state(&self.channel, patch, &options).await;
        print(&receipt.map_err(|error| write::explain(error, &self.channel))?)
    }
}

impl Delete {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let options = self.write.options();
        let receipt = self.server.client()?.delete_state(&self.channel, &options).await;
        print(&receipt.map_err(|error| write::explain(error, &self.channel))?)
    }
}

/// An argument's bytes, or those of standard input in its place.
fn given(data: &str) -> Result<Vec<u8>, CliError> {
    match data {
        "-" => standard_input(),
        data => Ok(data.as_bytes().to_vec()),
    }
}

fn standard_input() -> Result<Vec<u8>, CliError> {
    let mut data = Vec::new();
    std::io::stdin().lock().read_to_end(&mut data)?;
    Ok(data)
}

fn print(receipt: &Receipt) -> Result<(), CliError> {
    Ok(output::line(&receipt.cursor)?)
}
