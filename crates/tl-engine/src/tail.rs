//! The shared tail: the newest events in memory, and who is to be woken for them.
//!
//! Subscribers that want the same pattern share one [`Interest`], whose window lists the recent
//! events of the pattern. Events are shared between all windows and all subscribers. A subscription
//! holds its place only: it is woken by one flag, however many events there are, and takes what it
//! wants from the windows of its interests. What no subscriber is interested in is not kept at all.
//!
//! Everything that appears here has a sequence number, ephemeral events included; `visible` is the
//! highest that readers may look at. Windows are filled first, then `visible` moves on, then the
//! subscribers are woken: so all windows agree on what has happened.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use slab::Slab;

use tl_model::limits::{TAIL_BYTES_MAX, TAIL_EVENTS_MAX};
use tl_model::{Channel, Offset, Pattern, Selection, SharedEvent};
use tl_protocol::subscription::TailRead;

use crate::interests::Interests;

/// The newest events.
pub(crate) struct Tail {
    inner: Mutex<Inner>,
    visible: AtomicU64,
    /// The last logged offset that is visible.
    visible_offset: AtomicU64,
}

struct Inner {
    next_sequence: u64,
    /// The next offset that has not appeared yet.
    next_offset: Offset,
    /// All entries that some window holds, oldest first.
    ring: VecDeque<Arc<Entry>>,
    ring_bytes: usize,
    interests: Interests<Arc<Interest>>,
}

/// One event in the tail.
pub(crate) struct Entry {
    sequence: u64,
    /// None if it is ephemeral.
    offset: Option<Offset>,
    cost: usize,
    event: Arc<SharedEvent>,
}

/// A pattern that somebody is subscribed to.
struct Interest {
    pattern: Pattern,
    window: Mutex<Window>,
}

struct Window {
    entries: VecDeque<Arc<Entry>>,
    /// Every logged event of the pattern from here on is in the window.
    covers_from: Offset,
    subscribers: Slab<Arc<Wake>>,
}

/// How a subscriber is woken: once, however much has happened.
#[derive(Default)]
pub(crate) struct Wake {
    is_set: AtomicBool,
    waker: AtomicWaker,
}

/// A subscriber's place in the tail.
pub(crate) struct TailReader {
    tail: Arc<Tail>,
    interests: Vec<Registration>,
    wake: Arc<Wake>,
    /// It is not woken: somebody else looks after its interests.
    is_resting: bool,
    /// What came before is nothing to this subscriber, unless it was logged.
    registered: u64,
    /// Everything up to here has been looked at.
    seen: u64,
}

/// A subscriber's place in an interest.
struct Registration {
    interest: Arc<Interest>,
    key: usize,
}

/// What the tail has for a subscriber.
pub(crate) enum Taken {
    /// The tail does not go back to the subscriber's position.
    Behind,
    /// The events, perhaps none.
    Events {
        read: TailRead<Arc<SharedEvent>>,
        /// The sequence numbers of the first and the last.
        sequences: Option<(u64, u64)>,
    },
}

impl Tail {
    /// A tail that goes on where the log ends.
    pub(crate) fn new(next_offset: Offset) -> Self {
        let inner = Inner {
            next_sequence: 1,
            next_offset,
            ring: VecDeque::new(),
            ring_bytes: 0,
            interests: Interests::new(),
        };
        let visible_offset = AtomicU64::new(next_offset.previous().get());
        Self { inner: Mutex::new(inner), visible: AtomicU64::new(0), visible_offset }
    }

    /// Shows logged events, which come in the order of their offsets.
    pub(crate) fn show_logged(&self, events: impl IntoIterator<Item = Arc<SharedEvent>>) {
        let events = events.into_iter().map(|event| (Some(event.logged().offset), event));
        self.show(events);
    }

    /// Shows an event that is not logged.
    pub(crate) fn show_ephemeral(&self, event: Arc<SharedEvent>) {
        self.show([(None, event)]);
    }

