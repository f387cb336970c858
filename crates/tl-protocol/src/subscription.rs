//! What one subscriber reads next, and from where.
//!
//! A subscription is a position and a credit. It first reads the log from its position on; once it
//! reaches the part that the tail in memory covers, it is live and reads from there. If it falls
//! behind the tail again it goes back to the log. It never holds events.
//!
//! The shell asks [`step`](Subscription::step), does what it says, and hands back what it found.

use tl_model::{Gap, Offset};

/// One subscriber's place in the log.
#[derive(Clone, Debug)]
pub struct Subscription {
    position: Offset,
    delivered: Offset,
    /// The subscriber knows that events up to here may be missing.
    told_to: Offset,
    phase: Phase,
    credit: Credit,
    is_new: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing until there is credit.
    AwaitCredit,
    /// Read the log behind the offset.
    ReadLog {
        /// Behind which event.
        after: Offset,
        /// How many events may be delivered.
        events_max: usize,
    },
    /// Take what the tail has, or wait for it.
    ReadTail {
        /// How many events may be delivered.
        events_max: usize,
    },
}

/// An event with what the subscriber is told about its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delivered<E> {
    /// The event.
    pub event: E,
    /// The place to go on from once it is handled. An ephemeral event has none of its own: it
    /// carries the place of the last logged event delivered before it.
    pub offset: Offset,
    /// The place that came with the delivery before this one, or where the subscription began:
    /// whoever has not seen it has missed something.
    pub previous: Offset,
}

/// What a subscriber is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Delivery<E> {
    /// All events up to this place have been delivered; what follows is live. Told once.
    CaughtUp {
        /// The place reached.
        at: Offset,
    },
    /// Events, in log order, at least one.
    Events(Vec<Delivered<E>>),
    /// Events were trimmed before they were read.
    Gap(Gap),
}

/// What a page of the log held, in the order it is to be told.
#[derive(Clone, Debug)]
pub struct PageRead<E> {
    /// Events that were missed for good.
    pub gap: Option<Gap>,
    /// The gap speaks of all that is missing up to here.
    pub trimmed_to: Offset,
    /// The events with their offsets.
    pub events: Vec<(Offset, E)>,
    /// Nothing of the selection up to here is missing from the page.
    pub read_to: Offset,
    /// Whether the log had nothing more.
    pub reached_end: bool,
}

/// What was found in the tail.
#[derive(Clone, Debug)]
pub struct TailRead<E> {
    /// The events with their offsets; an ephemeral one has none.
    pub events: Vec<(Option<Offset>, E)>,
    /// The offset up to which the tail was looked through.
    pub seen_to: Offset,
    /// Whether the tail had nothing more.
    pub reached_end: bool,
}

/// Events from the tail that go to several subscribers at the same place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Run {
    /// What was delivered last before it.
    pub previous: Offset,
    /// What is delivered last with it.
    pub last: Offset,
    /// How many events it has.
    pub events: usize,
    /// The offset up to which the tail was looked through.
    pub seen_to: Offset,
}

/// How many events the subscriber still allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Credit {
    /// So many, and no more until it says so.
    Events(u64),
    /// As many as its connection takes.
    Unlimited,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    CatchingUp,
    Live,
}

impl Subscription {
    /// A subscription to what comes behind an offset.
    pub fn new(after: Offset, credit: Credit) -> Self {
        let (position, delivered, told_to) = (after, after, Offset::START);
        Self { position, delivered, told_to, phase: Phase::CatchingUp, credit, is_new: true }
    }

    /// Allows so many more events.
    pub fn allow(&mut self, events: u64) {
        if let Credit::Events(credit) = &mut self.credit {
            *credit = credit.saturating_add(events);
        }
    }

    /// Takes in a page of the log. `tail_from` is the first offset that the tail covers for this
    /// subscription. Returns what to tell the subscriber, in order.
    pub fn handle_page<E>(&mut self, page: PageRead<E>, tail_from: Offset) -> Vec<Delivery<E>> {
        let mut deliveries = Vec::with_capacity(2);
        if let Some(gap) = page.gap.filter(|_| page.trimmed_to > self.told_to) {
            deliveries.push(Delivery::Gap(gap));
            self.position = self.position.max(gap.through);
            self.delivered = self.delivered.max(gap.through);
            self.told_to = page.trimmed_to;
        }
        let events = page.events.into_iter().map(|(offset, event)| (Some(offset), event));
        deliveries.extend(self.deliver(events));
        self.position = self.position.max(page.read_to);
        if self.position.next() >= tail_from {
            self.phase = Phase::Live;
            deliveries.extend(self.catch_up(page.reached_end));
        }
        deliveries
    }

