//! Lanes: subscribers of the same selection at the same place, served in turn by one task.
//!
//! To wake a task for every subscriber of an event costs as much as to write to its socket. Whoever has
//! caught up and waits for nothing else therefore joins a lane, and leaves its socket to it as a
//! [`Sink`]. The lane takes what the tail has once, writes it down once for each [`Script`], and sends
//! the same bytes to all. While it goes round, more may be published: then the next round carries
//! several events, so what is sent together grows with rate × subscribers, and nobody waits for a timer.
//!
//! A lane serves nobody whose case is special. Who stands at another place, has too little credit, or
//! whose socket is full leaves the lane and goes on by itself, until it has caught up again.

mod lane;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::time::Instant;

use tl_model::{Epoch, Selection, SharedEvent};
use tl_protocol::subscription::{self as machine, Delivered};

use crate::tail::TailReader;
use lane::Lane;

pub(crate) use lane::Membership;

/// Where a lane writes for one connection.
pub trait Sink: Send + Sync {
    /// Sends bytes without waiting.
    fn send(&self, bytes: &Bytes, now: Instant) -> Sent;
}

/// How a subscriber wants events to be written. Whoever names the same script gets the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Who writes.
    pub name: &'static str,
    /// What else makes a difference.
    pub variant: u64,
    /// Writes events; told the log they are in, and the variant.
    pub write: WriteEvents,
}

/// Writes events down.
pub type WriteEvents = fn(&[Delivered<Arc<SharedEvent>>], Epoch, u64) -> Bytes;

/// What a sink has done with what it was to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// It has left.
    All,
    /// It is taken, but some of it waits for the connection.
    Waits,
    /// Nothing was taken.
    Refused,
}

/// Events that a lane sends to all its subscribers.
struct Run {
    events: Vec<Delivered<Arc<SharedEvent>>>,
    place: machine::Run,
    /// The sequence numbers of the first and the last.
    sequences: (u64, u64),
    begun: Instant,
    /// The newest last.
    written: VecDeque<(Script, Bytes)>,
}

impl Run {
    /// The run as a script has it, written for the first who asks.
    fn written(&mut self, script: &Script, epoch: Epoch) -> Bytes {
        let is_same = |other: &Script| other.variant == script.variant && other.name == script.name;
        if let Some((_, bytes)) = self.written.iter().find(|(other, _)| is_same(other)) {
            return bytes.clone();
        }
        let bytes = (script.write)(&self.events, epoch, script.variant);
        // Whoever asks for one odd thing after the other soon has only its own forgotten.
        if self.written.len() == SCRIPTS_MAX {
            self.written.pop_front();
        }
        self.written.push_back((*script, bytes.clone()));
        bytes
    }
}

/// All lanes of an engine.
pub(crate) struct Lanes {
    epoch: Epoch,
    lanes: Mutex<HashMap<Selection, Vec<Weak<Lane>>>>,
}

impl Lanes {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, lanes: Mutex::default() }
    }

    /// Takes in a subscriber that is live, if there are others to share a lane with.
    pub(crate) fn join(
        self: &Arc<Self>,
        selection: &Selection,
        subscription: &machine::Subscription,
        tail: &mut TailReader,
        sink: impl FnOnce() -> Arc<dyn Sink>,
        script: Script,
    ) -> Option<Membership> {
        let lane = self.lane_for(selection, subscription, tail)?;
        let membership = lane.join(subscription, tail.seen(), sink(), script)?;
        tail.rest();
        Some(membership)
    }

    fn lane_for(
        self: &Arc<Self>,
        selection: &Selection,
        subscription: &machine::Subscription,
        tail: &TailReader,
    ) -> Option<Arc<Lane>> {
        let known = self.lanes().get(selection).cloned().unwrap_or_default();
        let known = known.iter().filter_map(Weak::upgrade).find(|lane| lane.has_room());
        if known.is_some() || tail.subscribers() < LANE_SUBSCRIBERS_MIN {
            return known;
        }
        let lane = Lane::open(self, selection, subscription, tail.twin(selection));
        self.lanes().entry(selection.clone()).or_default().push(Arc::downgrade(&lane));
        Some(lane)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes().is_empty()
    }

    fn forget(&self, selection: &Selection) {
        let mut lanes = self.lanes();
        if let Some(same) = lanes.get_mut(selection) {
            same.retain(|lane| lane.strong_count() > 0);
            if same.is_empty() {
                lanes.remove(selection);
            }
        }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Selection, Vec<Weak<Lane>>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fewer have nothing to share.
const LANE_SUBSCRIBERS_MIN: usize = 2;
/// Scripts for which a written run is kept: a form or two, and what clients commonly choose.
const SCRIPTS_MAX: usize = 8;
