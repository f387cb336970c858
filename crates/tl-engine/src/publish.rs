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

/// Answers to a publish, one for each event, in order.
pub type Receipts = Vec<Result<Receipt, Error>>;

impl Engine {
    /// Publishes events. The events are queued in the order of the calls, before this returns; the
    /// future waits until each is as safe as its channel's rules say. Dropping it gives up events
    /// that are still queued.
    ///
    /// # Errors
    ///
    /// For the whole: `batch_too_large`; `overloaded`, `store_failed` and `deadline_exceeded`. After
    /// the latter two the events may have been logged all the same. For each event: what the
    /// transport found, `channel_reserved`, `event_too_large`, `schema_violated`,
    /// `schema_required`, `condition_failed`.
    pub fn publish(
        &self,
        call: &Call,
        publish: Publish,
    ) -> impl Future<Output = Result<Receipts, Error>> + Send + use<> {
        let submitted = self.submit(call, publish);
        let (engine, deadline) = (self.clone(), call.deadline);
        async move {
            match submitted? {
                Submitted::Refused(receipts) => Ok(receipts),
                Submitted::Queued { checked, answer } => {
                    let appended = until(deadline, answer).await;
                    engine.receipts(checked, appended)
                }
                Submitted::Ephemeral(checked) => engine.receipts(checked, Ok(Vec::new())),
            }
        }
    }

    fn submit(
        &self,
        call: &Call,
        publish: Publish,
    ) -> Result<Submitted<impl Future<Output = Result<Vec<Appended>, Error>> + use<>>, Error> {
        check_batch(&publish)?;
        let Publish { events, atomic, ephemeral, conditions } = publish;
        let check = |event| self.check(call, event, ephemeral);
        let checked: Vec<_> = events.into_iter().map(check).collect();
        if atomic && checked.iter().any(Result::is_err) {
            return Ok(Submitted::Refused(checked.into_iter().map(refuse_with_others).collect()));
        }
        let logged = checked.iter().flatten().filter(|it| it.durability != Durability::None);
        let Some(durability) = logged.clone().map(|it| it.durability).max() else {
            return Ok(Submitted::Ephemeral(checked));
        };
        let events = logged.map(|it| it.event.clone()).collect();
        let answer = self.shared.writer.submit(Request { events, durability, conditions })?;
        Ok(Submitted::Queued { checked, answer })
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
        self.check_data(&event)?;
        let durability = if ephemeral { Durability::None } else { rules.durability };
        Ok(Checked { event, durability })
    }

    /// Passes ephemeral events on, and answers for every event.
    fn receipts(
        &self,
        checked: Vec<Result<Checked, Error>>,
        appended: Result<Vec<Appended>, Error>,
    ) -> Result<Receipts, Error> {
        let mut appended = match appended {
            Ok(appended) => appended.into_iter(),
            Err(error) if error.code == ErrorCode::ConditionFailed => {
                let refuse = |it: Result<Checked, Error>| Err(it.err().unwrap_or(error.clone()));
                return Ok(checked.into_iter().map(refuse).collect());
            }
            Err(error) => return Err(error),
        };
        let receipt = |checked: Result<Checked, Error>| {
            let Checked { event, durability } = checked?;
            let id = event.event.id().to_owned();
            let at = match durability {
                Durability::None => {
                    self.pass_on(event);
                    None
                }
                _ => appended.next().map(|appended| self.position(appended.offset)),
            };
            Ok(Receipt { id, at })
        };
        Ok(checked.into_iter().map(receipt).collect())
    }

    fn pass_on(&self, NewEvent { channel, event }: NewEvent) {
        let (offset, previous) = (Offset::START, Offset::START);
        let logged_at_ms = self.shared.environment.now_ms();
        let logged = LoggedEvent { offset, previous, logged_at_ms, channel, event };
        self.shared.tail.show_ephemeral(SharedEvent::new(logged).into());
    }
}

/// What has become of a publish when the call returns.
enum Submitted<F> {
    /// Nothing is to be logged.
    Ephemeral(Vec<Result<Checked, Error>>),
    /// What is to be logged waits for its turn.
    Queued { checked: Vec<Result<Checked, Error>>, answer: F },
    /// An atomic batch with an event that cannot be published.
    Refused(Receipts),
}

/// An event that may be published, and how.
struct Checked {
    event: NewEvent,
    durability: Durability,
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

/// The answer for an event in an atomic batch that was refused.
fn refuse_with_others(checked: Result<Checked, Error>) -> Result<Receipt, Error> {
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
