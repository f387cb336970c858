use std::time::Instant;

use tl_model::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, SCHEMA_CHECKS_MAX};
use tl_model::{
    Appended, Call, Channel, ChannelRules, Durability, Error, ErrorCode, LoggedEvent, NewEvent,
    Offset, SharedEvent,
};
use tl_protocol::admit::{Condition, Request};
use tl_protocol::frame::Receipt;

use crate::once::{self, Claim};
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
    /// `schema_required`, `condition_failed`, `batch_too_large` if the schemas take too long.
    pub fn publish(
        &self,
        call: &Call,
        publish: Publish,
    ) -> impl Future<Output = Result<Receipts, Error>> + Send + use<> {
        self.publish_claimed(call, publish, None)
    }

    /// Publishes events, and the record of a request that has claimed its idempotency key.
    pub(crate) fn publish_claimed(
        &self,
        call: &Call,
        publish: Publish,
        claim: Option<Claim>,
    ) -> impl Future<Output = Result<Receipts, Error>> + Send + use<> {
        let submitted = self.submit(call, publish, claim);
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
        claim: Option<Claim>,
    ) -> Result<Submitted<impl Future<Output = Result<Vec<Appended>, Error>> + use<>>, Error> {
        check_batch(&publish)?;
        let Publish { events, atomic, ephemeral, conditions } = publish;
        let asked = Asked { call, ephemeral, conditions: &conditions, has_key: claim.is_some() };
        let mut checks_left = SCHEMA_CHECKS_MAX;
        let check = |event| self.check(&asked, event, &mut checks_left);
        let checked: Vec<_> = events.into_iter().map(check).collect();
        let refusal = checked.iter().find_map(|checked| checked.as_ref().err());
        if let Some(cause) = refusal.filter(|_| atomic).cloned() {
            let refuse = |checked| refuse_with_others(checked, &cause);
            return Ok(Submitted::Refused(checked.into_iter().map(refuse).collect()));
        }
        let logged = checked.iter().flatten().filter(|it| it.durability != Durability::None);
        let Some(durability) = logged.clone().map(|it| it.durability).max() else {
            check_key(&checked, claim.as_ref())?;
            if let Err(broken) = self.check_conditions(&conditions) {
                return Ok(Submitted::Refused(refuse_all(checked, &broken)));
            }
            return Ok(Submitted::Ephemeral(checked));
        };
        let mut events: Vec<_> = logged.map(|it| it.event.clone()).collect();
        if let Some(claim) = &claim {
            events.push(self.record(claim, &checked)?);
        }
        let request = Request { events, durability, conditions };
        let answer = self.shared.writer.submit(request, claim)?;
        Ok(Submitted::Queued { checked, answer })
    }

    /// What a later request with the same key is told.
    fn record(&self, claim: &Claim, checked: &[Result<Checked, Error>]) -> Result<NewEvent, Error> {
        let outcome = |checked| Result::as_ref(checked).map(Checked::outcome);
        let outcomes: Vec<_> = checked.iter().map(outcome).collect();
        once::record(claim, &outcomes, &*self.shared.environment)
    }

    /// Rights, rules and limits of one event.
    fn check(
        &self,
        asked: &Asked<'_>,
        event: Result<NewEvent, Error>,
        checks_left: &mut u64,
    ) -> Result<Checked, Error> {
        let event = event?;
        access::may_publish(asked.call, &event.channel)?;
        let rules = self.shared.rules.of(&event.channel);
        asked.keeps(&rules, &event.channel)?;
        let bytes = event.event.data().map_or(0, |data| data.len());
        if bytes > rules.event_bytes_max {
            let detail = format!(
                "the data has {bytes} bytes, {} takes at most {}; store large data elsewhere and \
                 publish a link to it",
                event.channel, rules.event_bytes_max
            );
            return Err(Error::new(ErrorCode::EventTooLarge, detail));
        }
        self.check_data(&event, checks_left)?;
        let durability = if asked.ephemeral { Durability::None } else { rules.durability };
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
                return Ok(refuse_all(checked, &error));
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

/// What holds for all events of a publish.
struct Asked<'a> {
    call: &'a Call,
    ephemeral: bool,
    conditions: &'a [Condition],
    has_key: bool,
}

impl Asked<'_> {
    /// Whether it has what the channel's rules want of every publish.
    fn keeps(&self, rules: &ChannelRules, channel: &Channel) -> Result<(), Error> {
        if rules.require_condition && !self.conditions.iter().any(|it| it.channel == *channel) {
            let detail = format!(
                "whoever writes to {channel} must say which state of it they have seen; read it and \
                 send its cursor as the condition (`If-Match`), or `If-None-Match: *` to be the first"
            );
            return Err(Error::new(ErrorCode::ConditionRequired, detail));
        }
        if rules.require_idempotency_key && !self.has_key {
            let detail = format!(
                "whoever publishes to {channel} must send an idempotency key, such as a random UUID, \
                 and the same one when the request is repeated"
            );
            return Err(Error::new(ErrorCode::KeyRequired, detail));
        }
        Ok(())
    }
}

/// An event that may be published, and how.
struct Checked {
    event: NewEvent,
    durability: Durability,
}

impl Checked {
    /// Its id, and whether it is logged.
    fn outcome(&self) -> (&str, bool) {
        (self.event.event.id(), self.durability != Durability::None)
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

/// A key promises that something is remembered. Of what is not logged nothing is.
fn check_key(checked: &[Result<Checked, Error>], claim: Option<&Claim>) -> Result<(), Error> {
    match claim {
        Some(_) if checked.iter().any(Result::is_ok) => {
            let detail = "ephemeral events are not logged, so no idempotency key can be kept for \
                          them; publish them without one";
            Err(Error::new(ErrorCode::ParameterInvalid, detail))
        }
        _ => Ok(()),
    }
}

/// The answers when a condition does not hold.
fn refuse_all(checked: Vec<Result<Checked, Error>>, broken: &Error) -> Receipts {
    let refuse = |it: Result<Checked, Error>| Err(it.err().unwrap_or(broken.clone()));
    checked.into_iter().map(refuse).collect()
}

/// The answer for an event in an atomic batch that was refused.
fn refuse_with_others(checked: Result<Checked, Error>, cause: &Error) -> Result<Receipt, Error> {
    checked?;
    let detail = format!("another event of this atomic batch was refused: {}", cause.detail);
    Err(Error::new(cause.code, detail))
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
