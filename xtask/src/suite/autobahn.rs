//! Autobahn's fuzzing client: RFC 6455, case by case.
//!
//! It exists for Python 2 only, so it runs in the last Debian that has one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::chroot::Chroot;
use super::service::Service;
use super::{about, home};
use crate::run::{self, Result, say};

/// Runs all cases but those of compression, which the server does not negotiate.
pub(crate) fn run() -> Result {
    let directory = home("autobahn").join(format!("{DEBIAN}-{VERSION}"));
    let chroot = Chroot::prepare(directory, DEBIAN, PACKAGES, install)?;
    let service = Service::start("echo", "autobahn")?;
    fuzz(&chroot, service.address())?;
    let reports = chroot.path(REPORTS);
    say(&format!("each case is described in {}", reports.join("index.html").display()));
    let cases = read(&reports.join("index.json"))?;
    show(&cases);
    judge(&cases)
}

fn install(chroot: &Chroot) -> Result {
    let virtualenv = ["virtualenv", "--quiet", "--python=python2.7", PYTHON];
    run::run(&mut chroot.command(&virtualenv))?;
    let suite = format!("autobahntestsuite=={VERSION}");
    run::run(&mut chroot.pip_install(PYTHON, &[&suite, WSACCEL]))
}

fn fuzz(chroot: &Chroot, address: &str) -> Result {
    let reports = chroot.path(REPORTS);
    if reports.exists() {
        fs::remove_dir_all(&reports).map_err(about(reports.display()))?;
    }
    let spec = chroot.path(SPEC);
    fs::write(&spec, spec_for(address)).map_err(about(spec.display()))?;
    let wstest = format!("{PYTHON}/bin/wstest");
    let args = ["timeout", TIMEOUT_SECONDS, &wstest, "--mode=fuzzingclient", "--spec", SPEC];
    // If it hangs, the last line names the case.
    let path = home("autobahn").join("wstest.log");
    let log = File::create(&path).map_err(about(path.display()))?;
    let errors = log.try_clone().map_err(about(path.display()))?;
    say(&format!("what it prints is in {}", path.display()));
    run::run(chroot.command(&args).stdout(log).stderr(errors))
}

fn spec_for(address: &str) -> String {
    let spec = json!({
        "outdir": REPORTS,
        "servers": [{ "agent": AGENT, "url": format!("ws://{address}/echo") }],
        "cases": ["*"],
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    });
    spec.to_string()
}

/// How each case went, by its number.
type Cases = BTreeMap<String, Case>;

/// How a case went: what the server answered, and how it closed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    behavior: String,
    behavior_close: String,
}

/// What is to be thought of a case, the best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Verdict {
    Passed,
    Informational,
    NonStrict,
    Failed,
}

impl Case {
    fn verdict(&self) -> Verdict {
        Verdict::of(&self.behavior).max(Verdict::of(&self.behavior_close))
    }
}

impl Verdict {
    fn of(behavior: &str) -> Self {
        match behavior {
            "OK" => Self::Passed,
            "INFORMATIONAL" => Self::Informational,
            "NON-STRICT" => Self::NonStrict,
            _ => Self::Failed,
        }
    }
}

fn read(index: &Path) -> Result<Cases> {
    let text = fs::read_to_string(index).map_err(about(index.display()))?;
    let agents: Result<BTreeMap<String, Cases>> =
        serde_json::from_str(&text).map_err(about(index.display()));
    Ok(agents?.remove(AGENT).unwrap_or_default())
}

/// Shows how each section went.
fn show(cases: &Cases) {
    say("section                   passed  informational  non-strict  failed");
    for (section, title) in SECTIONS {
        let its_cases = || cases.iter().filter(|(number, _)| section_of(number) == *section);
        let count = |verdict| its_cases().filter(|(_, case)| case.verdict() == verdict).count();
        let (passed, informational) = (count(Verdict::Passed), count(Verdict::Informational));
        let (non_strict, failed) = (count(Verdict::NonStrict), count(Verdict::Failed));
        say(&format!(
            "{section:>2} {title:22} {passed:>6}  {informational:>13}  {non_strict:>10}  {failed:>6}"
        ));
    }
}

/// Only what is informational may differ from what the suite expects, and no case may be missing.
fn judge(cases: &Cases) -> Result {
    let refused = cases.iter().filter(|(_, case)| case.verdict() > Verdict::Informational);
    let refused: Vec<_> = refused
        .map(|(number, case)| format!("{number} ({}, {})", case.behavior, case.behavior_close))
        .collect();
    if !refused.is_empty() {
        return Err(format!("not passed, by answer and close: {}", refused.join(", ")));
    }
    match cases.len() {
        CASES => Ok(()),
        ran => Err(format!("{ran} cases were run instead of {CASES}")),
    }
}

fn section_of(number: &str) -> &str {
    number.split('.').next().unwrap_or(number)
}

/// The sections that are run.
const SECTIONS: &[(&str, &str)] = &[
    ("1", "framing"),
    ("2", "pings and pongs"),
    ("3", "reserved bits"),
    ("4", "opcodes"),
    ("5", "fragmentation"),
    ("6", "UTF-8"),
    ("7", "closing"),
    ("9", "limits and speed"),
    ("10", "miscellaneous"),
];
/// How many cases these have in this version.
const CASES: usize = 301;
const VERSION: &str = "25.10.1";
/// What the suite names no version of; the later ones cannot be built for Python 2.
const WSACCEL: &str = "wsaccel==0.6.2";
/// The last Debian with Python 2.
const DEBIAN: &str = "bullseye";
/// What runs Python 2, and builds what is not there ready-made.
const PACKAGES: &[&str] = &["gcc", "libc6-dev", "python2.7-dev", "virtualenv"];
/// The virtual environment, in the system.
const PYTHON: &str = "/autobahn";
const SPEC: &str = "/fuzzingclient.json";
const REPORTS: &str = "/reports";
/// What the reports call the server.
const AGENT: &str = "throughline";
/// All cases take 12 seconds on an idle machine; one that hangs is to be noticed.
const TIMEOUT_SECONDS: &str = "300";

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(behaviors: &[(&str, &str)]) -> Cases {
        let good = std::iter::repeat_n(&("OK", "OK"), CASES - behaviors.len());
        let cases = behaviors.iter().chain(good).enumerate().map(|(index, (answer, close))| {
            let case = Case { behavior: (*answer).into(), behavior_close: (*close).into() };
            (format!("1.{index}"), case)
        });
        cases.collect()
    }

    #[test]
    fn a_case_passes_by_its_answer_and_its_close() {
        assert_eq!(judge(&cases(&[])), Ok(()));
        assert_eq!(judge(&cases(&[("INFORMATIONAL", "INFORMATIONAL")])), Ok(()));
        let refused = [
            ("FAILED", "OK"),
            ("NON-STRICT", "OK"),
            ("OK", "UNCLEAN"),
            ("OK", "WRONG CODE"),
            ("INFORMATIONAL", "FAILED"),
            ("UNIMPLEMENTED", "OK"),
        ];
        for behaviors in refused {
            let error = judge(&cases(&[("OK", "OK"), behaviors])).expect_err("refused");
            assert!(error.contains("1.1 ("), "{error}");
        }
    }

    #[test]
    fn a_case_that_was_not_run_is_noticed() {
        let mut cases = cases(&[]);
        cases.remove("1.7");
        assert_eq!(judge(&cases), Err("300 cases were run instead of 301".into()));
    }
}
