//! Heavy test suites: those that others wrote, and our own that need much of the machine.

mod autobahn;
mod chroot;
mod connect;
mod faults;
mod interop;
mod schemathesis;
mod service;

use std::path::{Path, PathBuf};

use crate::run::{Result, root, say};

/// All suites, by name.
const SUITES: &[Suite] = &[
    Suite {
        name: "autobahn",
        what: "Autobahn's fuzzing client on the WebSocket codec (RFC 6455)",
        run: autobahn::run,
    },
    Suite {
        name: "connect",
        what: "the Connect conformance suite on gRPC, gRPC-Web and Connect",
        run: connect::run,
    },
    Suite {
        name: "disk-faults",
        what: "the server on a disk that fails at random (libfiu)",
        run: faults::disk_faults,
    },
    Suite {
        name: "grpc-interop",
        what: "gRPC's own client for Go, on its interoperability tests",
        run: interop::run,
    },
    Suite {
        name: "power-loss",
        what: "the server on ext4 and xfs that lose power",
        run: faults::power_loss,
    },
    Suite {
        name: "schemathesis",
        what: "requests of every kind, held against the description of HTTP (OpenAPI)",
        run: schemathesis::run,
    },
];

/// A heavy suite.
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

/// Where a suite keeps what it has prepared and reported.
fn home(suite: &str) -> PathBuf {
    target().join("suites").join(suite)
}

/// The target directory, in which this program was built too.
pub(crate) fn target() -> PathBuf {
    let program = std::env::current_exe().ok();
    let target = program.as_deref().and_then(Path::parent).and_then(Path::parent);
    target.map_or_else(|| root().join("target"), Path::to_owned)
}

/// Says which file or program an error is about.
pub(crate) fn about<E: std::fmt::Display>(
    what: impl std::fmt::Display,
) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}
