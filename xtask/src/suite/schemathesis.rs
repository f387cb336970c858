//! Schemathesis: requests of every kind that the description allows, and of every kind that it does not.

use std::fs;
use std::path::{Path, PathBuf};

use super::service::Service;
use super::{about, home, target};
use crate::run::{self, Result, cargo, command, root, say};

/// Sends them to the server, and believes no answer that is not described.
pub(crate) fn run() -> Result {
    let environment = prepare()?;
    // Not a release build: this one has all its assertions.
    run::run(&mut cargo(&["build", "--package", "throughline"]))?;
    let home = home("schemathesis");
    let config = home.join("throughline.toml");
    fs::write(&config, CONFIG).map_err(about(config.display()))?;
    let data = tidy_directory(home.join("data"))?;
    let mut serve = command(&target().join("debug/throughline").to_string_lossy(), &["serve"]);
    serve.args(["--listen", "127.0.0.1:0", "--config"]).arg(&config).arg("--data").arg(&data);
    let server = Service::spawn(serve, &home)?;
    test(&environment, server.address(), &home)
}

/// A Python environment with the suite. The first time it is made; one that was interrupted at that is
/// made anew.
fn prepare() -> Result<PathBuf> {
    let environment = home("schemathesis").join(VERSION);
    if !environment.exists() {
        let unfinished = tidy_directory(environment.with_file_name("unfinished"))?;
        run::run(command("python3", &["-m", "venv", "--copies"]).arg(&unfinished))?;
        let pip = unfinished.join("bin/pip");
        let package = format!("schemathesis=={VERSION}");
        run::run(&mut command(&pip.to_string_lossy(), &["install", "--quiet", &package]))?;
        fs::rename(&unfinished, &environment).map_err(about(environment.display()))?;
    }
    Ok(environment)
}

/// An empty directory.
fn tidy_directory(path: PathBuf) -> Result<PathBuf> {
    if path.exists() {
        fs::remove_dir_all(&path).map_err(about(path.display()))?;
    }
    fs::create_dir_all(&path).map_err(about(path.display()))?;
    Ok(path)
}

fn test(environment: &Path, address: &str, home: &Path) -> Result {
    let own = root().join("tests/schemathesis");
    // Programs of an environment that has moved know its old place; the interpreter does not care.
    let python = environment.join("bin/python");
    let mut test = command("timeout", &[TIMEOUT_SECONDS]);
    test.arg(python).args(["-m", "schemathesis.cli", "--config-file"]);
    test.arg(own.join("schemathesis.toml"));
    test.args(["run", &format!("http://{address}/v1/openapi.json")]);
    test.args(["--checks", "all", "--continue-on-failure", "--max-time", SECONDS]);
    test.args(["--request-timeout", "10", "--warnings", "off"]);
    test.env("PYTHONPATH", &own).env("PYTHONDONTWRITEBYTECODE", "1");
    test.env("SCHEMATHESIS_HOOKS", "hooks").current_dir(home);
    say("a case that failed can be had again by the command that is shown with it");
    run::run(&mut test)
}

const VERSION: &str = "4.32.5";
/// For cases made at random, beside those that are always the same.
const SECONDS: &str = "300";
const TIMEOUT_SECONDS: &str = "480";
/// Polls that wait would leave the time unused.
const CONFIG: &str = "[polling]\nwait_max = \"200ms\"\n";
