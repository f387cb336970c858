use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// How much of the machine this process takes.
pub(super) struct Usage {
    since: Instant,
    used_before: f64,
}

impl Usage {
    pub(super) fn start() -> Self {
        Self { since: Instant::now(), used_before: used_seconds() }
    }

    /// How many cores it has kept busy since the start.
    pub(super) fn cores_busy(&self) -> f64 {
        (used_seconds() - self.used_before) / self.since.elapsed().as_secs_f64().max(1e-6)
    }
}

/// How many cores it may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor time of all threads so far.
fn used_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}
