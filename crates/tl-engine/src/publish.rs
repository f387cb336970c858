use std::time::Instant;

use tl_model::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use tl_model::{
    Appended, Call, Durability, Error, ErrorCode, LoggedEvent, NewEvent, Offset, SharedEvent,
};
use tl_protocol::admit::{Condition, Request};
use tl_protocol::frame::Receipt;

use crate::{Engine, access};

/// Events to publish.
#[derive(Clone, Debug, Default)]
pub struct Publish {
    /// The events, or why one is none: a transport passes on what it could not read, so that every
    /// event gets its answer in its place.
    pub events: Vec<Result<NewEvent, Error>>,
    /// All or none.
    pub atomic: bool,
    /// Pass the events to whoever is subscribed right now, without logging them.
    pub ephemeral: bool,
    /// What must still be true of the channels.
    pub conditions: Vec<Condition>,
}

/// How an event is to be treated, once it has been checked.
struct Checked {
    event: NewEvent,
    durability: Durability,
}

impl Engine {
    /// Publishes events and waits until each is as safe as its channel's rules say. There is one
    /// answer for each event, in order.
    ///
    /// # Errors
    ///
    /// For the whole: `batch_too_large`; `overloaded`, `store_failed` and `deadline_exceeded`. After
    /// the latter two the events may have been logged all the same. For each event: what the
    /// transport found, `channel_reserved`, `event_too_large`, `condition_failed`.
    pub async fn publish(
        &self,
        call: &Call,
        publish: Publish,
    ) -> Result<Vec<Result<Receipt, Error>>, Error> {
        check_batch(&publish)?;
        let Publish { events, atomic, ephemeral, conditions } = publish;
        let check = |event| self.check(call, event, ephemeral);
        let mut checked: Vec<_> = events.into_iter().map(check).collect();
        if atomic && checked.iter().any(Result::is_err) {
            return Ok(checked.into_iter().map(refuse_all).collect());
        }
        let ids =
            checked.iter().map(|it| it.as_ref().ok().map(|it| it.event.event.id().to_owned()));
        let ids: Vec<_> = ids.collect();
        let appended = match self.append(call, &mut checked, conditions).await {
            Ok(appended) => appended,
            Err(error) if error.code == ErrorCode::ConditionFailed => {
                return Ok(checked
                    .into_iter()
                    .map(|it| Err(it.err().unwrap_or(error.clone())))
                    .collect());
            }
            Err(error) => return Err(error),
        };
        Ok(self.answers(checked, ids, appended))
    }

    /// Rights and limits of one event.
    fn check(
        &self,
        call: &Call,
        event: Result<NewEvent, Error>,
        ephemeral: bool,
    ) -> Result<Checked, Error> {
        let event = event?;
        access::may_publish(call, &event.channel)?;
        let rules = self.shared.rules.of(&event.channel);
        let bytes = event.event.data().map_or(0, |data| data.len());
        if bytes > rules.event_bytes_max {
            let detail = format!(
                "the data has {bytes} bytes, {} takes at most {}; store large data elsewhere and \
                 publish a link to it",
                event.channel, rules.event_bytes_max
            );
            return Err(Error::new(ErrorCode::EventTooLarge, detail));
        }
        let durability = if ephemeral { Durability::None } else { rules.durability };
        Ok(Checked { event, durability })
    }

    /// Passes ephemeral events on, and appends the others to the log.
    async fn append(
        &self,
        call: &Call,
        checked: &mut [Result<Checked, Error>],
        conditions: Vec<Condition>,
    ) -> Result<Vec<Appended>, Error> {
        let logged = checked.iter().flatten().filter(|it| it.durability != Durability::None);
        let durability = logged.clone().map(|it| it.durability).max();
        let events: Vec<_> = logged.map(|it| it.event.clone()).collect();
        let appended = match durability {
            None => Vec::new(),
            Some(durability) => {
                let request = Request { events, durability, conditions };
                let answer = self.shared.writer.submit(request)?;
                until(call.deadline, answer).await?
            }
        };
        for ephemeral in checked.iter().flatten().filter(|it| it.durability == Durability::None) {
            self.pass_on(&ephemeral.event);
        }
        Ok(appended)
    }

    fn pass_on(&self, event: &NewEvent) {
        let NewEvent { channel, event } = event.clone();
        let (offset, previous) = (Offset::START, Offset::START);
        let logged_at_ms = self.shared.environment.now_ms();
        let logged = LoggedEvent { offset, previous, logged_at_ms, channel, event };
        self.shared.tail.show_ephemeral(SharedEvent::new(logged).into());
    }

    fn answers(
        &self,
        checked: Vec<Result<Checked, Error>>,
        ids: Vec<Option<String>>,
        appended: Vec<Appended>,
    ) -> Vec<Result<Receipt, Error>> {
        let mut appended = appended.into_iter();
        let answer = |(checked, id): (Result<Checked, Error>, Option<String>)| {
            let place = match checked?.durability {
                Durability::None => None,
                _ => appended.next().map(|appended| self.position(appended.offset)),
            };
            Ok(Receipt { id: id.unwrap_or_default(), at: place })
        };
        checked.into_iter().zip(ids).map(answer).collect()
    }
}

fn check_batch(publish: &Publish) -> Result<(), Error> {
    let events = publish.events.iter().flatten();
    let bytes: usize = events.map(|event| event.event.encoded().len()).sum();
    if publish.events.len() > BATCH_EVENTS_MAX || bytes > BATCH_BYTES_MAX {
        let detail = format!(
            "a batch has at most {BATCH_EVENTS_MAX} events and {BATCH_BYTES_MAX} bytes; send several"
        );
        return Err(Error::new(ErrorCode::BatchTooLarge, detail));
    }
    Ok(())
}

/// The answer of an event in an atomic batch that was refused.
fn refuse_all(checked: Result<Checked, Error>) -> Result<Receipt, Error> {
    checked?;
    let detail = "another event of this atomic batch was refused, so none was published";
    Err(Error::new(ErrorCode::EventInvalid, detail))
}

/// Waits no longer than the caller does.
async fn until<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(deadline) = deadline else {
        return work.await;
    };
    tokio::time::timeout_at(deadline.into(), work).await.unwrap_or_else(|_| {
        let detail = "the time allowed for this request is over; the event may have been logged";
        Err(Error::new(ErrorCode::DeadlineExceeded, detail))
    })
}
