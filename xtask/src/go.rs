//! Programs that Go's package manager builds.

use std::path::Path;
use std::process::Command;

use crate::run::command;

/// Go's own command, in the root of the project.
pub(crate) fn go(args: &[&str]) -> Command {
    let usual = Path::new(GO);
    command(if usual.exists() { GO } else { "go" }, args)
}

/// Where Go's own archive is unpacked.
const GO: &str = "/usr/local/go/bin/go";
