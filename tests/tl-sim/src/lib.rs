//! The whole server under seeds.
//!
//! Journal, committer, tail, subscriptions and sessions are the ones that are shipped. The [disk and
//! the power](server), the [network], time and chance are simulated, and every one of them
//! is drawn from one seed, so that a run can be repeated. [Publishers](publisher) and
//! [subscribers](subscriber) use the server while a [director] lets things go wrong; a
//! [model] knows what the log must hold, and each [subscription](following) what it may miss.

mod client;
mod director;
mod environment;
mod following;
mod model;
mod network;
mod plan;
mod publisher;
mod server;
mod store;
mod subscriber;
mod trace;
mod world;

pub use trace::Trace;

use tokio::runtime::Builder;

/// What a run was worth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Events that were logged.
    pub logged: usize,
    /// Receipts that publishers got.
    pub receipts: usize,
    /// Events that subscribers got.
    pub delivered: usize,
    /// Gaps that subscribers were told of.
    pub gaps: usize,
    /// Events that were lost, as their rules allow.
    pub lost: usize,
    /// Events that were trimmed.
    pub trimmed: usize,
    /// Those of them before which something older is kept.
    pub holes: usize,
    /// Deaths of the process.
    pub deaths: usize,
    /// Losses of power.
    pub power_losses: usize,
    /// Links that were cut.
    pub cuts: usize,
    /// Publishes that were refused.
    pub refusals: usize,
}

/// A run that has come to its end.
#[derive(Debug)]
pub struct Run {
    /// What was seen.
    pub trace: Trace,
    /// What it was worth.
    pub figures: Figures,
    /// The first promise that was broken.
    pub complaint: Option<String>,
}

/// Runs the simulation of a seed. `keeps_text` keeps every line of the trace, and not its hash alone.
pub fn run(seed: u64, keeps_text: bool) -> Run {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets needs nothing from the system");
    runtime.block_on(director::direct(seed, keeps_text))
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.logged += other.logged;
        self.receipts += other.receipts;
        self.delivered += other.delivered;
        self.gaps += other.gaps;
        self.lost += other.lost;
        self.trimmed += other.trimmed;
        self.holes += other.holes;
        self.deaths += other.deaths;
        self.power_losses += other.power_losses;
        self.cuts += other.cuts;
        self.refusals += other.refusals;
    }
}
