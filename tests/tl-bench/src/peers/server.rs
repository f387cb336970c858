//! A server of somebody else's: started on the server's core, weighed with all its processes, stopped.

use std::any::Any;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tl_conformance::RunningServer;

use crate::machine;

/// A server that listens. Dropping it stops all its processes.
pub(super) struct Server {
    /// Where, on loopback.
    pub(super) port: u16,
    id: u32,
    _running: Box<dyn Any>,
}

impl From<RunningServer> for Server {
    fn from(server: RunningServer) -> Self {
        Self { port: server.port(), id: server.id(), _running: Box::new(server) }
    }
}

impl Server {
    /// Starts a program with what is prepared for it in its home, a temporary directory, and waits until
    /// it listens on the port it was told.
    pub(super) fn start(
        program: &Path,
        prepare: impl FnOnce(&Path, u16) -> Result<Vec<String>, std::io::Error>,
    ) -> Self {
        let (home, port) = (tempfile::tempdir().expect("a temporary directory"), free_port());
        let args = prepare(home.path(), port).expect("the configuration is written");
        let log = home.path().join("log");
        let child = Command::new("setpriv")
            // It is not to outlive a run that is broken off.
            .args(["--pdeathsig", "TERM", "taskset", "--cpu-list"])
            .arg(machine::SERVER_CORE.to_string())
            .arg(program)
            .args(args)
            .current_dir(home.path())
            // No server writes a log of what it does, as far as it can be told so.
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .stdout(File::create(&log).expect("the log is made"))
            .stderr(File::options().append(true).open(&log).expect("the log is there"))
            .spawn()
            .expect("setpriv and taskset are part of every Debian");
        let mut spawned = Spawned { child, home };
        spawned.wait_until_listening(port);
        Self { port, id: spawned.child.id(), _running: Box::new(spawned) }
    }

    /// The processor time of all its processes.
    pub(super) fn time(&self) -> Duration {
        family(self.id).into_iter().filter_map(time).sum()
    }

    /// The memory of all its processes, in bytes; what several share counts once (PSS).
    pub(super) fn memory(&self) -> u64 {
        family(self.id).into_iter().filter_map(proportional_set_size).sum()
    }
}

/// A program installed by `cargo xtask bench peers-install`.
pub(super) fn installed(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the program knows itself");
    let target = this.ancestors().nth(2).expect("it lies in a directory of the target directory");
    let program = target.join("peers/bin").join(name);
    assert!(program.is_file(), "{} is missing; {HOW_TO_INSTALL}", program.display());
    program
}

/// A file of a Debian package.
pub(super) fn of_debian(path: &str) -> PathBuf {
    assert!(Path::new(path).is_file(), "{path} is missing; {HOW_TO_INSTALL}");
    path.into()
}

struct Spawned {
    child: Child,
    home: TempDir,
}

impl Spawned {
    fn wait_until_listening(&mut self, port: u16) {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = self.child.try_wait().expect("waits");
            let has_time = ended.is_none() && Instant::now() < until;
            assert!(has_time, "it does not listen ({ended:?}): {}", self.log());
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let all = family(self.child.id()).into_iter().map(|id| id.to_string());
        let all: Vec<_> = all.collect();
        // Some may have ended already.
        let _ = Command::new("kill").arg("-TERM").args(&all).stderr(Stdio::null()).status();
        let until = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(LOOK_INTERVAL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process and all that it has started.
fn family(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut known = 0;
    let parents = parents();
    while let Some(&parent) = all.get(known) {
        all.extend(parents.iter().filter(|(_, its)| *its == parent).map(|(child, _)| *child));
        known += 1;
    }
    all
}

/// Every process of the machine with its parent.
fn parents() -> Vec<(u32, u32)> {
    let ids = fs::read_dir("/proc").expect("Linux has it").flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| Some((id, *numbers(id)?.get(PARENT)? as u32))).collect()
}

/// The processor time of a process and of its children that have ended, in steps of 10 ms; `None` if it has
/// ended itself.
fn time(id: u32) -> Option<Duration> {
    let ticks = numbers(id)?.get(TIMES)?.iter().sum::<u64>();
    Some(Duration::from_millis(ticks * 10))
}

/// What Linux tells of a process after its name and its state; what is no number is 0.
fn numbers(id: u32) -> Option<Vec<u64>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').skip(1).map(|field| field.parse().unwrap_or(0)).collect())
}

fn proportional_set_size(id: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024)
}

/// One that was free a moment ago.
fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    socket.local_addr().expect("it is bound").port()
}

const PARENT: usize = 0;
/// In user and in system mode, its own and that of its children.
const TIMES: Range<usize> = 10..14;
const HOW_TO_INSTALL: &str = "install it with `cargo xtask bench peers-install`";
/// To start, and to stop.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
