//! The real server on real file systems that lose power and disks that fail: `cargo xtask suite`
//! runs it.

mod disk_faults;
mod file_system;
mod log;
mod power_loss;
mod publishers;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use tl_conformance::seed;

/// Rounds of publishing, of something that goes wrong, and of looking for every receipt.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    fault: Fault,
    /// Seconds until no more rounds are begun.
    #[arg(long, global = true, default_value_t = 60)]
    seconds: u64,
}

#[derive(Subcommand)]
enum Fault {
    /// Writing and syncing fail at random. Needs `fiu-run` and `fiu-ctrl`.
    DiskFaults,
    /// File systems are cut off. Needs root, loop devices and `xfs_io`.
    PowerLoss {
        /// Where the file systems are made.
        directory: PathBuf,
    },
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let Cli { fault, seconds } = Cli::parse();
    let time = Duration::from_secs(seconds);
    match fault {
        Fault::DiskFaults => disk_faults::run(time, seed("disk faults")).await,
        Fault::PowerLoss { directory } => {
            power_loss::run(time, &directory, seed("power loss")).await;
        }
    }
}
