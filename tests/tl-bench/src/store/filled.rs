use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tl_model::Durability;
use tl_store::LogStore;
use tl_store_disk::{DiskStore, Options};

use super::{Shape, batch, runtime};
use crate::figures::Figures;

/// A store that another process has filled, until it was killed.
pub(super) struct Filled {
    home: tempfile::TempDir,
    shape: Shape,
}

impl Filled {
    pub(super) fn new(shape: Shape) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let Shape { channels, events, data_bytes } = shape;
        let numbers = [channels, events, data_bytes as u64].map(|number| number.to_string());
        let mut filling = Command::new(this_program())
            .arg("--fill")
            .args([home.path().to_string_lossy().as_ref(), &numbers.join(",")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut line = String::new();
        let said = BufReader::new(filling.stdout.take().expect("piped")).read_line(&mut line);
        assert_eq!(said.map(|_| line.as_str().trim()).ok(), Some("filled"));
        filling.kill().expect("it can be killed");
        filling.wait().expect("it ends");
        Self { home, shape }
    }

    pub(super) fn path(&self) -> &Path {
        self.home.path()
    }

    /// Opens it in a process of its own.
    pub(super) fn note_opening(&self, name: &str, figures: &mut Figures) {
        let mut command = Command::new(this_program());
        let told = command.arg("--open").arg(self.path()).output().expect("this program starts");
        let told = String::from_utf8(told.stdout).expect("text");
        let told: Vec<f64> =
            told.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        let [opened_ms, appended_ms, memory_kib] = told[..] else { panic!("three numbers") };
        let bytes = memory_kib * 1024.0 / self.shape.channels as f64;
        figures.note(format!("{name}: opened, ms"), opened_ms);
        figures.note(format!("{name}: first event synced, ms"), appended_ms);
        figures.note(format!("{name}: memory, MiB"), memory_kib / 1024.0);
        figures.note(format!("{name}: memory, bytes a channel"), bytes);
    }
}

/// Fills a store, says so, and waits to be killed.
pub(crate) fn fill_and_wait(directory: PathBuf, shape: &str) {
    let numbers: Vec<u64> = shape.split(',').map(|text| text.parse().expect("a number")).collect();
    let [channels, events, data_bytes] = numbers[..] else { panic!("three numbers") };
    let store = DiskStore::open(&Options::new(directory)).expect("the store opens");
    let runtime = runtime();
    for start in (0..events).step_by(BATCH_EVENTS as usize) {
        let names: Vec<_> = (start..start + BATCH_EVENTS).map(|it| name(it, channels)).collect();
        let batch = batch(&names, data_bytes as usize, Durability::Memory);
        runtime.block_on(store.append(batch)).expect("appends");
    }
    // The newest segment is to hold next to nothing.
    let large = batch(&["large".to_owned()], 1024 * 1024, Durability::Memory);
    for _ in 0..64 {
        runtime.block_on(store.append(large.clone())).expect("appends");
    }
    runtime.block_on(store.flush()).expect("is synced");
    // The store seals its last segments in the background, as it would have long done in use.
    std::thread::sleep(SEALED_WITHIN);
    let mut out = std::io::stdout();
    writeln!(out, "filled").and_then(|()| out.flush()).expect("somebody listens");
    std::thread::sleep(KILLED_WITHIN);
}

/// Opens a store; tells how long that took, how long until the first event was synced, and by how much
/// memory the process had grown.
pub(crate) fn open_and_tell(directory: PathBuf) {
    let (before, begun) = (resident_kib(), Instant::now());
    let store = DiskStore::open(&Options::new(directory)).expect("the store opens");
    let opened = begun.elapsed();
    let first = batch(&["new".to_owned()], 100, Durability::Fsync);
    runtime().block_on(store.append(first)).expect("appends");
    let appended = begun.elapsed();
    let memory = resident_kib() - before;
    let [opened, appended] = [opened, appended].map(|time| time.as_secs_f64() * 1e3);
    writeln!(std::io::stdout(), "{opened} {appended} {memory}").expect("somebody listens");
    // Nothing of what is measured depends on closing.
    std::process::exit(0);
}

/// One event in a hundred goes to one channel; the others to channels of which each thousandth, and each
/// hundredth, share the beginning of their names.
fn name(event: u64, channels: u64) -> String {
    let channel = event % channels;
    match (event % 100, channel % 1_000) {
        (99, _) if channels > 100_000 && event > channels * 2 => "often".to_owned(),
        (_, 0) => format!("g.0.1.{channel}"),
        (1, _) => format!("g.1.{channel}"),
        _ => format!("g.{:02}.{channel}", channel % 100),
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

fn this_program() -> PathBuf {
    std::env::current_exe().expect("the program knows itself")
}

const BATCH_EVENTS: u64 = 1_000;
const SEALED_WITHIN: Duration = Duration::from_secs(3);
const KILLED_WITHIN: Duration = Duration::from_secs(3_600);
