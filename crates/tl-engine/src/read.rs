use tl_model::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use tl_model::{
    After, Call, Error, ErrorCode, Gap, LoggedEvent, Offset, Pattern, Position, Selection,
};
use tl_store::{Read, ReadError};

use crate::{Engine, access};

/// A page that somebody asks for.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Which channels.
    pub selection: Selection,
    /// Behind which place.
    pub after: After,
    /// At most so many events.
    pub events_max: usize,
}

/// A page of the log.
#[derive(Clone, Debug)]
pub struct Page {
    /// Events missed for good, before these.
    pub gap: Option<Gap>,
    /// The events.
    pub events: Vec<LoggedEvent>,
    /// Where the next page begins: behind the last event of this one, or where this one began.
    pub next: Position,
    /// Whether the log had nothing more.
    pub caught_up: bool,
}

impl Engine {
    /// Reads a page.
    ///
    /// # Errors
    ///
    /// `cursor_epoch`, `cursor_ahead`, `store_failed`.
    pub async fn read(&self, call: &Call, request: ReadRequest) -> Result<Page, Error> {
        access::may_read(call, &request.selection)?;
        let after = self.resolve(request.after)?;
        let read = Read {
            selection: request.selection,
            after,
            events_max: request.events_max.clamp(1, PAGE_EVENTS_MAX),
            bytes_max: PAGE_BYTES_MAX,
        };
        let page = self.read_store(read).await.map_err(read_error)?;
        let last = page.events.last().map(|event| event.offset);
        let next = last.or(page.gap.map(|gap| gap.through)).unwrap_or(after);
        let (gap, events, caught_up) = (page.gap, page.events, page.reached_end);
        Ok(Page { gap, events, next: self.position(next), caught_up })
    }

    /// The event at a place, if it is kept.
    ///
    /// # Errors
    ///
    /// `cursor_epoch`, `store_failed`.
    pub async fn event_at(
        &self,
        call: &Call,
        place: Position,
    ) -> Result<Option<LoggedEvent>, Error> {
        if place.offset == Offset::START || place.offset >= self.shared.store.bounds().tail {
            return Ok(None);
        }
        let offset = place.offset.previous();
        let everything = Pattern::parse(">").map(Selection::from).expect("a legal pattern");
        access::may_read(call, &everything)?;
        let after = self.resolve(After::Position(Position { offset, ..place }))?;
        let read = Read { selection: everything, after, events_max: 1, bytes_max: 1 };
        let page = self.read_store(read).await.map_err(read_error)?;
        Ok(page.events.into_iter().find(|event| event.offset == place.offset))
    }

    /// Whether nothing of a selection has been logged behind a place. Costs no read of the log; when
    /// in doubt it says no.
    pub fn is_unchanged_since(&self, selection: &Selection, place: Position) -> bool {
        if place.epoch != self.epoch() {
            return false;
        }
        let store = &self.shared.store;
        if place.offset.next() >= store.bounds().tail {
            return true;
        }
        selection.patterns().iter().all(|pattern| match pattern.channel() {
            Some(channel) => store.last(&channel).is_some_and(|last| last.offset <= place.offset),
            None => false,
        })
    }

    /// How long ago anything was logged in a channel of the selection, in milliseconds; `None` if
    /// that is not known.
    pub fn quiet_for_ms(&self, selection: &Selection) -> Option<u64> {
        let channels = selection.patterns().iter().map(|pattern| pattern.channel());
        let last = channels.map(|channel| self.shared.store.last(&channel?));
        let newest =
            last.map(|last| last.map(|last| last.logged_at_ms)).collect::<Option<Vec<_>>>();
        let newest = newest?.into_iter().max()?;
        Some(self.shared.environment.now_ms().saturating_sub(newest))
    }

    /// The place behind which lies all that is kept: what `earliest` stands for right now.
    pub fn earliest(&self) -> Position {
        self.position(self.shared.store.bounds().head.previous())
    }

    /// The place behind which comes what is logged from now on: what `latest` stands for right now.
    pub fn latest(&self) -> Position {
        self.position(self.shared.store.bounds().tail.previous())
    }

    /// The offset behind which reading begins.
    pub(crate) fn resolve(&self, after: After) -> Result<Offset, Error> {
        match after {
            After::Earliest => Ok(self.earliest().offset),
            After::Latest => Ok(self.latest().offset),
            After::Position(place) if place.epoch != self.epoch() => {
                let detail = "this cursor belongs to another log, perhaps one that was replaced; \
                              begin anew with `earliest` or `latest`";
                Err(Error::new(ErrorCode::CursorEpoch, detail))
            }
            After::Position(place) if place.offset >= self.shared.store.bounds().tail => {
                let detail = "this cursor is ahead of the log, which lost events that were not \
                              durable; begin anew with `earliest` or `latest`";
                Err(Error::new(ErrorCode::CursorAhead, detail))
            }
            After::Position(place) => Ok(place.offset),
        }
    }
}

/// What readers are told when the log cannot be read; the log says more.
pub(crate) fn read_error(error: ReadError) -> Error {
    tracing::error!(%error, "a page could not be read");
    match error {
        ReadError::Damaged { offset, .. } => {
            let detail = format!("the server's log is damaged at offset {offset}");
            Error::new(ErrorCode::StoreFailed, detail)
        }
        ReadError::Io(_) => Error::new(ErrorCode::StoreFailed, "the server's log cannot be read"),
    }
}
