use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tl_model::limits::{DELIVERY_BYTES_MAX, DELIVERY_EVENTS_MAX};
use tl_model::{After, Call, Error, LoggedEvent, Offset, Position, Selection, SharedEvent};
use tl_protocol::subscription::{self as machine, Credit, Delivery, PageRead, Step};
use tl_store::{BoxFuture, Page, Read, ReadError};

use crate::lanes::{Membership, Script, Sink};
use crate::read::read_error;
use crate::tail::{TailReader, Taken};
use crate::{Engine, access};

/// A subscription: what comes behind a place, then what comes live.
///
/// It holds a place and a credit. Between two calls of [`next`](Self::next) it holds no events, but
/// for what one read has found and has not been taken yet.
pub struct Subscription {
    engine: Engine,
    selection: Selection,
    machine: machine::Subscription,
    tail: TailReader,
    reading: Option<BoxFuture<'static, Result<Page, ReadError>>>,
    found: VecDeque<Delivery<Arc<SharedEvent>>>,
    /// The place of what was handed out last.
    told: Offset,
    events_max: usize,
    /// The lane that delivers in its place.
    membership: Option<Membership>,
}

impl Engine {
    /// Begins a subscription.
    ///
    /// # Errors
    ///
    /// `cursor_epoch`, `cursor_ahead`.
    pub fn subscribe(
        &self,
        call: &Call,
        selection: Selection,
        after: After,
        credit: Credit,
    ) -> Result<Subscription, Error> {
        access::may_read(call, &selection)?;
        // Registered first: whatever is logged from here on is in the tail's reach.
        let tail = self.shared.tail.reader(&selection);
        let after = self.resolve(after)?;
        Ok(Subscription {
            engine: self.clone(),
            selection,
            machine: machine::Subscription::new(after, credit),
            tail,
            reading: None,
            found: VecDeque::new(),
            told: after,
            events_max: DELIVERY_EVENTS_MAX,
            membership: None,
        })
    }
}

impl Subscription {
    /// The same subscription, delivering at most so many events at once.
    #[must_use]
    pub fn at_most(mut self, events_max: usize) -> Self {
        self.events_max = events_max.clamp(1, DELIVERY_EVENTS_MAX);
        self
    }

