//! What a log must hold, may hold and may not hold after it ended in some way.

use std::ops::Range;
use std::sync::LazyLock;

use tl_model::{Appended, Durability, Event, LoggedEvent, NewEvent, Offset};

use super::super::*;

/// How a life of a log ends, the gentlest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum End {
    Close,
    ProcessDeath,
    PowerLoss,
}

/// An event that was handed to the log. Its id is unique, its data a piece of [`noise`].
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) channel: &'static str,
    pub(super) data: Range<usize>,
}

/// All that was told of one log, through all its lives.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Every event that has a receipt, or was found, and has not been lost; in order.
    log: Vec<Known>,
    /// So many at the beginning of the log have been trimmed. They may come back.
    trimmed: usize,
    /// So many survive the death of the process.
    written: usize,
    /// So many survive the loss of power.
    durable: usize,
    /// The batch that was under way when the log ended: it is in the log as a whole or not at all.
    under_way: Vec<Sent>,
    highest: Offset,
}

#[derive(Clone, Debug)]
struct Known {
    offset: Offset,
    /// The first offset of its batch.
    batch: Offset,
    sent: Sent,
}

/// What became of the last life's events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// Events with receipts of weaker durability that are gone.
    pub(super) lost: usize,
    /// Events without a receipt that are there.
    pub(super) unexpected: usize,
}

impl Sent {
    pub(super) fn new_event(&self) -> NewEvent {
        let data = &noise()[self.data.clone()];
        NewEvent {
            channel: Channel::parse(self.channel).expect("channel"),
            event: Event::builder(&self.id, "/s", "t").data(data).build().expect("legal"),
        }
    }

    fn is(&self, logged: &LoggedEvent) -> bool {
        let data = logged.event.data().unwrap_or_default();
        logged.event.id() == self.id
            && logged.channel.as_str() == self.channel
            && *data == noise()[self.data.clone()]
    }
}

impl Model {
    /// A batch has its receipts.
    pub(super) fn appended(
        &mut self,
        batch: Vec<Sent>,
        appended: &[Appended],
        durability: Durability,
    ) -> Result<(), String> {
        ensure(batch.len() == appended.len(), || "a receipt is missing".to_owned())?;
        self.add(batch, appended.iter().map(|it| it.offset).collect())?;
        match durability {
            Durability::None | Durability::Memory => {}
            Durability::Os => self.written = self.log.len(),
            Durability::Fsync => self.synced(),
        }
        Ok(())
    }

    /// A batch was refused because the log ended meanwhile.
    pub(super) fn refused(&mut self, batch: Vec<Sent>) {
        self.under_way = batch;
    }

    /// Everything so far is synced.
    pub(super) fn synced(&mut self) {
        self.written = self.log.len();
        self.durable = self.log.len();
    }

    /// The log has been trimmed, or was about to be.
    pub(super) fn trimmed(&mut self, head: Offset) {
        self.trimmed = self.log.partition_point(|known| known.offset < head);
    }

    /// Compares with what is found after the log ended, and goes on from there.
    pub(super) fn check(
        &mut self,
        end: End,
        found: &[LoggedEvent],
        tail: Offset,
    ) -> Result<Outcome, String> {
        ensure(tail > self.highest, || format!("{} would be given out twice", self.highest))?;
        let first = found.first().map(|event| event.offset);
        let start = first.map_or(self.trimmed, |first| self.index_of(first));
        let stop = self.log.len().min(start + found.len());
        let (known, unexpected) = found.split_at(stop - start);
        self.check_known(start, known)?;
        self.check_sure(end, start, stop)?;
        self.check_whole(start, stop)?;
        let lost = self.log.len() - stop;
        self.log.truncate(stop);
        self.trimmed = start;
        self.take_unexpected(unexpected)?;
        self.written = self.log.len();
        self.durable = match end {
            End::Close | End::PowerLoss => self.log.len(),
            End::ProcessDeath => self.durable,
        };
        Ok(Outcome { lost, unexpected: unexpected.len() })
    }

    fn index_of(&self, offset: Offset) -> usize {
        self.log.partition_point(|known| known.offset < offset)
    }

    fn check_known(&self, start: usize, found: &[LoggedEvent]) -> Result<(), String> {
        for (known, event) in self.log[start..].iter().zip(found) {
            let is_same = known.offset == event.offset && known.sent.is(event);
            ensure(is_same, || format!("{} is not what was told: {known:?}", event.offset))?;
        }
        Ok(())
    }

    fn check_sure(&self, end: End, start: usize, stop: usize) -> Result<(), String> {
        let sure = match end {
            End::Close => self.log.len(),
            End::PowerLoss => self.durable,
            End::ProcessDeath => self.written,
        };
        ensure(start <= self.trimmed, || format!("{start} at the beginning are lost"))?;
        ensure(stop >= sure, || format!("{:?} is lost", self.log[stop]))
    }

    fn check_whole(&self, start: usize, stop: usize) -> Result<(), String> {
        let is_cut = start < stop
            && self.log.get(stop).is_some_and(|next| next.batch == self.log[stop - 1].batch);
        ensure(!is_cut, || format!("a part of the batch at {} is lost", self.log[stop].batch))
    }

    fn take_unexpected(&mut self, found: &[LoggedEvent]) -> Result<(), String> {
        let batch = std::mem::take(&mut self.under_way);
        let Some(first) = found.first() else { return Ok(()) };
        let is_same = batch.len() == found.len() && batch.iter().zip(found).all(|(a, b)| a.is(b));
        ensure(is_same, || format!("{} was never sent, or not like this", first.offset))?;
        self.add(batch, found.iter().map(|event| event.offset).collect())
    }

    fn add(&mut self, batch: Vec<Sent>, offsets: Vec<Offset>) -> Result<(), String> {
        let first = offsets[0];
        for (sent, offset) in batch.into_iter().zip(offsets) {
            ensure(offset > self.highest, || format!("{offset} is given out twice"))?;
            self.highest = offset;
            self.log.push(Known { offset, batch: first, sent });
        }
        Ok(())
    }
}

/// Bytes without a pattern, so that no piece of them is like another.
fn noise() -> &'static [u8] {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut random = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(|| random.u8(..)).take(NOISE_BYTES).collect()
    });
    &NOISE
}

fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint()) }
}

/// The largest data, and as much again to begin anywhere.
pub(super) const NOISE_BYTES: usize = 128 * 1024;
