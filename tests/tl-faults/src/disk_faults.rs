//! A disk that fails now and then, by libfiu.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fastrand::Rng;

use tl_conformance::say;

use crate::log::Log;
use crate::publishers::{Publishers, Told};

/// Rounds until the time is up: nothing that has a receipt is lost, refusals say what they are, and
/// reading goes on.
pub(crate) async fn run(time: Duration, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut log = Log::new(home.path().join("fsync"), "fsync");
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    let until = Instant::now() + time;
    for round in 0.. {
        if Instant::now() > until {
            break;
        }
        let fault = &FAULTS[round % FAULTS.len()];
        let told = one_round(&mut log, fault, home.path(), &mut random).await;
        assert_eq!(log.lost, 0, "round {round} lost events that had receipts, by {fault:?}");
        for (code, count) in told.refusals {
            let is_full = code == "store_full" && fault.name == "ENOSPC";
            let is_clear = is_full || ["overloaded", "store_failed"].contains(&code);
            assert!(is_clear, "round {round}: {code} by {fault:?}");
            *refusals.entry(format!("{} {}: {code}", fault.point, fault.name)).or_default() +=
                count;
        }
    }
    say(&format!("fsync: {} rounds, {} receipts, none lost", log.rounds, log.receipts));
    for (what, count) in &refusals {
        say(&format!("refused {count:>5} by {what}"));
    }
    assert!(
        FAULTS.iter().filter(|it| it.is_met_always).all(|fault| {
            refusals.keys().any(|what| what.starts_with(&format!("{} {}", fault.point, fault.name)))
        }),
        "faults must be met"
    );
    check_of_the_check(home.path()).await;
}

/// Without durability the same rounds lose events.
async fn check_of_the_check(home: &Path) {
    let mut log = Log::new(home.join("memory"), "memory");
    for _ in 0..MEMORY_ROUNDS {
        let server = log.start(&[]);
        let publishers = Publishers::start(&server, log.rounds);
        tokio::time::sleep(BEFORE_FAULT_MAX).await;
        server.kill();
        log.check(&publishers.told().await, &[]).await;
    }
    say(&format!("memory: {} rounds, {} receipts, {} lost", log.rounds, log.receipts, log.lost));
    assert!(log.lost > 0, "the check of the check: events in memory must be lost");
}

async fn one_round(log: &mut Log, fault: &Fault, home: &Path, random: &mut Rng) -> Told {
    let control = home.join("control").to_string_lossy().into_owned();
    let server = log.start(&["fiu-run", "-x", "-f", &control]);
    let publishers = Publishers::start(&server, log.rounds);
    let wait = random.u128(..BEFORE_FAULT_MAX.as_micros());
    tokio::time::sleep(Duration::from_micros(wait as u64)).await;
    fault.enable(&control, server.id(), random.f32() * PROBABILITY_MAX);
    publishers.are_refused().await;
    let (seen, _) = log.read(&server).await;
    server.kill();
    let told = publishers.told().await;
    log.check(&told, &seen).await;
    told
}

/// A call that fails, and how.
#[derive(Debug)]
struct Fault {
    point: &'static str,
    name: &'static str,
    code: i32,
    /// Files are synced as a whole only when a segment is made, and there may be none.
    is_met_always: bool,
}

impl Fault {
    /// Has the call of a running program fail from now on, with this probability.
    fn enable(&self, control: &str, process: u32, probability: f32) {
        let Self { point, code, .. } = self;
        let enable = format!(
            "enable_random name=posix/io/{point},probability={probability},failinfo={code}"
        );
        let status = Command::new("fiu-ctrl")
            .args(["-f", control, "-c", &enable, &process.to_string()])
            .status();
        assert!(status.expect("fiu-ctrl runs").success());
    }
}

/// The calls by which the journal is written.
const FAULTS: &[Fault] = &[
    Fault { point: "rw/pwrite", name: "EIO", code: EIO, is_met_always: true },
    Fault { point: "rw/pwrite", name: "ENOSPC", code: ENOSPC, is_met_always: true },
    Fault { point: "sync/fdatasync", name: "EIO", code: EIO, is_met_always: true },
    Fault { point: "sync/fdatasync", name: "ENOSPC", code: ENOSPC, is_met_always: true },
    Fault { point: "sync/fsync", name: "EIO", code: EIO, is_met_always: false },
    Fault { point: "sync/fsync", name: "ENOSPC", code: ENOSPC, is_met_always: false },
    Fault { point: "rw/pwrite/reduce", name: "short", code: 0, is_met_always: false },
];
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// Higher, and hardly anything would be between two faults.
const PROBABILITY_MAX: f32 = 0.3;
/// Time for some segments.
const BEFORE_FAULT_MAX: Duration = Duration::from_millis(300);
/// Enough that one of them is within the second for which events are held.
const MEMORY_ROUNDS: usize = 5;