    /// Registers a subscriber. From now on every event of the selection is in its reach.
    pub(crate) fn reader(self: &Arc<Self>, selection: &Selection) -> TailReader {
        let wake = Arc::new(Wake::default());
        let mut inner = self.inner();
        let next_offset = inner.next_offset;
        let interests = selection.patterns().iter().map(|pattern| {
            let make = || Arc::new(Interest::new(pattern.clone(), next_offset));
            let interest = inner.interests.obtain(pattern, make).clone();
            let key = interest.window().subscribers.insert(wake.clone());
            Registration { interest, key }
        });
        let interests = interests.collect();
        let (registered, is_resting) = (inner.next_sequence - 1, false);
        TailReader { tail: self.clone(), interests, wake, is_resting, registered, seen: 0 }
    }

    fn show(&self, events: impl IntoIterator<Item = (Option<Offset>, Arc<SharedEvent>)>) {
        let mut inner = self.inner();
        let mut concerned: Vec<Arc<Interest>> = Vec::new();
        for (offset, event) in events {
            inner.add(offset, event, &mut concerned);
        }
        self.visible.store(inner.next_sequence - 1, Ordering::Release);
        self.visible_offset.store(inner.next_offset.previous().get(), Ordering::Release);
        inner.evict();
        drop(inner);
        for interest in concerned {
            interest.window().subscribers.iter().for_each(|(_, wake)| wake.set());
        }
    }

