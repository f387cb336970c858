use tl_model::{Call, Channel, Error, ErrorCode, LoggedEvent, Offset, Position, Selection};
use tl_protocol::admit::Condition;
use tl_store::Read;

use crate::read::read_error;
use crate::{Engine, access};

/// The state of a channel: its latest event is its document.
#[derive(Clone, Debug)]
pub enum State {
    /// There is none: nothing was ever published, or it was trimmed.
    Absent {
        /// The channel's last offset, if it is known.
        last: Offset,
    },
    /// It was deleted, by this event.
    Deleted(LoggedEvent),
    /// This is it.
    Document(LoggedEvent),
}

impl State {
    /// The place of the last event.
    pub fn last(&self) -> Offset {
        match self {
            Self::Absent { last } => *last,
            Self::Deleted(event) | Self::Document(event) => event.offset,
        }
    }
}

/// What must be true of something for a change to be made (RFC 9110 §13.1): of a channel's state, whose
/// last event has a place, or of a schema, whose latest version has a number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Precondition<P = Position> {
    /// There is none (`If-None-Match: *`).
    Absent,
    /// There is one (`If-Match: *`).
    Exists,
    /// The last is one of these (`If-Match`).
    Last(Vec<P>),
}

impl Engine {
    /// The state of a channel right now.
    ///
    /// # Errors
    ///
    /// `store_failed`.
    pub async fn state(&self, call: &Call, channel: &Channel) -> Result<State, Error> {
        let selection = Selection::from(channel.clone());
        access::may_read(call, &selection)?;
        let Some(last) = self.shared.store.last(channel) else {
            return Ok(State::Absent { last: Offset::START });
        };
        let (offset, after) = (last.offset, last.offset.previous());
        let read = Read { selection, after, events_max: 1, bytes_max: 1 };
        let page = self.read_store(read).await.map_err(read_error)?;
        Ok(match page.events.into_iter().next() {
            Some(event) if event.event.is_tombstone() => State::Deleted(event),
            Some(event) => State::Document(event),
            None => State::Absent { last: offset },
        })
    }

    /// Whether the event at a place made a document where there was none.
    ///
    /// # Errors
    ///
    /// `store_failed`.
    pub async fn is_new_document(&self, channel: &Channel, place: Position) -> Result<bool, Error> {
        let Some(event) = self.event_in(channel, place.offset).await? else { return Ok(false) };
        if event.previous == Offset::START {
            return Ok(true);
        }
        let before = self.event_in(channel, event.previous).await?;
        Ok(before.is_some_and(|before| before.event.is_tombstone()))
    }

    async fn event_in(
        &self,
        channel: &Channel,
        offset: Offset,
    ) -> Result<Option<LoggedEvent>, Error> {
        let (selection, after) = (Selection::from(channel.clone()), offset.previous());
        let read = Read { selection, after, events_max: 1, bytes_max: 1 };
        let page = self.read_store(read).await.map_err(read_error)?;
        Ok(page.events.into_iter().find(|event| event.offset == offset))
    }

    /// Whether whoever changes the channel must name the state of it that they have seen.
    pub fn requires_condition(&self, channel: &Channel) -> bool {
        self.shared.rules.of(channel).require_condition
    }

    /// Whether an event is still the last of its channel, so that it is the channel's state.
    pub fn is_current(&self, event: &LoggedEvent) -> bool {
        let last = self.shared.store.last(&event.channel);
        last.is_some_and(|last| last.offset == event.offset) && !event.event.is_tombstone()
    }

    /// Whether a channel has had an event behind a place.
    pub fn is_followed(&self, channel: &Channel, place: Position) -> bool {
        self.shared.store.last(channel).is_some_and(|last| last.offset > place.offset)
    }

    /// The condition that a channel's last event is still this one; without a place, that it has not
    /// had one.
    ///
    /// # Errors
    ///
    /// `condition_failed` if the place is in another log.
    pub fn last_is(&self, channel: &Channel, at: Option<Position>) -> Result<Condition, Error> {
        match at {
            Some(place) if place.epoch != self.epoch() => {
                Err(refused(channel, "is in another log"))
            }
            at => {
                let last = at.map_or(Offset::START, |place| place.offset);
                Ok(Condition { channel: channel.clone(), last })
            }
        }
    }

    /// The condition under which a change is made, if its precondition holds right now.
    ///
    /// # Errors
    ///
    /// `condition_failed` if it does not, `store_failed`.
    pub async fn condition(
        &self,
        call: &Call,
        channel: &Channel,
        precondition: &Precondition,
    ) -> Result<Condition, Error> {
        let last = match precondition {
            Precondition::Absent => match self.state(call, channel).await? {
                State::Document(_) => Err("has a document already"),
                state => Ok(state.last()),
            },
            Precondition::Exists => match self.state(call, channel).await? {
                State::Document(event) => Ok(event.offset),
                _ => Err("has no document"),
            },
            Precondition::Last(places) => {
                let last = self.shared.store.last(channel).map(|last| last.offset);
                let is_last =
                    |place: &&Position| place.epoch == self.epoch() && Some(place.offset) == last;
                let named = places.iter().find(is_last);
                named.map(|place| place.offset).ok_or("has had another event since")
            }
        };
        let last = last.map_err(|what| refused(channel, what))?;
        Ok(Condition { channel: channel.clone(), last })
    }

    /// Whether conditions hold right now, for what is not logged.
    pub(crate) fn check_conditions(&self, conditions: &[Condition]) -> Result<(), Error> {
        let holds = |it: &&Condition| {
            let last = self.shared.store.last(&it.channel);
            last.map_or(Offset::START, |last| last.offset) == it.last
        };
        let broken = conditions.iter().find(|it| !holds(it));
        broken.map_or(Ok(()), |it| Err(refused(&it.channel, "has had another event since")))
    }
}

fn refused(channel: &Channel, what: &str) -> Error {
    let detail = format!("the channel {channel} {what}; read it again and decide anew");
    Error::new(ErrorCode::ConditionFailed, detail)
}
