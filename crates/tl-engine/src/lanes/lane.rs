use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use slab::Slab;
use tokio::task::{coop, yield_now};
use tokio::time::Instant;

use tl_model::limits::{DELIVERY_BYTES_MAX, DELIVERY_EVENTS_MAX};
use tl_model::{Epoch, Offset, Selection};
use tl_protocol::subscription::{self as machine, Delivery};

use super::{Lanes, Run, Script, Sent, Sink};
use crate::tail::{TailReader, Taken, Wake};

/// One lane. It is kept by those who have joined it, and ends with the last of them.
pub(super) struct Lane {
    lanes: Weak<Lanes>,
    epoch: Epoch,
    selection: Selection,
    wake: Arc<Wake>,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Where the lane stands.
    subscription: machine::Subscription,
    tail: TailReader,
    members: Slab<Arc<Member>>,
    /// The tail does not go back to where the lane stands, and never will again.
    is_behind: bool,
}

/// A subscriber in a lane.
struct Member {
    state: Mutex<State>,
    sink: Arc<dyn Sink>,
    script: Script,
    waker: AtomicWaker,
}

struct State {
    is_in: bool,
    /// Nothing up to this sequence number is news to it.
    seen: u64,
    subscription: machine::Subscription,
}

/// A subscriber's hold on its lane. Dropping it leaves the lane.
pub(crate) struct Membership {
    lane: Arc<Lane>,
    member: Arc<Member>,
    key: usize,
}

impl Lane {
    /// A lane that begins where a subscriber stands.
    pub(super) fn open(
        lanes: &Arc<Lanes>,
        selection: &Selection,
        subscription: &machine::Subscription,
        tail: TailReader,
    ) -> Arc<Self> {
        let (lanes, epoch, selection) = (Arc::downgrade(lanes), lanes.epoch, selection.clone());
        let (wake, subscription) = (tail.wake().clone(), subscription.clone().unlimited());
        let inner =
            Mutex::new(Inner { subscription, tail, members: Slab::new(), is_behind: false });
        // There may be something already that the subscriber has not seen.
        wake.set();
        let lane = Arc::new(Self { lanes, epoch, selection, wake: wake.clone(), inner });
        // It yields by itself, and a sink that is told to wait for its turn would seem full.
        tokio::spawn(coop::unconstrained(serve(Arc::downgrade(&lane), wake)));
        lane
    }

    pub(super) fn has_room(&self) -> bool {
        let inner = self.inner();
        !inner.is_behind && inner.members.len() < LANE_SUBSCRIBERS_MAX
    }

    /// Takes a subscriber in, unless the lane has passed something that it has not: it takes that by
    /// itself. A lane can have read in the log what the tail is yet to show, and passes it there.
    pub(super) fn join(
        self: Arc<Self>,
        subscription: &machine::Subscription,
        seen: u64,
        sink: Arc<dyn Sink>,
        script: Script,
    ) -> Option<Membership> {
        let mut inner = self.inner();
        let is_ahead = subscription.position() < inner.subscription.position();
        if inner.is_behind || seen < inner.tail.seen() || is_ahead {
            return None;
        }
        let state = State { is_in: true, seen, subscription: subscription.clone() };
        let (state, waker) = (Mutex::new(state), AtomicWaker::new());
        let member = Arc::new(Member { state, sink, script, waker });
        let key = inner.members.insert(member.clone());
        drop(inner);
        Some(Membership { lane: self, member, key })
    }

