//! One log through several lives, each of which ends in its own way.

use std::ops::AddAssign;
use std::time::Duration;

use fastrand::Rng;

use tl_model::{Durability, LoggedEvent, Offset, Pattern, Retention, Rule, Selection};

use super::super::*;
use super::model::{End, Model, NOISE_BYTES, Outcome, Sent};
use crate::simulation::{Faults, SimulatedDisk};

/// A log, the disk it is on, and what is known of it.
pub(super) struct Lives {
    random: Rng,
    disk: SimulatedDisk,
    /// What is wrong with the disk.
    faults: Faults,
    segment_bytes: u64,
    model: Model,
    /// How the last life ended; if it was not even opened since, the worst that happened.
    ended: End,
    sent: u64,
    pub(super) figures: Figures,
}

/// What the lives of some logs were worth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// Crashes that were looked at.
    pub(super) images: usize,
    pub(super) receipts: usize,
    /// Receipts of weaker durability whose events were lost.
    pub(super) lost: usize,
    /// Events without a receipt that were there.
    pub(super) unexpected: usize,
    pub(super) trimmings: usize,
    pub(super) compactions: usize,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.images += other.images;
        self.receipts += other.receipts;
        self.lost += other.lost;
        self.unexpected += other.unexpected;
        self.trimmings += other.trimmings;
        self.compactions += other.compactions;
    }
}

impl Lives {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let mut random = Rng::with_seed(seed);
        let segment_bytes = segment_bytes(&mut random);
        let disk = SimulatedDisk::new();
        let (model, ended, figures) = (Model::default(), End::Close, Figures::default());
        Self { random, disk, faults, segment_bytes, model, ended, sent: 0, figures }
    }

    /// Opens the log, checks what the life before has left, and uses it until it ends.
    pub(super) async fn live(&mut self, end: End) -> Result<(), String> {
        let ends_early = end != End::Close && self.random.u8(..4) > 0;
        self.disk.set_faults(self.faults);
        if ends_early && self.random.u8(..16) == 0 {
            // While it is opened.
            self.disk.cut_power_after(1);
        }
        match self.open() {
            Ok(store) => {
                self.check(&store).await?;
                if ends_early {
                    self.disk.cut_power_after(self.random.u64(1..CHANGES_MAX));
                }
                self.use_until(ends_early, &store).await?;
                self.ended = end;
                self.end(end, || drop(store));
            }
            Err(OpenError::Recovery(RecoveryError::Io(_))) if ends_early => {
                self.ended = self.ended.max(end);
                self.end(end, || ());
            }
            Err(error) => return Err(format!("after {:?} it is not opened: {error}", self.ended)),
        }
        Ok(())
    }

    fn open(&mut self) -> Result<DiskStore, OpenError> {
        if self.random.u8(..8) == 0 {
            self.segment_bytes = segment_bytes(&mut self.random);
        }
        open(&self.disk, self.segment_bytes, self.random.fork())
    }

    /// Does this and that until the power goes, if it does.
    async fn use_until(&mut self, power_goes: bool, store: &DiskStore) -> Result<(), String> {
        for _ in 0..self.random.usize(..STEPS_MAX) {
            let done = match self.random.u8(..12) {
                0 => self.trim(store).await.map_err(|error| error.to_string()),
                1 => self.flush(store).await.map_err(|error| error.to_string()),
                _ => self.append(store).await?.map_err(|error| error.to_string()),
            };
            match done {
                Ok(()) => {}
                Err(_) if power_goes => return Ok(()),
                Err(error) => return Err(format!("nothing is wrong, and yet: {error}")),
            }
        }
        Ok(())
    }

    async fn append(&mut self, store: &DiskStore) -> Result<Result<(), AppendError>, String> {
        let durability = [Durability::Fsync, Durability::Os, Durability::Memory];
        let durability = durability[self.random.usize(..durability.len())];
        let sent = self.batch();
        let events = sent.iter().map(Sent::new_event).collect();
        match store.append(Batch { durability, logged_at_ms: 0, events }).await {
            Ok(appended) => {
                self.figures.receipts += appended.len();
                self.model.appended(sent, &appended, durability).map(Ok)
            }
            Err(error) => {
                self.model.refused(sent);
                Ok(Err(error))
            }
        }
    }

    async fn flush(&mut self, store: &DiskStore) -> Result<(), AppendError> {
        store.flush().await?;
        self.model.synced();
        Ok(())
    }

    async fn trim(&mut self, store: &DiskStore) -> Result<(), TrimError> {
        // All that is old enough, or all but the newest; one channel in four is kept for ever.
        let (kept, retention) = match self.random.u64(0..8) {
            0 => (0, Retention { age: Some(Duration::ZERO), ..Retention::default() }),
            kept => (kept, Retention { count: Some(kept), ..Retention::default() }),
        };
        let rule = |pattern: &str, retention| Rule {
            retention: Some(retention),
            ..Rule::of(Pattern::parse(pattern).expect("pattern"))
        };
        let rules = vec![rule(">", retention), rule(KEPT_CHANNEL, Retention::default())];
        let before = (store.bounds().head, store.sparse_segments());
        // What it has begun to forget may be gone, also if it does not come to its end.
        self.model.trimmed(kept);
        let done = store.trim(&Rules::new(rules), 1).await;
        self.figures.trimmings += usize::from(store.bounds().head > before.0);
        self.figures.compactions += usize::from(store.sparse_segments() > before.1);
        done
    }

    /// Up to 256 events of up to 64 KiB, though not all so large at once.
    fn batch(&mut self) -> Vec<Sent> {
        let random = &mut self.random;
        let count_max = [1, 1, 2, 8, 64, 256][random.usize(..6)];
        let count = random.usize(1..=count_max);
        let bytes_max = [0, 100, 1_000, 8_192, 65_536][random.usize(..5)];
        let bytes_max = bytes_max.min(BATCH_BYTES_MAX / count);
        (0..count).map(|_| self.sent(bytes_max)).collect()
    }

    fn sent(&mut self, bytes_max: usize) -> Sent {
        let random = &mut self.random;
        let length = [random.usize(0..=bytes_max), bytes_max][usize::from(random.u8(..8) == 0)];
        let start = random.usize(0..=NOISE_BYTES - length);
        let channel = CHANNELS[random.usize(..CHANNELS.len())];
        self.sent += 1;
        Sent { id: self.sent.to_string(), channel, data: start..start + length }
    }

    /// Ends a life. What the log does while it is dropped comes too late, unless it is closed.
    fn end(&mut self, end: End, drop_store: impl FnOnce()) {
        let page_bytes = if self.random.bool() { 512 } else { 4_096 };
        let chance = self.random.u8(1..8);
        let coin = || self.random.u8(..8) < chance;
        let image = match end {
            End::Close => None,
            End::PowerLoss => Some(self.disk.after_power_loss(page_bytes, coin)),
            End::ProcessDeath => Some(self.disk.after_process_death()),
        };
        drop_store();
        match image {
            Some(image) => self.disk = image,
            None => self.model.synced(),
        }
    }

    async fn check(&mut self, store: &DiskStore) -> Result<(), String> {
        let ended = self.ended;
        let found = read_all(store).await?;
        let outcome = self.model.check(ended, &found, store.bounds().tail);
        let Outcome { lost, unexpected } =
            outcome.map_err(|it| format!("after {ended:?}: {it}"))?;
        self.figures.images += usize::from(ended != End::Close);
        self.figures.lost += lost;
        self.figures.unexpected += unexpected;
        Ok(())
    }
}

