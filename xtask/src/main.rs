//! Everything there is to run on the project itself: `cargo xtask` lists it.

mod bench;
mod ci;
mod fuzz;
mod go;
mod machine;
mod peers;
mod run;
mod suite;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs the project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Do all that a change must pass: tidy, format, lints, tests, a little fuzzing.
    Ci,
    /// Install what the tests need from the machine, then run them all.
    Test {
        /// Passed on to `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run benchmarks; without a name, list them. `peers-install` installs the servers that some compare.
    Bench {
        /// Which, `all` for all, and how: `--runs 5 --seconds 5 --json FILE`; or `--plot DIRECTORY FILE…`
        /// to draw such files.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Check what no compiler checks: layers, limits, licences, words.
    Tidy,
    /// Fuzz every target for a while.
    Fuzz {
        /// Seconds for each target.
        #[arg(long, default_value_t = 20)]
        seconds: u32,
    },
    /// Run a heavy test suite; without a name, list them.
    Suite {
        /// Which.
        name: Option<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Ci => ci::run(),
        Command::Test { args } => test::run(&args),
        Command::Bench { args } => bench::run(&args),
        Command::Tidy => tidy::run(),
        Command::Fuzz { seconds } => fuzz::run(seconds),
        Command::Suite { name } => suite::run(name.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::say(&format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}
