use crate::run::{self, Result, cargo, say};
use crate::{fuzz, test, tidy};

/// Seconds for each fuzz target: enough to notice what was just broken.
const FUZZ_SECONDS: u32 = 15;

/// Servers that benchmarks run beside ours, which are no part of the workspace.
const PEERS: &str = "tests/tl-bench-peer/Cargo.toml";

/// All that a change must pass, the quickest first.
pub(crate) fn run() -> Result {
    tidy::run()?;
    run::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    check_code(&["--workspace", "--all-targets"])?;
    check_code(&["--manifest-path", PEERS, "--target-dir", "target/peers"])?;
    test::run(&[])?;
    document()?;
    fuzz::run(FUZZ_SECONDS)?;
    say("everything passed");
    Ok(())
}

/// Warnings are errors, and lock files are up to date.
fn check_code(what: &[&str]) -> Result {
    let clippy = [&["clippy", "--locked"], what, &["--", "--deny", "warnings"]].concat();
    run::run(&mut cargo(&clippy))
}

/// Builds the documentation of everything, so that none of its links is broken.
fn document() -> Result {
    let what = ["doc", "--workspace", "--all-features", "--no-deps", "--document-private-items"];
    // Links to private items lead somewhere, as those are documented too.
    let flags = "--deny warnings --allow rustdoc::private-intra-doc-links";
    run::run(cargo(&what).env("RUSTDOCFLAGS", flags))
}
