//! Fuzzing: every target for a while, from its seeds and from what it has found before.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::machine;
use crate::run::{self, Result, cargo, output, root, say};

/// Fuzzes every target for so many seconds.
pub(crate) fn run(seconds: u32) -> Result {
    prepare()?;
    run::run(&mut fuzz("build", &BUILD))?;
    let targets = output(&mut fuzz("list", &[]))?;
    let failed = targets.lines().filter_map(|target| check(target, seconds).err());
    let failed: Vec<_> = failed.inspect(|error| say(error)).collect();
    match failed.len() {
        0 => Ok(()),
        count => Err(format!("{count} of {} fuzz targets", targets.lines().count())),
    }
}

fn prepare() -> Result {
    machine::install(PACKAGES)?;
    if output(&mut cargo(&["fuzz", "--version"])).is_ok() {
        return Ok(());
    }
    run::run(&mut cargo(&["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION]))
}

/// Runs one target, and tells how it went in one line.
fn check(target: &str, seconds: u32) -> Result {
    let corpus = directory().join("corpus").join(target);
    fs::create_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
    let mut command = fuzz("run", &BUILD);
    // New inputs go to the first directory; the seeds stay as they are.
    command.arg(target).arg(corpus).arg(format!("fuzz/seeds/{target}")).arg("--");
    command.arg(format!("-max_total_time={seconds}")).args(LIMITS);
    let ended = command.env("RUST_BACKTRACE", "0").output();
    let ended = ended.map_err(|error| format!("fuzz {target}: {error}"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    match summary(&said).filter(|_| ended.status.success()) {
        Some(summary) => say(&format!("fuzz {target}: {summary}")),
        None => return Err(format!("fuzz {target}: failed\n{}", failure(&said))),
    }
    Ok(())
}

fn fuzz(subcommand: &str, args: &[&str]) -> Command {
    let mut command = cargo(&["fuzz", subcommand, "--fuzz-dir", "fuzz"]);
    if !args.is_empty() {
        command.arg("--target-dir").arg(directory()).args(args);
    }
    command
}

/// Where fuzzing builds, and keeps what it has found.
fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(target).join("fuzz")
}

/// How much was tried, and how many places of the code that reached beyond the inputs there were.
fn summary(said: &str) -> Option<String> {
    let covered = |stage: &str| {
        let line = said.lines().find(|line| line.contains(stage))?;
        line.split_once("cov: ")?.1.split(' ').next()?.parse::<u32>().ok()
    };
    let (before, after) = (covered("\tINITED ")?, covered("\tDONE ")?);
    let runs = said.lines().find_map(|line| line.strip_prefix("Done ")?.split(' ').next())?;
    Some(format!("{runs} runs, {after} places covered, {} of them new", after.abs_diff(before)))
}

/// What went wrong, and the file that shows it.
fn failure(said: &str) -> String {
    let is_reason = |line: &str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
    let lines: Vec<_> = said.lines().collect();
    let first = lines.iter().position(|line| is_reason(line));
    let first = first.unwrap_or(lines.len().saturating_sub(REASON_LINES));
    let reason = lines[first..].iter().take(REASON_LINES);
    let file = lines.iter().filter_map(|line| line.split_once("Test unit written to "));
    let file = file.map(|(_, file)| format!("the input is in {file}"));
    reason.map(|line| (*line).to_owned()).chain(file).collect::<Vec<_>>().join("\n")
}

/// The version that is installed where there is none.
const CARGO_FUZZ_VERSION: &str = "0.13.2";
/// libFuzzer is C++.
const PACKAGES: &[(&str, &str)] = &[("g++", "/usr/bin/c++")];
/// The project has no unsafe code for a sanitizer to find fault with; without one there are four
/// times as many runs.
const BUILD: [&str; 2] = ["--sanitizer", "none"];
/// The same inputs from the same seeds; no input may take long or much memory.
const LIMITS: [&str; 3] = ["-seed=1", "-rss_limit_mb=2048", "-timeout=5"];
/// Lines of a failure that tell what happened.
const REASON_LINES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_told_only_of_a_whole_run() {
        let whole = "#8\tINITED cov: 140 ft: 212\n#90\tDONE   cov: 150 ft: 9\nDone 90 runs in 1 s";
        let told = "90 runs, 150 places covered, 10 of them new";
        assert_eq!(summary(whole).as_deref(), Some(told));
        assert_eq!(summary("#8\tINITED cov: 140 ft: 212"), None);
    }

    #[test]
    fn a_failure_names_its_reason_and_its_file() {
        let said = "INFO\nthread panicked at x:1\nreason\nprefix; Test unit written to a/crash-1";
        let expected = "thread panicked at x:1\nreason\nprefix; Test unit written to a/crash-1\n\
                        the input is in a/crash-1";
        assert_eq!(failure(said), expected);
    }
}
