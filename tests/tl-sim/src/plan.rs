//! What a seed decides before anything happens.

use std::time::Duration;

use fastrand::Rng;

use tl_model::{Durability, Pattern, Retention, Rule, Rules};

/// How a run is set up.
pub(crate) struct Plan {
    pub(crate) segment_bytes: u64,
    pub(crate) rules: Rules,
    pub(crate) disk_delay_ms_max: u64,
    pub(crate) link_delay_ms_max: u64,
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    /// What they subscribe to first, if that is the same for all: then they share lanes.
    pub(crate) shared: Option<&'static [&'static str]>,
    /// Publishes of one publisher, at most.
    pub(crate) publishes: usize,
    /// Publishes that are sent at once.
    pub(crate) burst: usize,
    /// Events of one publish, at most.
    pub(crate) batch_max: usize,
    pub(crate) data_bytes_max: usize,
    /// All batches are of one size: what a file held before then lies where the next batch would.
    pub(crate) is_uniform: bool,
    /// Between two publishes of one publisher, at most.
    pub(crate) pause_ms_max: u64,
    /// How many times the director lets something happen.
    pub(crate) incidents: usize,
}

impl Plan {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let mut plan = Self::draw_usual(random);
        if random.u8(..32) == 0 {
            // More receipts at once than a task handles before it lets others have a turn.
            (plan.publishes, plan.burst) = (400, 200);
            (plan.batch_max, plan.data_bytes_max) = (1, 20);
        }
        plan
    }

    fn draw_usual(random: &mut Rng) -> Self {
        Self {
            segment_bytes: one_of(random, [2, 4, 16]) * 1024,
            rules: rules(random),
            disk_delay_ms_max: one_of(random, [0, 3, 30]),
            link_delay_ms_max: one_of(random, [0, 20, 300]),
            publishers: random.usize(1..=3),
            subscribers: random.usize(1..=4),
            shared: random.bool().then(|| one_of(random, SELECTIONS)),
            publishes: random.usize(5..40),
            burst: one_of(random, [1, 1, 1, 5]),
            batch_max: one_of(random, [1, 3, 8]),
            data_bytes_max: one_of(random, [20, 200, 1_000]),
            is_uniform: random.u8(..3) == 0,
            pause_ms_max: one_of(random, [50, 400, 1_500]),
            incidents: random.usize(2..=8),
        }
    }
}

pub(crate) fn one_of<T: Copy, const N: usize>(random: &mut Rng, choices: [T; N]) -> T {
    choices[random.usize(..N)]
}

/// Most logs keep everything and sync everything, as servers do without rules.
fn rules(random: &mut Rng) -> Rules {
    let mut rules = Vec::new();
    for pattern in [">", "a", "c.*"] {
        let durability = one_of(random, [None, None, None, Some(Durability::Os)]);
        let durability = match random.u8(..8) {
            0 => Some(Durability::Memory),
            1 => Some(Durability::Fsync),
            _ => durability,
        };
        let retention = match random.u8(..5) {
            0 => Some(Retention { count: Some(random.u64(1..12)), ..Retention::default() }),
            1 => Some(Retention { age: Some(age(random)), ..Retention::default() }),
            _ => None,
        };
        let pattern = Pattern::parse(pattern).expect("a legal pattern");
        rules.push(Rule { durability, retention, ..Rule::of(pattern) });
    }
    Rules::new(rules)
}

fn age(random: &mut Rng) -> Duration {
    Duration::from_millis(random.u64(100..8_000))
}

/// Where events go.
pub(crate) const CHANNELS: [&str; 4] = ["a", "b", "c.d", "c.e"];
/// What is subscribed to.
pub(crate) const SELECTIONS: [&[&str]; 7] =
    [&["a"], &["b"], &["c.d", "a"], &["c.*"], &["c.>", "b"], &[">"], &["a", "c.e", "c.*"]];
