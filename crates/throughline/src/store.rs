//! Commands for operators, on the files of a store.

mod backup;
mod check;
mod export;
mod import;
mod repair;
mod stats;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use figment::value::Value;

use tl_server::Config;
use tl_server::config::StoreConfig;
use tl_store_disk::{DiskStore, Options};

use crate::CliError;
use crate::output::grouped;

/// Look after the files of a store: check, repair, count, copy out, copy in, back up.
///
/// All but `backup` need the store to themselves: stop the server first.
#[derive(Args, Debug)]
pub(crate) struct Store {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    // Without comments of their own, so that help shows those of what they hold, as a whole.
    Backup(backup::Backup),
    Check(check::Check),
    Export(export::Export),
    Import(import::Import),
    Repair(repair::Repair),
    Stats(stats::Stats),
}

impl Store {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        match self.command {
            StoreCommand::Backup(backup) => backup.run(),
            StoreCommand::Check(check) => check.run(),
            StoreCommand::Export(export) => export.run().await,
            StoreCommand::Import(import) => import.run().await,
            StoreCommand::Repair(repair) => repair.run(),
            StoreCommand::Stats(stats) => stats.run(),
        }
    }
}

/// Which store.
#[derive(Args, Debug)]
struct StoreArgs {
    /// The configuration file (TOML) that the server is started with.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the log.
    #[arg(short, long, value_name = "DIRECTORY")]
    data: Option<String>,
}

impl StoreArgs {
    /// Finds the store as `serve` does.
    fn config(&self) -> Result<StoreConfig, CliError> {
        let directory = |data: &String| ("store.directory".to_owned(), Value::from(data.as_str()));
        let flags = self.data.iter().map(directory).collect();
        Ok(Config::load(self.config.as_deref(), flags)?.store)
    }

    fn directory(&self) -> Result<PathBuf, CliError> {
        Ok(self.config()?.directory)
    }

    /// Opens the store, or makes a new one.
    fn open(&self) -> Result<DiskStore, CliError> {
        let StoreConfig { directory, segment_bytes, reserve_bytes, .. } = self.config()?;
        let (segment_bytes, reserve_bytes) = (segment_bytes.0, reserve_bytes.0);
        let options = Options { directory, segment_bytes, reserve_bytes };
        DiskStore::open(&options).map_err(|error| CliError::Other(error.to_string()))
    }

    /// Opens the store, which must be there.
    fn open_existing(&self) -> Result<DiskStore, CliError> {
        tl_store_disk::epoch(&self.directory()?)
            .map_err(|error| CliError::Other(error.to_string()))?;
        self.open()
    }
}

/// Bytes as people write them.
fn bytes(count: u64) -> String {
    format!("{} bytes", grouped(count))
}
