//! What was measured, for programs to read.

use std::io;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::figures::Figures;
use crate::machine;

/// All that was measured on one machine, in one go.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    /// In a line.
    pub(crate) machine: String,
    /// When it began, as RFC 3339 says it.
    pub(crate) date: String,
    /// What was measured; `-dirty` if something had been changed since.
    pub(crate) commit: String,
    /// In the order of measuring.
    pub(crate) benches: Vec<Measured>,
}

/// What one benchmark found.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) figures: Vec<Figure>,
}

/// One figure of all runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// Of each run, in the order of measuring.
    pub(crate) values: Vec<f64>,
}

impl Report {
    /// Nothing yet, of this machine and the present commit.
    pub(crate) fn begin() -> Self {
        let date = OffsetDateTime::now_utc().format(&Rfc3339).expect("the year has four digits");
        Self { machine: machine::describe(), date, commit: commit(), benches: Vec::new() }
    }

    /// Adds what a benchmark has found.
    pub(crate) fn add(&mut self, name: &str, what: &str, figures: &Figures) {
        let (name, what) = (name.to_owned(), what.to_owned());
        let figures = figures.iter().map(|(name, values)| Figure::new(name, values)).collect();
        self.benches.push(Measured { name, what, figures });
    }

    /// Writes it whole.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        std::fs::write(file, serde_json::to_string_pretty(self)? + "\n")
    }

    /// Reads what was written.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        let about_it =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
        let text = std::fs::read_to_string(file).map_err(about_it)?;
        serde_json::from_str(&text).map_err(|error| about_it(error.into()))
    }
}

impl Figure {
    fn new(name: &str, values: &[f64]) -> Self {
        let (name, unit) = match name.rsplit_once(", ") {
            Some((name, unit)) if UNITS.contains(&unit) => (name, Some(unit.to_owned())),
            _ => (name, None),
        };
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            name: name.to_owned(),
            unit,
            median: sorted[sorted.len() / 2],
            least: sorted[0],
            most: sorted[sorted.len() - 1],
            values: values.to_vec(),
        }
    }
}

fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    let described = git.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = described.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    // Without git, or outside a clone, nobody knows.
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// What a figure's name may end with.
const UNITS: &[&str] = &["µs", "ms", "MiB"];
