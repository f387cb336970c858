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
    document()?;
    fuzz::run(FUZZ_SECONDS)?;
    say("everything passed");
    Ok(())
}

/// Builds the documentation of everything, so that none of its links is broken.
fn document() -> Result {
    let what = ["doc", "--workspace", "--all-features", "--no-deps", "--document-private-items"];
    // Links to private items lead somewhere, as those are documented too.
    let flags = "--deny warnings --allow rustdoc::private-intra-doc-links";
    run::run(cargo(&what).env("RUSTDOCFLAGS", flags))
}
