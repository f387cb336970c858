//! Commands on the state of channels: the latest event of each as a document.

mod change;
mod read;
mod watch;

use clap::{Args, Subcommand};

use crate::CliError;

/// Read and change the state of channels: the latest event of each is its document.
///
/// A document is changed by publishing the next one, so whoever subscribes to the channel sees every
/// change, and nothing overwrites what somebody else wrote unless you let it: --if-match makes a
/// change only if the document is still the one you have seen.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline state put orders.42 '{\"status\": \"new\", \"total\": 12.50}' --if-absent
  throughline state get orders.42
  throughline state patch orders.42 '{\"status\": \"paid\"}' --if-match 1qj994h4cwd9p11
  throughline state list 'orders.*'
  throughline state watch 'orders.*'
  throughline state delete orders.42")]
pub(crate) struct State {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Debug, Subcommand)]
enum StateCommand {
    // Without comments of their own, so that help shows those of what they hold, as a whole.
    Get(read::Get),
    Put(change::Put),
    Patch(change::Patch),
    Delete(change::Delete),
    Watch(watch::Watch),
    List(read::List),
}

impl State {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        match self.command {
            StateCommand::Get(get) => get.run().await,
            StateCommand::Put(put) => put.run().await,
            StateCommand::Patch(patch) => patch.run().await,
            StateCommand::Delete(delete) => delete.run().await,
            StateCommand::Watch(watch) => watch.run().await,
            StateCommand::List(list) => list.run().await,
        }
    }
}
