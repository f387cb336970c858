use clap::Args;
use serde_json::json;

use tl_model::Channel;
use tl_store_disk::{ChannelReport, Report, inspect};

use super::{StoreArgs, grouped};
use crate::{CliError, output};

/// Count what a store holds.
///
/// Reads the whole store and changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline store stats
  throughline store stats --data /var/lib/throughline --json")]
pub(crate) struct Stats {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl Stats {
    pub(crate) fn run(self) -> Result<(), CliError> {
        let report = inspect(&self.store.directory()?)
            .map_err(|error| CliError::Other(error.to_string()))?;
        if !report.is_sound() {
            output::note("The store is damaged, and this is what can be read: see `store check`.");
        }
        match self.json {
            true => Ok(output::line(&to_json(&report))?),
            false => print(&report),
        }
    }
}

fn to_json(report: &Report) -> String {
    let channels = largest(report).into_iter().map(|(channel, it)| {
        json!({"channel": channel.as_str(), "events": it.events, "data_bytes": it.data_bytes})
    });
    let value = json!({
        "segments": report.segments,
        "batches": report.batches,
        "events": report.events,
        "data_bytes": report.data_bytes,
        "disk_bytes": report.disk_bytes,
        "first_offset": report.offsets.map(|(first, _)| first.get()),
        "last_offset": report.offsets.map(|(_, last)| last.get()),
        "oldest_ms": report.logged_at_ms.map(|(oldest, _)| oldest),
        "newest_ms": report.logged_at_ms.map(|(_, newest)| newest),
        "channels": report.channels.len(),
        "largest_channels": channels.collect::<Vec<_>>(),
        "sound": report.is_sound(),
    });
    value.to_string()
}

fn print(report: &Report) -> Result<(), CliError> {
    let figures = [
        ("segments", report.segments),
        ("batches", report.batches),
        ("events", report.events),
        ("bytes of data", report.data_bytes),
        ("bytes on disk", report.disk_bytes),
        ("channels", report.channels.len() as u64),
    ];
    for (name, figure) in figures {
        output::line(&format!("{name:<16}{:>20}", grouped(figure)))?;
    }
    if report.events > 0 {
        output::line(&format!("\n{:>16}{:>20}  channel", "events", "bytes of data"))?;
    }
    for (channel, it) in largest(report) {
        let (events, data_bytes) = (grouped(it.events), grouped(it.data_bytes));
        output::line(&format!("{events:>16}{data_bytes:>20}  {}", channel.as_str()))?;
    }
    Ok(())
}

/// The channels with the most events.
fn largest(report: &Report) -> Vec<(&Channel, &ChannelReport)> {
    let mut channels: Vec<_> = report.channels.iter().collect();
    channels.sort_unstable_by_key(|(channel, it)| (u64::MAX - it.events, channel.as_str()));
    channels.truncate(CHANNELS_SHOWN);
    channels
}

/// As many as fit on a screen.
const CHANNELS_SHOWN: usize = 20;
