//! The description of HTTP changes additively: what `docs/openapi.json` once promised stays.

mod comparison;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::run::{Result, command, output, root};

const DOCUMENT: &str = "docs/openapi.json";

/// Holds the document against all that has been committed of it.
pub(super) fn check(findings: &mut Vec<String>) -> Result {
    let path = root().join(DOCUMENT);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    let current = parse(&text)?;
    let mut broken = BTreeSet::new();
    for version in committed()? {
        broken.extend(comparison::broken(&parse(&version)?, &current));
    }
    findings.extend(broken.into_iter().map(|what| format!("{DOCUMENT} breaks clients: {what}")));
    Ok(())
}

/// Every version in the history.
fn committed() -> Result<Vec<String>> {
    let commits = ["log", "--format=%H", "--diff-filter=AM", "--", DOCUMENT];
    let commits = output(&mut command("git", &commits))?;
    let version =
        |commit: &str| output(&mut command("git", &["show", &format!("{commit}:{DOCUMENT}")]));
    commits.lines().map(version).collect()
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| format!("{DOCUMENT}: {error}"))
}
