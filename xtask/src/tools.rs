//! What the tests call the server with, beyond what the machine's own packages have, installed by name
//! with its own package managers.

use std::fs;
use std::path::PathBuf;

use crate::go;
use crate::run::{Result, command, root, run};
use crate::suite::{about, target};

/// Installs all of it; what is there in its version stays.
pub(crate) fn install() -> Result {
    install_node_packages()?;
    install_python_packages()?;
    install_grpcurl()
}

fn install_node_packages() -> Result {
    let node = root().join("tests/node");
    run(command("npm", &["ci", "--no-audit", "--no-fund"]).current_dir(node))
}

fn install_python_packages() -> Result {
    let environment = home().join("python");
    if !environment.exists() {
        // One that was interrupted is made anew.
        let unfinished = environment.with_file_name("unfinished");
        let venv = ["-m", "venv", "--copies", "--clear"];
        run(command("python3", &venv).arg(&unfinished))?;
        fs::rename(&unfinished, &environment).map_err(about(environment.display()))?;
    }
    // Programs of an environment that has moved know its old place; the interpreter does not care.
    let python = environment.join("bin/python");
    let install = ["-m", "pip", "install", "--quiet", "--requirement"];
    let requirements = root().join("tests/python/requirements.txt");
    run(command(&python.to_string_lossy(), &install).arg(requirements))
}

fn install_grpcurl() -> Result {
    let package = format!("github.com/fullstorydev/grpcurl/cmd/grpcurl@{GRPCURL_VERSION}");
    go::install(&package, &home().join("bin"))
}

/// Where the tests look for them.
fn home() -> PathBuf {
    target().join("tools")
}

const GRPCURL_VERSION: &str = "v1.9.3";
