use crate::peers;
use crate::run::{self, Result, cargo, command, root};

/// Builds as for a release, and runs benchmarks.
pub(crate) fn run(args: &[String]) -> Result {
    if args == ["peers-install"] {
        return peers::install();
    }
    // One by one: together they are built with other features, and once more when the server is started.
    for package in ["throughline", "tl-bench"] {
        run::run(&mut cargo(&["build", "--release", "--package", package]))?;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let bench = root().join(target).join("release/tl-bench");
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    run::run(&mut command(&bench.to_string_lossy(), &args))
}
