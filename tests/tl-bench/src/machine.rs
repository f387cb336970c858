//! The machine that is measured on: its cores and its clocks.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::thread::{ClockId, CpuSet, sched_setaffinity};

/// Where the server runs, alone.
pub(crate) const SERVER_CORE: usize = 0;
/// Where everything runs that loads it.
pub(crate) const LOAD_CORE: usize = 1;

/// Keeps this thread, and all that it starts from now on, on one core.
pub(crate) fn stay_on(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).expect("the machine has two cores");
}

/// How much processor time this process has had.
pub(crate) fn process_time() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

/// How much processor time this thread has had.
pub(crate) fn thread_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

/// How much processor time another process has had, in steps of 10 ms.
pub(crate) fn time_of_process(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs");
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").expect("Linux writes it so");
    let field =
        |place: usize| fields.split(' ').nth(place).and_then(|text| text.parse::<u64>().ok());
    let ticks = field(11).zip(field(12)).map(|(user, system)| user + system).expect("two numbers");
    Duration::from_millis(ticks * 10)
}

/// Files, and so sockets, that another process has open.
pub(crate) fn open_files(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).expect("the process runs").count()
}

/// Bytes that each connection of a port of this machine has to send and its peer does not take.
pub(crate) fn unsent_bytes(port: u16) -> Vec<u64> {
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux says it");
    let local = format!(":{port:04X}");
    let unsent = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let is_ours = fields.next()?.ends_with(&local);
        let (queued, _) = fields.nth(2)?.split_once(':')?;
        let bytes = u64::from_str_radix(queued, 16).ok()?;
        is_ours.then_some(bytes)
    };
    sockets.lines().filter_map(unsent).collect()
}

/// Memory of another process that is its own, and its share of what it has in common with others.
pub(crate) fn memory_of_process(id: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup"));
    let rollup = rollup.expect("the process runs");
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = pss.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("Linux says it") * 1024
}

/// How busy this process keeps its core from some moment on, as a share: near 1 it measures itself.
pub(crate) struct Load {
    begun: Instant,
    before: Duration,
}

impl Load {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), before: process_time() }
    }

    /// The share until now.
    pub(crate) fn share(&self) -> f64 {
        self.share_without(Duration::ZERO)
    }

    /// The share until now, without what other threads have had on another core.
    pub(crate) fn share_without(&self, others: Duration) -> f64 {
        let spent = process_time().saturating_sub(self.before).saturating_sub(others);
        spent.as_secs_f64() / self.begun.elapsed().as_secs_f64()
    }
}

/// Bytes that the disk below a directory has ever been given to write.
pub(crate) fn device_bytes_written(directory: &Path) -> u64 {
    let device = std::fs::metadata(directory).expect("it is there").dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
    let stat = stat.unwrap_or_default();
    let sectors = stat.split_whitespace().nth(6).and_then(|number| number.parse::<u64>().ok());
    sectors.map_or(0, |sectors| sectors * 512)
}

/// What machine it is, in a line.
pub(crate) fn describe() -> String {
    let about = |path: &str, name: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (model, memory) =
        (about("/proc/cpuinfo", "model name"), about("/proc/meminfo", "MemTotal"));
    let kernel = about("/proc/sys/kernel/osrelease", "");
    format!("{cores} cores of {model}, {memory}, Linux {kernel}")
}

fn time_of(clock: ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