    /// What all are to be sent next.
    fn take(&self) -> Option<Run> {
        let mut inner = self.inner();
        let Inner { subscription, tail, .. } = &mut *inner;
        let (position, previous) = (subscription.position(), subscription.delivered());
        match tail.take(position, DELIVERY_EVENTS_MAX, DELIVERY_BYTES_MAX) {
            Taken::Behind => {
                inner.dismiss_all();
                None
            }
            Taken::Events { read, sequences } => {
                let seen_to = read.seen_to;
                let Some(Delivery::Events(events)) = subscription.handle_tail(read).next() else {
                    return None;
                };
                let last = subscription.delivered();
                let place = machine::Run { previous, last, events: events.len(), seen_to };
                let (begun, written) = (Instant::now(), VecDeque::new());
                Some(Run { events, place, sequences: sequences?, begun, written })
            }
        }
    }

    /// Sends a run to a few members, from this key on; returns the key to go on with.
    fn serve(&self, run: &mut Run, from: usize) -> Option<usize> {
        let members = &mut self.inner().members;
        let end = members.capacity().min(from + SERVED_AT_ONCE);
        for key in from..end {
            if let Some(member) = members.get(key)
                && !member.serve(run, self.epoch)
            {
                members.remove(key).waker.wake();
            }
        }
        (end < members.capacity()).then_some(end)
    }

    /// Removes a member, if it is still there.
    fn remove(&self, key: usize, member: &Arc<Member>) {
        let mut inner = self.inner();
        if inner.members.get(key).is_some_and(|it| Arc::ptr_eq(it, member)) {
            inner.members.remove(key);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Each reads the log by itself, and joins another lane later.
    fn dismiss_all(&mut self) {
        self.is_behind = true;
        for member in self.members.drain() {
            member.state().is_in = false;
            member.waker.wake();
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.wake.set();
        if let Some(lanes) = self.lanes.upgrade() {
            lanes.forget(&self.selection);
        }
    }
}

/// Serves a lane until nobody is in it.
async fn serve(lane: Weak<Lane>, wake: Arc<Wake>) {
    loop {
        std::future::poll_fn(|cx| wake.poll_set(cx)).await;
        let Some(lane) = lane.upgrade() else { return };
        while let Some(mut run) = lane.take() {
            let mut next = Some(0);
            while let Some(key) = next {
                next = lane.serve(&mut run, key);
                yield_now().await;
            }
        }
    }
}

impl Member {
    /// Sends it a run; false if it leaves the lane.
    fn serve(&self, run: &mut Run, epoch: Epoch) -> bool {
        let mut state = self.state();
        let (first, last) = run.sequences;
        if !state.is_in || last <= state.seen {
            return true;
        }
        let sent = match first > state.seen && state.subscription.takes(&run.place) {
            true => self.sink.send(&run.written(&self.script, epoch), run.begun),
            false => Sent::Refused,
        };
        if sent != Sent::Refused {
            state.seen = last;
            state.subscription.handle_run(&run.place);
        }
        state.is_in = sent == Sent::All;
        state.is_in
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Ready once the lane has let go of the subscriber: where that stands now, and what it has seen.
    pub(crate) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<(machine::Subscription, u64)> {
        self.member.waker.register(cx.waker());
        let state = self.member.state();
        match state.is_in {
            true => Poll::Pending,
            false => Poll::Ready((state.subscription.clone(), state.seen)),
        }
    }

    /// Leaves the lane.
    pub(crate) fn leave(&self) -> (machine::Subscription, u64) {
        let mut state = self.member.state();
        let was_in = std::mem::take(&mut state.is_in);
        let place = (state.subscription.clone(), state.seen);
        drop(state);
        if was_in {
            self.lane.remove(self.key, &self.member);
        }
        place
    }

    /// Allows so many more events.
    pub(crate) fn allow(&self, events: u64) {
        self.member.state().subscription.allow(events);
    }

    /// Where the subscriber stands.
    pub(crate) fn position(&self) -> Offset {
        self.member.state().subscription.position()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave();
    }
}

/// So many are served by one task; with more, several cores can share the work.
const LANE_SUBSCRIBERS_MAX: usize = 1_024;
/// So many are served before others have their turn: a fraction of a millisecond.
const SERVED_AT_ONCE: usize = 32;
