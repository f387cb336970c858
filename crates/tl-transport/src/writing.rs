//! What requests to write have in common, whatever form they come in: conditions, and keys with which
//! they can be repeated.

mod document;

use std::time::Duration;

use tl_engine::{Answer, Engine, Precondition, Publish};
use tl_model::limits::STATE_TRIES_MAX;
use tl_model::{Call, Channel, Error, ErrorCode, NewEvent, Once};
use tl_protocol::admit::Condition;
use tl_wire::draft::Draft;

use crate::EngineStamp;

pub use document::{Change, Changed};

/// How something is published.
pub struct Write<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// On whose behalf, and until when.
    pub call: &'a Call,
    /// What must be true, and of which channel's state.
    pub condition: Option<(&'a Channel, Precondition)>,
    /// That it is done once, however often it is asked for.
    pub once: Option<Once>,
}

impl Write<'_> {
    /// Publishes under the condition. A request whose key is known gets its first answer again, whether
    /// or not the condition still holds: it may have broken it itself.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::publish_once`]; `condition_failed`.
    pub async fn publish(&self, publish: Publish) -> Result<Answer, Error> {
        let Some((_, precondition)) = &self.condition else {
            return self.publish_now(publish).await;
        };
        // `*` names no state: it may still hold when somebody was quicker.
        let is_named =
            matches!(precondition, Precondition::Last(_)) || !publish.conditions.is_empty();
        let next = || async {
            let mut publish = publish.clone();
            publish.conditions.extend(self.condition().await?);
            Ok(publish)
        };
        self.publish_next(is_named, next).await
    }

    /// Publishes what `next` says, which is asked anew whenever others were quicker, unless the request
    /// names what it has seen.
    async fn publish_next<F>(&self, is_named: bool, next: impl Fn() -> F) -> Result<Answer, Error>
    where
        F: Future<Output = Result<Publish, Error>>,
    {
        let tries_max = if is_named { 1 } else { STATE_TRIES_MAX };
        let mut tries = 1;
        loop {
            if let Some(answer) = self.answered().await? {
                return Ok(answer);
            }
            let answer = self.publish_now(next().await?).await?;
            if tries == tries_max || !is_overtaken(&answer) {
                return Ok(answer);
            }
            self.let_others_go_first(tries).await;
            tries += 1;
        }
    }

    /// The answer to an earlier request with the same key.
    async fn answered(&self) -> Result<Option<Answer>, Error> {
        let Some(once) = &self.once else { return Ok(None) };
        let receipts = self.engine.answered(self.call, once).await?;
        Ok(receipts.map(|receipts| Answer { receipts, is_replayed: true }))
    }

    async fn publish_now(&self, publish: Publish) -> Result<Answer, Error> {
        match &self.once {
            Some(once) => self.engine.publish_once(self.call, once, publish).await,
            None => {
                let receipts = self.engine.publish(self.call, publish).await?;
                Ok(Answer { receipts, is_replayed: false })
            }
        }
    }

    /// The condition, if it holds right now.
    async fn condition(&self) -> Result<Option<Condition>, Error> {
        let Some((channel, precondition)) = &self.condition else { return Ok(None) };
        self.engine.condition(self.call, channel, precondition).await.map(Some)
    }

    /// Waits a little, by chance and longer each time: whoever comes back at once can lose to the same
    /// other every time.
    async fn let_others_go_first(&self, tries: usize) {
        let most_us = tries as u64 * RETRY_PAUSE_US;
        let pause_us = self.engine.environment().random() % most_us;
        tokio::time::sleep(Duration::from_micros(pause_us)).await;
    }
}

/// The event that a draft is, once what it leaves out is filled in.
///
/// # Errors
///
/// `event_invalid`.
pub fn new_event(engine: &Engine, channel: &Channel, draft: &Draft) -> Result<NewEvent, Error> {
    let event = draft.publish(channel, &EngineStamp(engine)).map_err(|error| invalid(&error))?;
    Ok(NewEvent { channel: channel.clone(), event })
}

/// What is sent is not an event.
pub fn invalid(error: &impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::EventInvalid, error.to_string())
}

/// Whether the condition held no more when the events were to be logged.
fn is_overtaken(answer: &Answer) -> bool {
    let mut errors = answer.receipts.iter().filter_map(|receipt| receipt.as_ref().err());
    errors.any(|error| error.code == ErrorCode::ConditionFailed)
}

/// By so much the longest pause grows with every try: all tries together take about a second.
const RETRY_PAUSE_US: u64 = 1_000;
