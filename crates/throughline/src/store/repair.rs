use clap::Args;

use tl_store_disk::{Damage, Repair as Done, inspect, repair};

use super::{StoreArgs, grouped};
use crate::{CliError, output};

/// Make a damaged store open again, without what cannot be read.
///
/// Restoring a backup is better where there is one. Without --accept-loss it only tells what would be
/// lost. With it every damaged or missing segment is replaced by what is whole of it, and readers are told
/// of a gap where events are lost. The damaged files are kept in the directory `damaged` beside the
/// journal. Ends with 0 if the store is sound now.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  throughline store check --data /var/lib/throughline
  throughline store repair --data /var/lib/throughline
  throughline store repair --data /var/lib/throughline --accept-loss")]
pub(crate) struct Repair {
    #[command(flatten)]
    store: StoreArgs,
    /// Give up what cannot be read.
    #[arg(long)]
    accept_loss: bool,
}

impl Repair {
    pub(crate) fn run(self) -> Result<(), CliError> {
        let directory = self.store.directory()?;
        if self.accept_loss {
            let done = repair(&directory).map_err(|error| CliError::Other(error.to_string()))?;
            return print(&done);
        }
        let report = inspect(&directory).map_err(|error| CliError::Other(error.to_string()))?;
        if report.is_sound() {
            return Ok(output::line("The store is sound; there is nothing to repair.")?);
        }
        print_damage(&report.damage)?;
        Err(CliError::Other(format!(
            "nothing was changed; restore a backup, or give up what is lost with --accept-loss and go on \
             with at least {} events",
            grouped(report.events)
        )))
    }
}

fn print(done: &Done) -> Result<(), CliError> {
    if done.damage.is_empty() {
        return Ok(output::line("The store is sound; there is nothing to repair.")?);
    }
    print_damage(&done.damage)?;
    output::line(&format!(
        "Repaired. The store holds {} events; the damaged files are in {}.",
        grouped(done.report.events),
        done.kept.display()
    ))?;
    Ok(())
}

fn print_damage(damage: &[Damage]) -> Result<(), CliError> {
    for it in damage {
        output::line(&format!("DAMAGED: {it}"))?;
    }
    Ok(())
}