    fn forget(&self, reader: &TailReader) {
        if reader.is_resting {
            return;
        }
        let mut inner = self.inner();
        for Registration { interest, key } in &reader.interests {
            let mut window = interest.window();
            window.subscribers.remove(*key);
            if window.subscribers.is_empty() {
                inner.interests.remove(&interest.pattern);
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(
        &mut self,
        offset: Option<Offset>,
        event: Arc<SharedEvent>,
        concerned: &mut Vec<Arc<Interest>>,
    ) {
        let channel: &Channel = &event.logged().channel.clone();
        let entry = Arc::new(Entry {
            sequence: self.next_sequence,
            offset,
            cost: event.logged().cost(),
            event,
        });
        self.next_sequence += 1;
        self.next_offset = offset.map_or(self.next_offset, Offset::next);
        let mut is_wanted = false;
        self.interests.each_match(channel, |interest| {
            is_wanted = true;
            interest.window().entries.push_back(entry.clone());
            if !concerned.iter().any(|other| Arc::ptr_eq(other, interest)) {
                concerned.push(interest.clone());
            }
        });
        if is_wanted {
            self.ring_bytes += entry.cost;
            self.ring.push_back(entry);
        }
    }

    /// Drops the oldest entries while there are too many.
    fn evict(&mut self) {
        while self.ring.len() > TAIL_EVENTS_MAX || self.ring_bytes > TAIL_BYTES_MAX {
            let Some(entry) = self.ring.pop_front() else {
                return;
            };
            self.ring_bytes -= entry.cost;
            let channel = &entry.event.logged().channel;
            self.interests.each_match(channel, |interest| interest.window().evict(&entry));
        }
    }
}

impl Interest {
    fn new(pattern: Pattern, covers_from: Offset) -> Self {
        let window = Window { entries: VecDeque::new(), covers_from, subscribers: Slab::new() };
        Self { pattern, window: Mutex::new(window) }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// An entry from before the interest was registered is not in the window.
    fn evict(&mut self, entry: &Entry) {
        if self.entries.front().is_some_and(|front| front.sequence == entry.sequence) {
            self.entries.pop_front();
            if let Some(offset) = entry.offset {
                self.covers_from = offset.next();
            }
        }
    }

    /// Visible entries that have not been looked at.
    fn unseen(&self, seen: u64, visible: u64) -> impl Iterator<Item = &Arc<Entry>> {
        let start = self.entries.partition_point(|entry| entry.sequence <= seen);
        self.entries.range(start..).take_while(move |entry| entry.sequence <= visible)
    }
}

impl Wake {
    pub(crate) fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Whatever has set it can be seen from here on; what comes later sets it again. That takes a swap: a
    /// store does not acquire, and what is read after it could be older than what had set the flag.
    fn clear(&self) {
        self.is_set.swap(false, Ordering::AcqRel);
    }

    /// Ready once it has been set since the last `take`.
    pub(crate) fn poll_set(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        match self.is_set.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl TailReader {
    /// From which offset on the tail has everything of the selection.
    pub(crate) fn covers_from(&self) -> Offset {
        let covers_from = self.interests.iter().map(|it| it.interest.window().covers_from);
        covers_from.max().unwrap_or_default()
    }

    /// Everything with a sequence number up to here has been looked at.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Its flag, for whoever waits in its place.
    pub(crate) fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }

    /// How many are woken for what it is interested in.
    pub(crate) fn subscribers(&self) -> usize {
        self.interests.iter().map(|it| it.interest.window().subscribers.len()).min().unwrap_or(0)
    }

    /// Is woken no more. Until [`attend`](Self::attend) another reader of the same selection keeps the
    /// interests alive.
    pub(crate) fn rest(&mut self) {
        for Registration { interest, key } in &self.interests {
            interest.window().subscribers.remove(*key);
        }
        self.is_resting = true;
    }

    /// Is woken again, for what comes after this sequence number.
    pub(crate) fn attend(&mut self, seen: u64) {
        for Registration { interest, key } in &mut self.interests {
            *key = interest.window().subscribers.insert(self.wake.clone());
        }
        (self.is_resting, self.seen) = (false, seen);
    }

    /// Another reader of the same selection, at the same place.
    pub(crate) fn twin(&self, selection: &Selection) -> Self {
        let mut twin = self.tail.reader(selection);
        (twin.registered, twin.seen) = (self.registered, self.seen);
        twin
    }

    /// Takes what has not been seen, up to the limits. Logged events up to `position` are known
    /// already, from the log.
    pub(crate) fn take(&mut self, position: Offset, events_max: usize, bytes_max: usize) -> Taken {
        self.wake.clear();
        // The offset first: the sequence read after it is at least as far on.
        let visible_offset = Offset::new(self.tail.visible_offset.load(Ordering::Acquire));
        let visible = self.tail.visible.load(Ordering::Acquire);
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        for Registration { interest, .. } in &self.interests {
            let window = interest.window();
            if window.covers_from > position.next() {
                return Taken::Behind;
            }
            let is_new = |entry: &&Arc<Entry>| match entry.offset {
                Some(offset) => offset > position,
                None => entry.sequence > self.registered,
            };
            let unseen = window.unseen(self.seen, visible).filter(is_new);
            entries.extend(unseen.take(events_max.saturating_add(1)).cloned());
        }
        if self.interests.len() > 1 {
            entries.sort_unstable_by_key(|entry| entry.sequence);
            entries.dedup_by_key(|entry| entry.sequence);
        }
        let fitting = fitting(&entries, events_max, bytes_max);
        let is_all = fitting == entries.len();
        entries.truncate(fitting);
        self.seen = match entries.last() {
            Some(last) if !is_all => last.sequence,
            _ => visible,
        };
        let last_offset = entries.iter().rev().find_map(|entry| entry.offset);
        let seen_to = match is_all {
            true => visible_offset.max(last_offset.unwrap_or_default()),
            false => last_offset.unwrap_or(position),
        };
        let sequences = entries.first().zip(entries.last());
        let sequences = sequences.map(|(first, last)| (first.sequence, last.sequence));
        let events = entries.iter().map(|entry| (entry.offset, entry.event.clone())).collect();
        Taken::Events { read: TailRead { events, seen_to, reached_end: is_all }, sequences }
    }
}

impl Drop for TailReader {
    fn drop(&mut self) {
        self.tail.clone().forget(self);
    }
}

/// How many entries fit the limits; at least one, if there is any and any is allowed.
fn fitting(entries: &[Arc<Entry>], events_max: usize, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&Arc<Entry>| {
        let fits = bytes < bytes_max;
        bytes += entry.cost;
        fits
    };
    entries.iter().take(events_max).take_while(fits).count()
}