fn open(disk: &SimulatedDisk, segment_bytes: u64, mut random: Rng) -> Result<DiskStore, OpenError> {
    let (disk, epoch) = (Arc::new(disk.clone()), Epoch::from_random(1 << 40));
    DiskStore::open_on(disk, epoch, segment_bytes, Box::new(move || random.u64(..)))
}

async fn read_all(store: &DiskStore) -> Result<Vec<LoggedEvent>, String> {
    let selection = Selection::parse([">"]).expect("selection");
    let (events_max, bytes_max) = (usize::MAX, usize::MAX);
    let mut read = Read { selection, after: Offset::START, events_max, bytes_max };
    let mut events = Vec::new();
    loop {
        let page = store.read(read.clone()).await.map_err(|error| error.to_string())?;
        events.extend(page.events);
        read.after = page.read_to;
        if page.reached_end {
            return Ok(events);
        }
    }
}

/// Small, so that the end of a segment is never far.
fn segment_bytes(random: &mut Rng) -> u64 {
    [4, 16, 64][random.usize(..3)] * 1024
}

const CHANNELS: [&str; 4] = ["a", "b", "c.d", KEPT_CHANNEL];
pub(super) const KEPT_CHANNEL: &str = "c.e";
/// Steps of one life: enough to go through several segments.
const STEPS_MAX: usize = 24;
/// Changes of the disk in one life, about as many as the steps make.
const CHANGES_MAX: u64 = 40;
/// Larger batches would only take longer.
const BATCH_BYTES_MAX: usize = 192 * 1024;
