use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;

use tl_model::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use tl_model::{After, Offset, Position, Selection};
use tl_store::{LogStore, Read};
use tl_wire::json;

use super::StoreArgs;
use crate::{CliError, output};

/// Print the events of a store, one a line.
///
/// They are in the order of the log and in the form in which pages deliver them: CloudEvents in JSON
/// with their channel and cursor. `throughline store import` reads them.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline store export > events.ndjson
  throughline store export --channel 'orders.>' --output orders.ndjson
  throughline store export --after 1014d2pf2dby63c1s
  throughline store export | throughline store import --data new-data")]
pub(crate) struct Export {
    /// Only these channels and patterns; may be given several times.
    #[arg(long, value_name = "PATTERN", default_value = ">")]
    channel: Vec<String>,
    /// Begin behind this cursor.
    #[arg(long, value_name = "CURSOR", default_value = "earliest")]
    after: After,
    /// Write to a new file rather than to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let selection = Selection::parse(self.channel.iter().map(String::as_str))
            .map_err(|error| CliError::Other(error.to_string()))?;
        let store = self.store.open_existing()?;
        let after = self.begin(&store)?;
        let Some(path) = &self.output else {
            return write(&store, selection, after, BufWriter::new(io::stdout().lock())).await;
        };
        let at = |source| CliError::File { path: path.display().to_string(), source };
        let file = File::create_new(path).map_err(at)?;
        write(&store, selection, after, BufWriter::new(&file)).await?;
        file.sync_all().map_err(at)
    }

    /// Where to begin, which must be a place in this log.
    fn begin(&self, store: &dyn LogStore) -> Result<Offset, CliError> {
        let position = match self.after {
            After::Earliest => return Ok(store.bounds().head.previous()),
            After::Latest => return Ok(store.bounds().tail.previous()),
            After::Position(position) => position,
        };
        if position.epoch != store.epoch() {
            return Err(CliError::Other("--after: the cursor belongs to another log".into()));
        }
        if position.offset >= store.bounds().tail {
            return Err(CliError::Other("--after: the cursor is ahead of the log".into()));
        }
        Ok(position.offset)
    }
}

async fn write(
    store: &dyn LogStore,
    selection: Selection,
    mut after: Offset,
    mut out: impl Write,
) -> Result<(), CliError> {
    let (events_max, bytes_max) = (PAGE_EVENTS_MAX, PAGE_BYTES_MAX);
    loop {
        let read = Read { selection: selection.clone(), after, events_max, bytes_max };
        let page = store.read(read).await.map_err(|error| CliError::Other(error.to_string()))?;
        if let Some(gap) = page.gap {
            let cursor = |offset| Position { epoch: store.epoch(), offset }.cursor();
            let (after, through) = (cursor(gap.after), cursor(gap.through));
            output::note(&format!("gap: events after {after} through {through} are gone"));
        }
        for event in &page.events {
            let at = Position { epoch: store.epoch(), offset: event.offset };
            out.write_all(&json::delivered(event, at, None))?;
            out.write_all(b"\n")?;
        }
        if page.reached_end {
            return Ok(out.flush()?);
        }
        after = page.read_to;
    }
}
