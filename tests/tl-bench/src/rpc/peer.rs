use std::io::{BufRead, BufReader};
use std::path::Path;
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
        let program = std::env::current_exe().expect("the program knows itself");
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &machine::SERVER_CORE.to_string()]);
        command.arg(program.with_file_name("tl-bench-peer")).args(words);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it is built beside this");
        let mut port = String::new();
        let said = child.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut port).expect("it says its port");
        Self { child, port: port.trim().parse().expect("a port") }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
