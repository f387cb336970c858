use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use tl_model::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EVENT_DATA_BYTES_MAX};
use tl_model::{Channel, Durability, NewEvent};
use tl_store::{Batch, LogStore};
use tl_wire::json;

use super::{StoreArgs, grouped};
use crate::{CliError, output};

/// Log events, one a line, in a store.
///
/// Each line is a CloudEvent in JSON with its channel, as `throughline store export` prints them. They
/// get new places at the end of the log, as of now; data and attributes stay as they are. Lines that
/// are no events are told and left out. The store is made if there is none.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline store import events.ndjson
  throughline store import events.ndjson --data new-data
  throughline store import events.ndjson --channel restored
  throughline store export --data old | throughline store import --data new")]
pub(crate) struct Import {
    /// The file to read rather than standard input.
    file: Option<PathBuf>,
    /// Log all events in this channel, whatever they say.
    #[arg(long)]
    channel: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

impl Import {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let channel = self.channel.as_deref().map(parse_channel).transpose();
        let channel = channel.map_err(CliError::Other)?;
        let mut input: Box<dyn BufRead> = match &self.file {
            None => Box::new(BufReader::new(io::stdin())),
            Some(path) => {
                let at = |source| CliError::File { path: path.display().to_string(), source };
                Box::new(BufReader::new(File::open(path).map_err(at)?))
            }
        };
        let store = self.store.open()?;
        let mut importing = Importing { store: &store, batch: Vec::new(), bytes: 0, logged: 0 };
        let result = importing.read(&mut input, channel.as_ref()).await;
        output::line(&format!("{} events imported", grouped(importing.logged)))?;
        match result? {
            0 => Ok(()),
            count => Err(CliError::Other(format!("{} lines refused", grouped(count)))),
        }
    }
}

struct Importing<'a> {
    store: &'a dyn LogStore,
    batch: Vec<NewEvent>,
    bytes: usize,
    logged: u64,
}

impl Importing<'_> {
    /// Logs all that is an event, and returns how many lines are none.
    async fn read(
        &mut self,
        input: &mut dyn BufRead,
        channel: Option<&Channel>,
    ) -> Result<u64, CliError> {
        let (mut line, mut refused) = (Vec::new(), 0);
        for number in 1_u64.. {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            match line.trim_ascii() {
                b"" => {}
                text => match parse(text, channel) {
                    Ok(event) => self.add(event).await?,
                    Err(reason) => {
                        output::note(&format!("line {number} refused: {reason}"));
                        refused += 1;
                    }
                },
            }
        }
        self.log().await?;
        Ok(refused)
    }

    async fn add(&mut self, event: NewEvent) -> Result<(), CliError> {
        self.bytes += event.event.encoded().len();
        self.batch.push(event);
        match self.batch.len() >= BATCH_EVENTS_MAX || self.bytes >= BATCH_BYTES_MAX {
            true => self.log().await,
            false => Ok(()),
        }
    }

    async fn log(&mut self) -> Result<(), CliError> {
        let events = std::mem::take(&mut self.batch);
        if events.is_empty() {
            return Ok(());
        }
        let count = events.len() as u64;
        let batch = Batch { durability: Durability::Fsync, logged_at_ms: now_ms(), events };
        self.store.append(batch).await.map_err(|error| CliError::Other(error.to_string()))?;
        self.logged += count;
        self.bytes = 0;
        Ok(())
    }
}

fn parse(line: &[u8], channel: Option<&Channel>) -> Result<NewEvent, String> {
    let draft = json::read(line).map_err(|error| error.to_string())?;
    let event = draft.event().map_err(|error| error.to_string())?;
    if event.data().is_some_and(|data| data.len() > EVENT_DATA_BYTES_MAX) {
        return Err(format!("the data of an event has at most {EVENT_DATA_BYTES_MAX} bytes"));
    }
    let channel = match (channel, &draft.channel) {
        (Some(channel), _) => channel.clone(),
        (None, Some(name)) => parse_channel(name)?,
        (None, None) => return Err("the event has no `channel`; name one with --channel".into()),
    };
    Ok(NewEvent { channel, event })
}

fn parse_channel(name: &str) -> Result<Channel, String> {
    match Channel::parse(name) {
        Ok(channel) if channel.is_reserved() => Err(format!("{name} belongs to the server")),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}
