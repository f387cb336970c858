//! The whole server under seeds: `docs/simulation.md` tells how to run more of them, and one again.

use std::sync::atomic::{AtomicU64, Ordering};

use tl_sim::{Figures, Run, run};

/// Runs so many seeds on all cores; the first that breaks a promise is told.
fn run_all(first: u64, seeds: u64) -> Result<Figures, String> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Figures::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds {
                return Ok(sum);
            }
            let seed = first.wrapping_add(number);
            let Run { figures, complaint, .. } = run(seed, false);
            sum += figures;
            if let Some(complaint) = complaint {
                next.store(seeds, Ordering::Relaxed);
                return Err(format!("THROUGHLINE_SEED={seed}, seed {number}: {complaint}"));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut sum = Figures::default();
        for thread in threads {
            sum += thread.join().expect("a panic has said why")?;
        }
        Ok(sum)
    })
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn every_promise_holds_under_every_seed() {
    let (given, seeds) = (variable("THROUGHLINE_SEED"), variable("THROUGHLINE_SEEDS"));
    if let (Some(seed), None) = (given, seeds) {
        let Run { trace, figures, complaint } = run(seed, true);
        println!("{}\n{figures:?}", trace.text().join("\n"));
        assert_eq!(complaint, None, "THROUGHLINE_SEED={seed}");
        return;
    }
    let first = given.unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    println!("THROUGHLINE_SEED={first}");
    let figures = run_all(first, seeds.unwrap_or(SEEDS)).unwrap_or_else(|it| panic!("{it}"));
    println!("{figures:?}");
    // The check of the check: whatever can go wrong did, somewhere.
    let Figures { gaps, lost, trimmed, holes, deaths, power_losses, cuts, refusals, .. } = figures;
    let counts = [gaps, lost, trimmed, holes, deaths, power_losses, cuts, refusals];
    assert!(seeds.is_some() || counts.iter().all(|count| *count > 0), "{figures:?}");
}

#[test]
fn two_runs_of_one_seed_leave_the_same_trace() {
    for seed in 0..20 {
        let (one, other) = (run(seed, true).trace, run(seed, true).trace);
        assert!(one.lines() > 50, "seed {seed} saw next to nothing");
        assert_eq!(one.text(), other.text(), "seed {seed}");
        assert_eq!(one.hash(), other.hash());
    }
}

/// Enough to notice what was just broken.
const SEEDS: u64 = 1_000;
