//! Programs that Go's package manager builds.

use std::path::Path;
use std::process::Command;

use crate::run::{Result, command, run};

/// Go's own command, in the root of the project.
pub(crate) fn go(args: &[&str]) -> Command {
    let usual = Path::new(GO);
    command(if usual.exists() { GO } else { "go" }, args)
}

/// Installs a program, such as `host/module/program@v1.2.3`, into a directory. What is there in its
/// version stays.
pub(crate) fn install(package: &str, directory: &Path) -> Result {
    run(go(&["install", package]).env("GOBIN", directory).env("CGO_ENABLED", "0"))
}

/// Where Go's own archive is unpacked.
const GO: &str = "/usr/local/go/bin/go";
