use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::machine;

/// Another server, in a process of its own on the server's core. Dropping it kills it.
pub(super) struct Peer {
    child: Child,
    pub(super) port: u16,
}

impl Peer {
    /// tonic on our engine, with its log in a directory.
    pub(super) fn tonic(home: &Path) -> Self {
        Self::start(&["tonic", &home.join("tonic").to_string_lossy()])
    }

    /// Starts one of those that `tl-bench-peer` knows.
    pub(super) fn start(words: &[&str]) -> Self {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &machine::SERVER_CORE.to_string()]);
        command.arg(built()).args(words);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it has been built");
        let mut port = String::new();
        let said = child.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut port).expect("it says its port");
        Self { child, port: port.trim().parse().expect("a port") }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

/// The program, built from its present source, with features that are its own.
fn built() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tl-bench-peer");
    let target = source.join("target");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]);
    build.arg(source.join("Cargo.toml")).arg("--target-dir").arg(&target);
    assert!(build.status().expect("cargo runs").success(), "the peers are built");
    target.join("release/tl-bench-peer")
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
