//! Pages of events, whatever form they are told in.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tl_engine::{Engine, ReadRequest};
use tl_model::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use tl_model::{After, Call, Error, Gap, LoggedEvent, Offset, Position, Selection, SharedEvent};
use tl_protocol::subscription::{Credit, Delivery};
use tl_wire::page::Page;
use tokio_util::sync::CancellationToken;

/// A page that a client wants.
#[derive(Clone)]
pub struct Wanted {
    /// Where it is read.
    pub engine: Engine,
    /// On whose behalf, and until when.
    pub call: Call,
    /// Which channels.
    pub selection: Selection,
    /// Behind which place.
    pub after: After,
    /// Events in it, at most.
    pub events_max: usize,
    /// Ends a wait: the client is to go on elsewhere.
    pub leaving: CancellationToken,
}

/// What it gets.
#[derive(Clone, Debug)]
pub struct Found {
    /// Events missed for good, before these.
    pub gap: Option<Gap>,
    /// The events, each with its place.
    pub events: Vec<(Offset, Arc<SharedEvent>)>,
    /// Where the next page begins.
    pub next: Position,
    /// Whether the log had nothing more.
    pub caught_up: bool,
}

impl Wanted {
    /// The events there are.
    ///
    /// # Errors
    ///
    /// `cursor_epoch`, `cursor_ahead`, `store_failed`.
    pub async fn events(&self) -> Result<Found, Error> {
        let Self { engine, call, selection, after, events_max, .. } = self;
        let (selection, after, events_max) = (selection.clone(), *after, *events_max);
        let request = ReadRequest { selection, after, events_max };
        let page = engine.read(call, request).await?;
        let events = page.events.into_iter().map(share).collect();
        Ok(Found { gap: page.gap, events, next: page.next, caught_up: page.caught_up })
    }

    /// The documents there are: events that are the state of their channel. The log is read on until
    /// there are as many as wanted, within bounds: of a channel with many events all but one are passed
    /// over.
    ///
    /// # Errors
    ///
    /// Those of [`events`](Self::events).
    pub async fn documents(&self) -> Result<Found, Error> {
        let Self { engine, call, selection, events_max, .. } = self;
        let (begin, is_going_on) = match self.after {
            After::Position(place) => (place, true),
            After::Earliest | After::Latest => {
                (Position { epoch: engine.epoch(), offset: Offset::START }, false)
            }
        };
        let mut found = Found { gap: None, events: Vec::new(), next: begin, caught_up: false };
        let (mut after, mut bytes) = (self.after, 0);
        for _ in 0..DOCUMENT_READS_MAX {
            let request =
                ReadRequest { selection: selection.clone(), after, events_max: PAGE_EVENTS_MAX };
            let page = engine.read(call, request).await?;
            // Whoever begins misses nothing; whoever goes on may have missed that something was deleted.
            found.gap = found.gap.or(page.gap.filter(|_| is_going_on));
            let is_overtaken = Cell::new(false);
            let is_document = |event: &LoggedEvent| {
                let is_document = engine.is_current(event);
                // Its document stands behind the end of this page: it must not seem to have none.
                let is_behind = !is_document && engine.is_followed(&event.channel, page.next);
                is_overtaken.set(is_overtaken.get() || is_behind);
                is_document
            };
            let mut has_more = false;
            for document in page.events.into_iter().filter(is_document) {
                if found.events.len() == *events_max || bytes >= PAGE_BYTES_MAX {
                    has_more = true;
                    break;
                }
                bytes += document.cost();
                found.events.push(share(document));
            }
            let last = found.events.last().map_or(page.next.offset, |(offset, _)| *offset);
            found.next = if has_more { Position { offset: last, ..page.next } } else { page.next };
            found.caught_up = page.caught_up && !has_more && !is_overtaken.get();
            if has_more || found.caught_up || bytes >= PAGE_BYTES_MAX {
                break;
            }
            after = After::Position(page.next);
        }
        Ok(found)
    }

    /// Waits until something comes behind a place, the time is up, or the client is to go on elsewhere.
    ///
    /// # Errors
    ///
    /// Those of [`events`](Self::events).
    pub async fn wait_behind(&self, place: Position, wait: Duration) -> Result<Found, Error> {
        let Self { engine, call, selection, events_max, .. } = self;
        let (selection, after) = (selection.clone(), After::Position(place));
        let subscription = engine.subscribe(call, selection, after, Credit::Unlimited)?;
        let mut subscription = subscription.at_most(*events_max);
        let until = tokio::time::Instant::now().into_std() + wait;
        let until = call.deadline.map_or(until, |deadline| until.min(deadline));
        let mut found = Found { gap: None, events: Vec::new(), next: place, caught_up: true };
        loop {
            let delivery = tokio::select! {
                delivery = subscription.next() => delivery?,
                () = tokio::time::sleep_until(until.into()) => break,
                () = self.leaving.cancelled() => break,
            };
            match delivery {
                Delivery::CaughtUp { .. } => {}
                Delivery::Gap(gap) => {
                    found.gap = Some(gap);
                    found.next.offset = gap.through;
                }
                Delivery::Events(events) => {
                    found.next.offset = events.last().map_or(found.next.offset, |it| it.offset);
                    found.events = events.into_iter().map(|it| (it.offset, it.event)).collect();
                    break;
                }
            }
        }
        Ok(found)
    }
}

impl Found {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.gap.is_none()
    }

    /// Makes a page of it, to be written down.
    pub fn write<T>(&self, write: impl FnOnce(Page<'_>) -> T) -> T {
        let events: Vec<_> =
            self.events.iter().map(|(offset, event)| (*offset, event.logged())).collect();
        let (gap, next, caught_up) = (self.gap, self.next, self.caught_up);
        write(Page { gap, events: &events, next, caught_up })
    }
}

fn share(event: LoggedEvent) -> (Offset, Arc<SharedEvent>) {
    (event.offset, Arc::new(SharedEvent::new(event)))
}

/// Reads of the log for one page of documents.
const DOCUMENT_READS_MAX: usize = 16;
