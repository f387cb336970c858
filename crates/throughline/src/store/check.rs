use clap::Args;

use tl_model::Position;
use tl_store_disk::{Report, inspect};

use super::{StoreArgs, bytes, grouped};
use crate::{CliError, output};

/// Check every byte of a store, and tell all that is wrong.
///
/// Reads the whole store and changes nothing. Ends with 0 if the store is sound, and with 1 if it is
/// damaged or cannot be read.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline store check
  throughline store check --data /var/lib/throughline
  throughline store check --data /backups/throughline && echo sound")]
pub(crate) struct Check {
    #[command(flatten)]
    store: StoreArgs,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), CliError> {
        let report = inspect(&self.store.directory()?)
            .map_err(|error| CliError::Other(error.to_string()))?;
        print(&report)?;
        match report.damage.len() {
            0 => Ok(output::line("The store is sound.")?),
            count => Err(CliError::Other(format!(
                "the store is damaged in {count} places; restore it from a backup, or see \
                 `throughline store repair`"
            ))),
        }
    }
}

fn print(report: &Report) -> Result<(), CliError> {
    let Report { segments, batches, events, .. } = report;
    output::line(&format!(
        "{} segments, {} batches, {} events in {} channels, {} of data",
        grouped(*segments),
        grouped(*batches),
        grouped(*events),
        grouped(report.channels.len() as u64),
        bytes(report.data_bytes),
    ))?;
    if let Some((first, last)) = report.offsets {
        let at = Position { epoch: report.epoch, offset: last };
        output::line(&format!("offsets {first} to {last}; the last cursor is {}", at.cursor()))?;
    }
    if let Some(torn) = &report.torn {
        output::line(&format!(
            "{} has a torn end from byte {} on: harmless, it is cut off when a server opens the store",
            torn.segment, torn.position
        ))?;
    }
    for damage in &report.damage {
        output::line(&format!("DAMAGED: {damage}"))?;
    }
    Ok(())
}
