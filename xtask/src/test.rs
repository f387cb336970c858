use crate::machine;
use crate::run::{self, Result, cargo};

/// Installs what the tests need, and runs them all.
pub(crate) fn run(args: &[String]) -> Result {
    machine::prepare()?;
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    run::run(&mut cargo(&[&["test", "--workspace", "--no-fail-fast"], args.as_slice()].concat()))
}
