//! The machine that is measured on: its cores and its clocks.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

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
