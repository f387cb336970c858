//! File systems that are cut off while the server writes.

use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

use tl_conformance::say;

use crate::file_system::FileSystem;
use crate::log::Log;
use crate::publishers::Publishers;

/// Rounds on each file system until the time is up: no synced event is lost.
pub(crate) async fn run(time: Duration, directory: &Path, seed: u64) {
    let mut random = Rng::with_seed(seed);
    for kind in FILE_SYSTEMS {
        let file_system = FileSystem::make(directory, kind);
        let until = Instant::now() + time / FILE_SYSTEMS.len() as u32;
        let mut log = Log::new(file_system.path().join("fsync"), "fsync");
        while Instant::now() < until {
            one_round(&mut log, &file_system, &mut random).await;
            assert_eq!(log.lost, 0, "{kind}: round {} lost events", log.rounds);
        }
        say(&format!("{kind}, fsync: {} rounds, {} receipts, none lost", log.rounds, log.receipts));
        check_of_the_check(&file_system, kind, &mut random).await;
    }
}

/// What is only handed to the operating system is lost in the same rounds.
async fn check_of_the_check(file_system: &FileSystem, kind: &str, random: &mut Rng) {
    let mut log = Log::new(file_system.path().join("os"), "os");
    for _ in 0..OS_ROUNDS {
        one_round(&mut log, file_system, random).await;
    }
    let (rounds, receipts, lost) = (log.rounds, log.receipts, log.lost);
    say(&format!("{kind}, os: {rounds} rounds, {receipts} receipts, {lost} lost"));
    assert!(lost > 0, "the check of the check: without syncing something must be lost");
}

async fn one_round(log: &mut Log, file_system: &FileSystem, random: &mut Rng) {
    let server = log.start(&[]);
    let publishers = Publishers::start(&server, log.rounds);
    let alive = random.u128(..ALIVE_MAX.as_micros());
    tokio::time::sleep(Duration::from_micros(alive as u64)).await;
    file_system.cut_off();
    server.kill();
    file_system.mount_again();
    log.check(&publishers.told().await, &[]).await;
}

const FILE_SYSTEMS: &[&str] = &["ext4", "xfs"];
/// Time for some segments.
const ALIVE_MAX: Duration = Duration::from_millis(400);
/// Enough that something is under way in one of them.
const OS_ROUNDS: usize = 5;
