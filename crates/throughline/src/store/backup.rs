use std::path::PathBuf;

use clap::Args;

use tl_model::Position;
use tl_store_disk::backup;

use super::{StoreArgs, grouped};
use crate::{CliError, output};

/// Copy a store, also while a server uses it.
///
/// Everything that was on disk when the backup began is in the copy, which is synced and checked and
/// can be served as it is. Given the same directory again, only what is new is copied, and what the
/// store has trimmed is removed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline store backup --to /backups/throughline
  throughline store backup --data /var/lib/throughline --to /backups/throughline
  throughline serve --data /backups/throughline")]
pub(crate) struct Backup {
    /// The directory of the copy: a new one, or that of an earlier backup.
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

impl Backup {
    pub(crate) fn run(self) -> Result<(), CliError> {
        let done = backup(&self.store.directory()?, &self.to)
            .map_err(|error| CliError::Other(error.to_string()))?;
        let (copied, kept) = (grouped(done.copied), grouped(done.kept));
        let (removed, events) = (grouped(done.removed), grouped(done.report.events));
        output::line(&format!("{events} events in {}, checked", self.to.display()))?;
        output::line(&format!("segments: {copied} copied, {kept} kept, {removed} removed"))?;
        if let Some((_, offset)) = done.report.offsets {
            let at = Position { epoch: done.report.epoch, offset };
            output::line(&format!("up to cursor {}", at.cursor()))?;
        }
        Ok(())
    }
}
