//! What no compiler checks.

mod contract;
mod guarantees;
mod layers;
mod licences;
mod openapi;
mod texts;
mod workspace;

use crate::run::{Result, say};

use workspace::Workspace;

/// Checks everything, and tells all that is wrong at once.
pub(crate) fn run() -> Result {
    let workspace = Workspace::read()?;
    let mut findings = Vec::new();
    layers::check(&workspace, &mut findings);
    licences::check(&workspace, &mut findings);
    texts::check(&mut findings)?;
    guarantees::check(&mut findings)?;
    contract::check(&mut findings)?;
    openapi::check(&mut findings)?;
    if findings.is_empty() {
        say("tidy: all in order");
        return Ok(());
    }
    for finding in &findings {
        say(&format!("tidy: {finding}"));
    }
    Err(format!("{} things are not in order", findings.len()))
}
