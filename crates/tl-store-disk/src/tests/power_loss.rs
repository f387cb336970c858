//! What survives when the power goes, or the process dies, at any moment.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::simulation::Faults;
use lives::{Figures, Lives};
use model::End;

mod lives;
mod model;

/// Takes logs through lives until there have been so many crashes, each of which leaves an image of
/// the disk. Tells what is wrong with the first log that is not as it must be.
///
/// A seed repeats what is published and which pages are lost. Segments are made ready on a thread of
/// their own, so the moment may differ a little.
fn crash(images: usize, faults: Faults, ends: &[End]) -> Result<Figures, String> {
    let seed = seed();
    let (next, left) = (AtomicU64::new(seed), AtomicUsize::new(images.div_ceil(IMAGES_OF_A_LOG)));
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let mut sum = Figures::default();
        let is_left =
            || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1));
        while is_left().is_ok() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let lived = runtime.block_on(live(seed, faults, ends));
            sum += lived.map_err(|error| format!("THROUGHLINE_SEED={seed}: {error}"))?;
        }
        Ok::<_, String>(sum)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut sum = Figures::default();
        for thread in threads {
            sum += thread.join().expect("a panic has said why")?;
        }
        Ok::<_, String>(sum)
    })
}

/// All lives of one log, which end in these ways, again and again.
async fn live(seed: u64, faults: Faults, ends: &[End]) -> Result<Figures, String> {
    let mut lives = Lives::new(seed, faults);
    for number in 0.. {
        let end = ends[number % ends.len()];
        let lived = lives.live(end).await;
        lived.map_err(|error| format!("life {number}: {error}"))?;
        if lives.figures.images == IMAGES_OF_A_LOG {
            break;
        }
    }
    Ok(lives.figures)
}

/// How many: enough to notice what was just broken, or as many as somebody asks for.
fn images() -> usize {
    let asked = std::env::var("THROUGHLINE_IMAGES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(1_000)
}

/// Of the first log; the others go on from there.
fn seed() -> u64 {
    let given = std::env::var("THROUGHLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    println!("THROUGHLINE_SEED={seed}");
    seed
}

#[test]
fn a_power_loss_loses_no_synced_event_and_invents_none() {
    let ends = [End::PowerLoss, End::PowerLoss, End::Close];
    let figures = crash(images(), Faults::default(), &ends).unwrap_or_else(|it| panic!("{it}"));
    println!("{figures:?}");
    assert!(figures.images >= images());
    // The check of the check: weaker durability loses something, and what was under way survives
    // now and then, so the power goes where it hurts.
    assert!(figures.lost > 0 && figures.unexpected > 0, "{figures:?}");
    assert!(figures.trimmings > 0 && figures.compactions > 0, "{figures:?}");
}

#[test]
fn a_power_loss_after_the_death_of_the_process_loses_no_synced_event() {
    let ends = [End::ProcessDeath, End::PowerLoss];
    let figures = crash(images(), Faults::default(), &ends).unwrap_or_else(|it| panic!("{it}"));
    println!("{figures:?}");
}

#[test]
fn what_the_system_has_survives_the_process() {
    let ends = [End::ProcessDeath, End::Close];
    let figures = crash(100, Faults::default(), &ends).unwrap_or_else(|it| panic!("{it}"));
    println!("{figures:?}");
    assert!(figures.lost > 0, "what was held in memory does not survive");
}

/// The check of the check.
#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    let lies = Faults { syncs_lie: true, ..Faults::default() };
    let complaint = crash(CHECK_IMAGES, lies, &[End::PowerLoss]).expect_err("noticed");
    println!("{complaint}");
}

/// The check of the check.
#[test]
fn a_disk_that_forgets_a_synced_page_is_noticed() {
    let forgets = Faults { syncs_forget_a_page: true, ..Faults::default() };
    let complaint = crash(CHECK_IMAGES, forgets, &[End::PowerLoss]).expect_err("noticed");
    println!("{complaint}");
}

/// Crashes of one log.
const IMAGES_OF_A_LOG: usize = 5;
/// A disk that is not to be trusted shows it sooner.
const CHECK_IMAGES: usize = 50;
