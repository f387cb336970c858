//! Lanes: subscribers of the same selection at the same place, served in turn by one task.
//!
//! To wake a task for every subscriber of an event costs as much as to write to its socket. Whoever has
//! caught up and waits for nothing else therefore joins a lane, and leaves its socket to it as a
//! [`Sink`]. The lane takes what the tail has once, lets the first sink of each kind encode it, and hands
//! the same bytes to all. While it goes round, more may be published: then the next round carries
//! several events, so what is sent together grows with rate × subscribers, and nobody waits for a timer.
//!
//! A lane serves nobody whose case is special. Who stands at another place, has too little credit, or
//! whose socket is full leaves the lane and goes on by itself, until it has caught up again.

mod lane;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::time::Instant;

use tl_model::{Selection, SharedEvent};
use tl_protocol::subscription::{self as machine, Delivered};

use crate::tail::TailReader;
use lane::Lane;

pub(crate) use lane::Membership;

/// Where a lane writes for one connection.
pub trait Sink: Send + Sync {
    /// Sends a run without waiting. `tag` is what the subscription [followed](crate::Subscription::follow)
    /// with.
    fn send(&self, tag: u64, run: &mut Run) -> Sent;
}

/// What a sink has done with a run.
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
#[derive(Debug)]
pub struct Run {
    events: Vec<Delivered<Arc<SharedEvent>>>,
    place: machine::Run,
    /// The sequence numbers of the first and the last.
    sequences: (u64, u64),
    begun: Instant,
    encoded: Vec<(Encoding, Bytes)>,
}

/// A way to write a run down: all sinks that name the same one send the same bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Encoding {
    /// Who writes.
    pub writer: &'static str,
    /// What else makes a difference.
    pub variant: u64,
}

impl Run {
    /// The run in an encoding, made by the first who asks for it.
    pub fn encoded(
        &mut self,
        encoding: Encoding,
        write: impl FnOnce(&[Delivered<Arc<SharedEvent>>]) -> Bytes,
    ) -> Bytes {
        if let Some((_, bytes)) = self.encoded.iter().find(|(known, _)| *known == encoding) {
            return bytes.clone();
        }
        let bytes = write(&self.events);
        if self.encoded.len() < ENCODINGS_MAX {
            self.encoded.push((encoding, bytes.clone()));
        }
        bytes
    }

    /// When the lane began with it.
    pub fn begun(&self) -> Instant {
        self.begun
    }
}

/// All lanes of an engine.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: Mutex<HashMap<Selection, Vec<Weak<Lane>>>>,
}

impl Lanes {
    /// Takes in a subscriber that is live, if there are others to share a lane with.
    pub(crate) fn join(
        self: &Arc<Self>,
        selection: &Selection,
        subscription: &machine::Subscription,
        tail: &mut TailReader,
        sink: Arc<dyn Sink>,
        tag: u64,
    ) -> Option<Membership> {
        let lane = self.lane_for(selection, subscription, tail)?;
        let membership = lane.join(subscription, tail.seen(), sink, tag)?;
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
/// Different encodings of a run that are kept: a form or two, and what clients commonly choose.
const ENCODINGS_MAX: usize = 8;
