use crate::run::{self, Result, cargo, say};
use crate::{fuzz, test, tidy};

/// Seconds for each fuzz target: enough to notice what was just broken.
const FUZZ_SECONDS: u32 = 15;

/// All that a change must pass, the quickest first.
pub(crate) fn run() -> Result {
    tidy::run()?;
    run::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
    run::run(&mut cargo(&clippy))?;
    test::run(&[])?;
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    run::run(docs.env("RUSTDOCFLAGS", "--deny warnings"))?;
    fuzz::run(FUZZ_SECONDS)?;
    say("everything passed");
    Ok(())
}
