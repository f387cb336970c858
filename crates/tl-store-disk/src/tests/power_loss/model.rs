//! What a log must hold, may hold and may not hold after it ended in some way.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use tl_model::{Appended, Durability, Event, LoggedEvent, NewEvent, Offset};

use super::super::*;
use super::lives::KEPT_CHANNEL;

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
    /// It had expired when the log was trimmed, so it may be gone. It may come back, too.
    may_be_gone: bool,
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

    /// The log has been trimmed, or was about to be: so many events of each channel were to be kept.
    pub(super) fn trimmed(&mut self, kept: u64) {
        let mut newer = HashMap::new();
        for known in self.log.iter_mut().rev() {
            let newer = newer.entry(known.sent.channel).or_insert(0);
            known.may_be_gone |= *newer >= kept && known.sent.channel != KEPT_CHANNEL;
            *newer += 1;
        }
    }

    /// Compares with what is found after the log ended, and goes on from there.
    pub(super) fn check(
        &mut self,
        end: End,
        found: &[LoggedEvent],
        tail: Offset,
    ) -> Result<Outcome, String> {
        ensure(tail > self.highest, || format!("{} would be given out twice", self.highest))?;
        let last = self.log.last().map_or(Offset::START, |known| known.offset);
        let known = found.partition_point(|event| event.offset <= last);
        let (known, unexpected) = found.split_at(known);
        let stop = self.check_known(known)?;
        self.check_sure(end, stop)?;
        self.check_whole(stop)?;
        let lost = self.lose_behind(stop);
        self.take_unexpected(unexpected)?;
        self.written = self.log.len();
        self.durable = match end {
            End::Close | End::PowerLoss => self.log.len(),
            End::ProcessDeath => self.durable.min(self.log.len()),
        };
        Ok(Outcome { lost, unexpected: unexpected.len() })
    }

    /// Compares what was found with what is known, up to the last that was found. Returns how many of
    /// what is known that is.
    fn check_known(&self, found: &[LoggedEvent]) -> Result<usize, String> {
        let mut log = self.log.iter().enumerate();
        let mut stop = 0;
        for event in found {
            let (at, known) = log
                .find(|(_, known)| known.offset >= event.offset || !known.may_be_gone)
                .ok_or_else(|| format!("{} was never told", event.offset))?;
            let is_same = known.offset == event.offset && known.sent.is(event);
            ensure(is_same, || format!("{} is not what was told: {known:?}", event.offset))?;
            stop = at + 1;
        }
        Ok(stop)
    }

    fn check_sure(&self, end: End, stop: usize) -> Result<(), String> {
        let sure = match end {
            End::Close => self.log.len(),
            End::PowerLoss => self.durable,
            End::ProcessDeath => self.written,
        };
        let behind = self.log.get(stop..sure).unwrap_or_default();
        match behind.iter().find(|known| !known.may_be_gone) {
            Some(lost) => Err(format!("{lost:?} is lost")),
            None => Ok(()),
        }
    }

    fn check_whole(&self, stop: usize) -> Result<(), String> {
        let is_of_last = |next: &&Known| stop > 0 && next.batch == self.log[stop - 1].batch;
        let behind = self.log[stop..].iter().take_while(is_of_last);
        match behind.into_iter().find(|known| !known.may_be_gone) {
            Some(lost) => Err(format!("a part of the batch at {} is lost", lost.batch)),
            None => Ok(()),
        }
    }

    /// Forgets what is not there any more behind what was found, but for what may come back.
    fn lose_behind(&mut self, stop: usize) -> usize {
        let behind = self.log.split_off(stop);
        let (may_come_back, lost): (Vec<_>, Vec<_>) =
            behind.into_iter().partition(|known| known.may_be_gone);
        self.log.extend(may_come_back);
        lost.len()
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
            self.log.push(Known { offset, batch: first, sent, may_be_gone: false });
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
