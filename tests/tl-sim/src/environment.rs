use std::sync::Mutex;

use fastrand::Rng;
use tokio::time::Instant;

use tl_engine::Environment;

use crate::world::lock;

/// Time as the simulation has it, and chance from its seed.
pub(crate) struct SimulatedEnvironment {
    began: Instant,
    random: Mutex<Rng>,
}

impl SimulatedEnvironment {
    pub(crate) fn new(began: Instant, random: Rng) -> Self {
        Self { began, random: Mutex::new(random) }
    }
}

impl Environment for SimulatedEnvironment {
    fn now_ms(&self) -> u64 {
        BEGAN_MS + self.began.elapsed().as_millis() as u64
    }

    fn random(&self) -> u64 {
        lock(&self.random).u64(..)
    }
}

/// Some time in 2027.
const BEGAN_MS: u64 = 1_800_000_000_000;