    /// What to tell the subscriber next. Waits while there is nothing, or no credit.
    ///
    /// # Errors
    ///
    /// `store_failed`, after which the subscription is of no more use.
    pub async fn next(&mut self) -> Result<Delivery<Arc<SharedEvent>>, Error> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`next`](Self::next) for those who wait for several things at once.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Delivery<Arc<SharedEvent>>, Error>> {
        if let Some(membership) = &self.membership {
            let place = ready!(membership.poll_left(cx));
            self.go_on_from(place);
        }
        loop {
            if let Some(delivery) = self.found.pop_front() {
                self.told = place(&delivery).unwrap_or(self.told);
                return Poll::Ready(Ok(delivery));
            }
            self.found.shrink_to(0);
            match self.machine.step(self.events_max) {
                // Whoever gives the credit asks again.
                Step::AwaitCredit => return Poll::Pending,
                Step::ReadLog { after, events_max } => {
                    ready!(self.poll_log(cx, after, events_max))?;
                }
                Step::ReadTail { events_max } => ready!(self.poll_tail(cx, events_max)),
            }
        }
    }

    /// Leaves what comes live to a lane, if there is one to join: the lane writes it with the script and
    /// sends it to the sink. Until the lane lets go of it, [`poll_next`](Self::poll_next) has nothing;
    /// then the task is woken. Only a subscription that has just had nothing to deliver can join.
    pub fn follow(
        &mut self,
        cx: &mut Context<'_>,
        sink: impl FnOnce() -> Arc<dyn Sink>,
        script: Script,
    ) {
        let is_usual = self.events_max == DELIVERY_EVENTS_MAX && self.machine.is_live();
        if self.membership.is_none() && is_usual && self.found.is_empty() {
            let lanes = &self.engine.shared.lanes;
            self.membership =
                lanes.join(&self.selection, &self.machine, &mut self.tail, sink, script);
            // The lane may have let go of it before it could know whom to wake.
            if self.membership.as_ref().is_some_and(|it| it.poll_left(cx).is_ready()) {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Leaves the lane it is in: nothing more is sent by it, and whoever waits has to poll again.
    pub fn unfollow(&mut self) {
        if let Some(membership) = &self.membership {
            let place = membership.leave();
            self.go_on_from(place);
        }
    }

    /// Allows so many more events.
    pub fn allow(&mut self, events: u64) {
        match &self.membership {
            Some(membership) => membership.allow(events),
            None => self.machine.allow(events),
        }
    }

    /// The place from which another subscription would go on, once all that was handed out is
    /// handled. It moves on with what is not selected, too, whenever the subscription looks.
    pub fn position(&self) -> Position {
        let offset = match &self.membership {
            Some(membership) => membership.position(),
            None if self.found.is_empty() => self.machine.position(),
            None => self.told,
        };
        self.engine.position(offset)
    }

    /// Looks whether the [`position`](Self::position) of a quiet subscription has moved on. Leaves its
    /// lane: while it is in one, the position may be behind what has been sent when it is told.
    pub fn look(&mut self) {
        self.unfollow();
        if let Step::ReadTail { events_max } = self.machine.step(self.events_max)
            && self.found.is_empty()
        {
            self.take(events_max);
        }
    }

    fn go_on_from(&mut self, (machine, seen): (machine::Subscription, u64)) {
        self.machine = machine;
        self.told = self.machine.position();
        // Before the lane is let go: it keeps what both are interested in.
        self.tail.attend(seen);
        self.membership = None;
    }

    fn poll_log(
        &mut self,
        cx: &mut Context<'_>,
        after: Offset,
        events_max: usize,
    ) -> Poll<Result<(), Error>> {
        let reading = self.reading.get_or_insert_with(|| {
            let selection = self.selection.clone();
            let bytes_max = DELIVERY_BYTES_MAX;
            self.engine.read_store(Read { selection, after, events_max, bytes_max })
        });
        let page = ready!(reading.as_mut().poll(cx)).map_err(read_error);
        self.reading = None;
        let Page { gap, trimmed_to, events, read_to, reached_end } = page?;
        let share = |event: LoggedEvent| (event.offset, Arc::new(SharedEvent::new(event)));
        let events = events.into_iter().map(share).collect();
        let page = PageRead { gap, trimmed_to, events, read_to, reached_end };
        self.found.extend(self.machine.handle_page(page, self.tail.covers_from()));
        Poll::Ready(Ok(()))
    }

    fn poll_tail(&mut self, cx: &mut Context<'_>, events_max: usize) -> Poll<()> {
        while !self.take(events_max) {
            ready!(self.tail.wake().poll_set(cx));
        }
        Poll::Ready(())
    }

    /// Takes what the tail has; false if that is nothing.
    fn take(&mut self, events_max: usize) -> bool {
        // It may have moved on with what is not selected since something was handed out.
        self.told = self.machine.position();
        match self.tail.take(self.told, events_max, DELIVERY_BYTES_MAX) {
            Taken::Behind => {
                self.machine.handle_behind();
                true
            }
            Taken::Events { read, .. } => {
                self.found.extend(self.machine.handle_tail(read));
                !self.found.is_empty()
            }
        }
    }
}

/// The place a subscriber has reached with a delivery.
fn place<E>(delivery: &Delivery<E>) -> Option<Offset> {
    match delivery {
        Delivery::CaughtUp { at } => Some(*at),
        Delivery::Events(events) => events.last().map(|event| event.offset),
        Delivery::Gap(gap) => Some(gap.through),
    }
}
