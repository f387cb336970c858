//! Heavy test suites that others wrote.

use crate::run::{Result, say};

/// All suites, by name.
const SUITES: &[Suite] = &[];

/// A suite that others wrote.
struct Suite {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result,
}

/// Runs a suite, or lists them.
pub(crate) fn run(name: Option<&str>) -> Result {
    let Some(name) = name else {
        for suite in SUITES {
            say(&format!("{:<12} {}", suite.name, suite.what));
        }
        return Ok(());
    };
    let suite = SUITES.iter().find(|suite| suite.name == name);
    let suite = suite.ok_or_else(|| format!("there is no suite `{name}`"))?;
    (suite.run)()
}