    /// Takes in what was found in the tail. Returns what to tell the subscriber, in order.
    pub fn handle_tail<E>(&mut self, read: TailRead<E>) -> impl Iterator<Item = Delivery<E>> {
        let events = self.deliver(read.events);
        self.position = self.position.max(read.seen_to);
        let caught_up = self.catch_up(read.reached_end);
        events.into_iter().chain(caught_up)
    }

    /// Whether it stands where others stand, so that it can be served together with them.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live && !self.is_new
    }

    /// Whether a run of events from the tail is the same for this subscriber as for others at whose
    /// place `previous` was delivered last.
    pub fn takes(&self, run: &Run) -> bool {
        let is_allowed = match self.credit {
            Credit::Events(credit) => credit >= run.events as u64,
            Credit::Unlimited => true,
        };
        self.is_live() && self.delivered == run.previous && is_allowed
    }

    /// A run that it [takes](Self::takes) has been delivered.
    pub fn handle_run(&mut self, run: &Run) {
        self.delivered = run.last;
        self.position = self.position.max(run.seen_to);
        self.spend(run.events as u64);
    }

    /// The tail no longer covers the position: back to the log.
    pub fn handle_behind(&mut self) {
        self.phase = Phase::CatchingUp;
    }

    /// What to do next.
    pub fn step(&self, events_max: usize) -> Step {
        let events_max = match self.credit {
            Credit::Events(0) => return Step::AwaitCredit,
            Credit::Events(credit) => events_max.min(usize::try_from(credit).unwrap_or(usize::MAX)),
            Credit::Unlimited => events_max,
        };
        match self.phase {
            Phase::CatchingUp => Step::ReadLog { after: self.position, events_max },
            Phase::Live => Step::ReadTail { events_max },
        }
    }

    /// The place of what was delivered last.
    pub fn delivered(&self) -> Offset {
        self.delivered
    }

    /// The same place, with all the credit there is.
    #[must_use]
    pub fn unlimited(self) -> Self {
        Self { credit: Credit::Unlimited, ..self }
    }

    /// The place from which another subscription would go on exactly where this one is.
    pub fn position(&self) -> Offset {
        self.position
    }

    fn catch_up<E>(&mut self, reached_end: bool) -> Option<Delivery<E>> {
        let is_first_time = reached_end && std::mem::take(&mut self.is_new);
        is_first_time.then_some(Delivery::CaughtUp { at: self.position })
    }

    fn deliver<E>(
        &mut self,
        events: impl IntoIterator<Item = (Option<Offset>, E)>,
    ) -> Option<Delivery<E>> {
        let deliver = |(offset, event): (Option<Offset>, E)| {
            let previous = self.delivered;
            self.delivered = offset.unwrap_or(previous);
            Delivered { event, offset: self.delivered, previous }
        };
        let delivered: Vec<_> = events.into_iter().map(deliver).collect();
        self.position = self.position.max(self.delivered);
        self.spend(delivered.len() as u64);
        (!delivered.is_empty()).then_some(Delivery::Events(delivered))
    }

    fn spend(&mut self, events: u64) {
        if let Credit::Events(credit) = &mut self.credit {
            *credit = credit.saturating_sub(events);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(offset: u64) -> Offset {
        Offset::new(offset)
    }

    fn page(offsets: &[u64], read_to: u64) -> PageRead<u64> {
        let events = offsets.iter().map(|offset| (at(*offset), *offset)).collect();
        let (gap, trimmed_to) = (None, at(0));
        PageRead { gap, trimmed_to, events, read_to: at(read_to), reached_end: true }
    }

    fn taken(events: Vec<(Option<Offset>, u64)>, seen_to: u64) -> TailRead<u64> {
        TailRead { events, seen_to: at(seen_to), reached_end: true }
    }

    fn delivered(links: &[(u64, u64)]) -> Delivery<u64> {
        let delivered = links.iter().map(|(previous, offset)| Delivered {
            event: *offset,
            offset: at(*offset),
            previous: at(*previous),
        });
        Delivery::Events(delivered.collect())
    }

    #[test]
    fn events_then_caught_up_then_live() {
        let mut subscription = Subscription::new(at(2), Credit::Unlimited);
        assert_eq!(subscription.step(10), Step::ReadLog { after: at(2), events_max: 10 });
        assert_eq!(
            subscription.handle_page(page(&[3, 5], 5), at(9)),
            [delivered(&[(2, 3), (3, 5)])]
        );
        assert_eq!(subscription.step(10), Step::ReadLog { after: at(5), events_max: 10 });
        let last = subscription.handle_page(page(&[6], 8), at(9));
        assert_eq!(last, [delivered(&[(5, 6)]), Delivery::CaughtUp { at: at(8) }]);
        assert_eq!(subscription.step(10), Step::ReadTail { events_max: 10 });
        let live: Vec<_> = subscription.handle_tail(taken(vec![(Some(at(9)), 9)], 12)).collect();
        assert_eq!(live, [delivered(&[(6, 9)])]);
        assert_eq!(subscription.position(), at(12), "what was not selected has been passed");
    }

    #[test]
    fn caught_up_is_told_when_nothing_is_left_and_not_before() {
        let mut subscription = Subscription::new(at(0), Credit::Unlimited);
        let limited = PageRead { reached_end: false, ..page(&[1, 2], 2) };
        assert_eq!(subscription.handle_page(limited, at(1)), [delivered(&[(0, 1), (1, 2)])]);
        assert_eq!(subscription.step(10), Step::ReadTail { events_max: 10 });
        let limited = TailRead { reached_end: false, ..taken(vec![(Some(at(3)), 3)], 3) };
        let told: Vec<_> = subscription.handle_tail(limited).collect();
        assert_eq!(told, [delivered(&[(2, 3)])]);
        let told: Vec<_> = subscription.handle_tail(taken(Vec::new(), 4)).collect();
        assert_eq!(told, [Delivery::CaughtUp { at: at(4) }]);
    }

    #[test]
    fn an_ephemeral_event_carries_the_place_before_it() {
        let mut subscription = Subscription::new(at(0), Credit::Unlimited);
        subscription.handle_page(page(&[], 0), at(1));
        let events = vec![(None, 100), (Some(at(1)), 1), (None, 101)];
        let Some(Delivery::Events(events)) = subscription.handle_tail(taken(events, 1)).next()
        else {
            panic!("events are delivered");
        };
        let places: Vec<_> = events.iter().map(|e| (e.previous.get(), e.offset.get())).collect();
        assert_eq!(places, [(0, 0), (0, 1), (1, 1)]);
    }

    #[test]
    fn a_gap_is_told_first_and_moves_the_chain_behind_itself() {
        let mut subscription = Subscription::new(at(2), Credit::Unlimited);
        let gap = Gap { after: at(2), through: at(7) };
        let page = PageRead { gap: Some(gap), trimmed_to: at(7), ..page(&[8], 8) };
        let told = subscription.handle_page(page, at(100));
        assert_eq!(told, [Delivery::Gap(gap), delivered(&[(7, 8)])]);
    }

    #[test]
    fn what_a_gap_has_told_is_not_told_again() {
        let mut subscription = Subscription::new(at(2), Credit::Unlimited);
        let mut tell = |gap: Gap, trimmed_to, offset| {
            let gap = PageRead { gap: Some(gap), trimmed_to, ..page(&[offset], offset) };
            subscription.handle_page(gap, at(1_000))
        };
        let gap = |after, through| Gap { after: at(after), through: at(through) };
        assert_eq!(tell(gap(2, 7), at(50), 8), [Delivery::Gap(gap(2, 7)), delivered(&[(7, 8)])]);
        assert_eq!(tell(gap(8, 30), at(50), 31), [delivered(&[(8, 31)])]);
        let more = tell(gap(31, 40), at(60), 41);
        assert_eq!(more, [Delivery::Gap(gap(31, 40)), delivered(&[(40, 41)])]);
    }

    #[test]
    fn falling_behind_leads_back_to_the_log_without_a_second_caught_up() {
        let mut subscription = Subscription::new(at(0), Credit::Unlimited);
        subscription.handle_page(page(&[], 0), at(1));
        subscription.handle_behind();
        assert_eq!(subscription.step(5), Step::ReadLog { after: at(0), events_max: 5 });
        assert_eq!(subscription.handle_page(page(&[1], 1), at(2)), [delivered(&[(0, 1)])]);
    }

    #[test]
    fn credit_bounds_what_is_delivered() {
        let mut subscription = Subscription::new(at(0), Credit::Events(0));
        assert_eq!(subscription.step(10), Step::AwaitCredit);
        subscription.allow(3);
        assert_eq!(subscription.step(10), Step::ReadLog { after: at(0), events_max: 3 });
        subscription.handle_page(page(&[1, 2], 2), at(3));
        assert_eq!(subscription.step(10), Step::ReadTail { events_max: 1 });
        assert_eq!(subscription.handle_tail(taken(vec![(Some(at(3)), 3)], 3)).count(), 1);
        assert_eq!(subscription.step(10), Step::AwaitCredit);
        subscription.allow(u64::MAX);
        subscription.allow(u64::MAX);
        assert_eq!(subscription.step(10), Step::ReadTail { events_max: 10 });
    }

    #[test]
    fn a_run_is_taken_only_from_the_same_place_and_with_credit_for_all_of_it() {
        let mut subscription = Subscription::new(at(2), Credit::Events(3));
        let run = Run { previous: at(2), last: at(7), events: 2, seen_to: at(9) };
        assert!(!subscription.takes(&run), "it has not caught up");
        subscription.handle_page(page(&[], 4), at(3));
        assert!(subscription.takes(&run));
        assert!(!subscription.takes(&Run { previous: at(1), ..run }));
        assert!(!subscription.takes(&Run { events: 4, ..run }));
        subscription.handle_run(&run);
        assert_eq!(subscription.position(), at(9));
        let told = subscription.handle_tail(taken(vec![(Some(at(10)), 10)], 10)).next();
        assert_eq!(told, Some(delivered(&[(7, 10)])));
        assert_eq!(subscription.step(10), Step::AwaitCredit, "both have cost credit");
    }

    proptest! {
        /// Against a log of dense offsets whose tail covers a moving window: whatever the sizes of
        /// pages, the credit and the lag, the subscriber gets every event once, in order, linked.
        #[test]
        fn every_event_is_delivered_once_in_order(
            moves in prop::collection::vec((0..5u64, 0..5u64, 1..7usize), 1..60),
        ) {
            let mut subscription = Subscription::new(at(0), Credit::Events(0));
            let (mut tail, mut window_from, mut seen) = (1u64, 1u64, 0u64);
            for (appended, credit, events_max) in moves {
                tail += appended;
                window_from = window_from.max(tail.saturating_sub(4));
                subscription.allow(credit);
                let deliveries = match subscription.step(events_max) {
                    Step::AwaitCredit => Vec::new(),
                    Step::ReadLog { after, events_max } => {
                        let first = after.get() + 1;
                        let offsets: Vec<_> = (first..tail).take(events_max).collect();
                        let read_to = offsets.last().copied().unwrap_or(tail - 1);
                        subscription.handle_page(page(&offsets, read_to), at(window_from))
                    }
                    Step::ReadTail { .. } if subscription.position().get() + 1 < window_from => {
                        subscription.handle_behind();
                        Vec::new()
                    }
                    Step::ReadTail { events_max } => {
                        let first = subscription.position().get() + 1;
                        let events: Vec<_> = (first..tail)
                            .take(events_max)
                            .map(|offset| (Some(at(offset)), offset))
                            .collect();
                        let seen_to = events.last().map_or(first - 1, |(_, offset)| *offset);
                        subscription.handle_tail(taken(events, seen_to)).collect()
                    }
                };
                for delivery in deliveries {
                    let Delivery::Events(events) = delivery else { continue };
                    prop_assert!(events.len() <= events_max);
                    for event in events {
                        prop_assert_eq!(event.previous, at(seen));
                        seen += 1;
                        prop_assert_eq!(event.event, seen);
                    }
                }
            }
        }
    }
}
