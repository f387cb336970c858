use std::path::PathBuf;

use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader};

use tl_client::{
    ChangeOptions, Client, ClientError, Condition, Draft, Protocol, PublishOptions, Receipt,
};
use tl_model::limits::BATCH_EVENTS_MAX;

use crate::write::{self, WriteArgs};
use crate::{CliError, ServerArgs, output};

/// Publish events to a channel.
///
/// Each DATA is one event. Without DATA and --file, each line of standard input is one. What is JSON
/// is published as JSON, other text as text. The cursor of each event is printed once it is durable.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline publish orders.eu '{\"total\": 12.50}'
  throughline publish orders.eu --type order.created --subject 42 '{\"total\": 12.50}'
  throughline publish pictures --file cat.png --content-type image/png
  tail -f access.log | throughline publish logs.web
  throughline publish chat.lobby.typing --ephemeral '\"ada\"'
  throughline publish payments '{\"amount\": 5}' --idempotency-key payment-17
  throughline publish orders.eu '{\"total\": 3}' --if-match 1qj994h4cwd9p11
  throughline publish orders.eu '{\"total\": 4}' --transport grpc")]
pub(crate) struct Publish {
    /// The channel, such as orders.eu.
    channel: String,
    /// The data of an event.
    data: Vec<String>,
    /// Publish the content of a file as one event; may be given several times.
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// What kind of thing happened (CloudEvents type).
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Where it happened (CloudEvents source).
    #[arg(long)]
    source: Option<String>,
    /// What it happened to (CloudEvents subject).
    #[arg(long)]
    subject: Option<String>,
    /// The event's id; only for a single event.
    #[arg(long)]
    id: Option<String>,
    /// The media type of the data.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// All events or none.
    #[arg(long)]
    atomic: bool,
    /// Pass the events to whoever is subscribed right now, without logging them.
    #[arg(long)]
    ephemeral: bool,
    /// Publish only if the channel has no event yet, or a deleted document.
    #[arg(long, conflicts_with = "if_match")]
    if_absent: bool,
    /// How to publish: http, grpc, grpc-web, connect.
    #[arg(short, long, default_value = "http", value_parser = parse_protocol)]
    transport: Protocol,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl Publish {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let client = self.server.client()?.over(self.transport);
        if self.data.is_empty() && self.file.is_empty() {
            return match self.options() {
                PublishOptions { condition: Condition::Any, idempotency_key: None, .. } => {
                    self.publish_lines(&client).await
                }
                _ => Err(one_request()),
            };
        }
        let mut events: Vec<_> = self.data.iter().map(|data| self.event(data.as_bytes())).collect();
        for path in &self.file {
            let data = std::fs::read(path)
                .map_err(|source| CliError::File { path: path.display().to_string(), source })?;
            events.push(self.event(&data));
        }
        if self.id.is_some() && events.len() > 1 {
            return Err(CliError::Other("--id is only for a single event".into()));
        }
        self.publish_batch(&client, &events).await
    }

    /// Whatever lines have come while the last batch was on its way make the next one.
    async fn publish_lines(&self, client: &Client) -> Result<(), CliError> {
        let (sender, mut lines) = tokio::sync::mpsc::channel(BATCH_EVENTS_MAX);
        let reading = tokio::spawn(async move {
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            while let Some(line) = lines.next_line().await? {
                if sender.send(line).await.is_err() {
                    break;
                }
            }
            Ok::<_, std::io::Error>(())
        });
        let mut batch = Vec::new();
        while lines.recv_many(&mut batch, LINES_BATCH).await > 0 {
            let lines = batch.drain(..).filter(|line| !line.is_empty());
            let events: Vec<_> = lines.map(|line| self.event(line.as_bytes())).collect();
            if !events.is_empty() {
                self.publish_batch(client, &events).await?;
            }
        }
        reading.await.map_err(|error| CliError::Other(error.to_string()))??;
        Ok(())
    }

    async fn publish_batch(&self, client: &Client, events: &[Draft]) -> Result<(), CliError> {
        let receipts = client.publish_batch(&self.channel, events, self.options()).await;
        let receipts = receipts.map_err(|error| write::explain(error, &self.channel))?;
        let mut refused = Vec::new();
        for receipt in &receipts {
            refused.extend(print(receipt)?);
        }
        let Some(first) = refused.first() else { return Ok(()) };
        let hint = first.parse().ok().and_then(|code| write::hint(code, &self.channel));
        let hint = hint.map_or_else(String::new, |hint| format!("\n{hint}"));
        let (count, all) = (refused.len(), receipts.len());
        Err(CliError::Other(format!("{count} of {all} events refused{hint}")))
    }

    fn options(&self) -> PublishOptions {
        let ChangeOptions { condition, idempotency_key } = self.write.options();
        let condition = if self.if_absent { Condition::Absent } else { condition };
        let (atomic, ephemeral) = (self.atomic, self.ephemeral);
        PublishOptions { atomic, ephemeral, condition, idempotency_key }
    }

    fn event(&self, data: &[u8]) -> Draft {
        let content_type = self.content_type.clone();
        let content_type = content_type.unwrap_or_else(|| write::media_type(data).to_owned());
        Draft {
            id: self.id.clone(),
            source: self.source.clone(),
            event_type: self.event_type.clone(),
            subject: self.subject.clone(),
            data_content_type: Some(content_type),
            data: Some(data.to_vec().into()),
            ..Draft::default()
        }
    }
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    text.parse().map_err(|error: ClientError| error.to_string())
}

fn one_request() -> CliError {
    let text = "--if-match, --if-absent and --idempotency-key are about one request, and standard \
                input is published in as many as it takes; give the events as DATA or with --file";
    CliError::Other(text.into())
}

/// Prints what became of an event; the code if it was refused.
fn print(receipt: &Receipt) -> Result<Option<String>, CliError> {
    if let Some(problem) = receipt.error.as_option() {
        output::note(&format!("refused: {}: {}", problem.code, problem.detail));
        return Ok(Some(problem.code.clone()));
    }
    let text = if receipt.cursor.is_empty() { &receipt.id } else { &receipt.cursor };
    output::line(text)?;
    Ok(None)
}

/// Lines in one batch: well below the limit, for lines can be long.
const LINES_BATCH: usize = 256;
