//! Requests that have their effect once, however often they are repeated.
//!
//! A request with an idempotency key leaves a record in the log, in the very batch of its events: so
//! it is exactly as durable as they are, and moves with the log. Here is only known which keys there
//! are, and where their records stand. The records are read when the engine starts.

mod keys;
mod record;

use tl_model::{After, Call, Error, ErrorCode, Offset, Once, Position, Retention, Rule, Selection};
use tl_store::Read;

use crate::read::read_error;
use crate::{Engine, Publish, Receipts};

pub(crate) use keys::{Claim, Keys};
pub(crate) use record::record;

use keys::{Begun, Known};

/// What has become of a request with an idempotency key.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The answers to its events, in order.
    pub receipts: Receipts,
    /// They were given before; this time nothing was done.
    pub is_replayed: bool,
}

impl Engine {
    /// Publishes events unless a request with the same key has done so already: then its receipts
    /// are given again.
    ///
    /// # Errors
    ///
    /// As of [`publish`](Self::publish), and `key_in_use` while the first request is under way,
    /// `key_reused` if it asked for something else, `limit_exceeded` if no more keys are taken.
    pub fn publish_once(
        &self,
        call: &Call,
        once: &Once,
        publish: Publish,
    ) -> impl Future<Output = Result<Answer, Error>> + Send + use<> {
        let engine = self.clone();
        let now_ms = self.shared.environment.now_ms();
        let begun = self.shared.keys.begin(&call.principal, once, now_ms);
        // Queued at once, so that requests are logged in the order of the calls.
        let begun = begun.map(|begun| match begun {
            Begun::First(claim) => Ok(self.publish_claimed(call, publish, Some(claim))),
            Begun::Answered(at) => Err(at),
        });
        async move {
            match begun? {
                Ok(publishing) => {
                    let receipts = publishing.await?;
                    Ok(Answer { receipts, is_replayed: false })
                }
                Err(at) => {
                    let receipts = engine.replay(at).await?;
                    Ok(Answer { receipts, is_replayed: true })
                }
            }
        }
    }

    /// The receipts of an earlier request with the same key, if there was one. For those who must
    /// know before they can say what they would publish.
    ///
    /// # Errors
    ///
    /// `key_in_use`, `key_reused`, `store_failed`.
    pub async fn answered(&self, call: &Call, once: &Once) -> Result<Option<Receipts>, Error> {
        let now_ms = self.shared.environment.now_ms();
        match self.shared.keys.answered(&call.principal, once, now_ms)? {
            Some(at) => self.replay(at).await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads which requests have been answered. Until it has returned, no request with a key may be
    /// published.
    ///
    /// # Errors
    ///
    /// `store_failed`.
    pub async fn recover(&self) -> Result<(), Error> {
        let now_ms = self.shared.environment.now_ms();
        let mut after = self.resolve(After::Earliest)?;
        loop {
            let page = self.read_records(after, RECORDS_AT_ONCE).await?;
            for event in &page.events {
                let known = record::parse_key(&event.event);
                let known =
                    known.map(|(name, fingerprint)| (name, Known::new(fingerprint, event.offset)));
                if let Some((name, known)) = known {
                    self.shared.keys.learn(name, known, event.logged_at_ms, now_ms);
                }
            }
            after = page.read_to;
            if page.reached_end {
                return Ok(());
            }
        }
    }

    async fn replay(&self, at: Offset) -> Result<Receipts, Error> {
        let page = self.read_records(at.previous(), 1).await?;
        let event = page.events.into_iter().find(|event| event.offset == at);
        let receipts = event.and_then(|event| {
            record::parse_receipts(&event.event, |places_before| Position {
                epoch: self.epoch(),
                offset: Offset::new(at.get() - places_before),
            })
        });
        receipts.ok_or_else(|| {
            let detail = "the answer to the first request with this key cannot be read";
            Error::new(ErrorCode::StoreFailed, detail)
        })
    }

    async fn read_records(
        &self,
        after: Offset,
        events_max: usize,
    ) -> Result<tl_store::Page, Error> {
        let selection = Selection::from(record::channel());
        let read = Read { selection, after, events_max, bytes_max: RECORDS_BYTES_MAX };
        self.read_store(read).await.map_err(read_error)
    }
}

/// How long the records are kept: a little longer than their keys are known.
pub(crate) fn retention(window: std::time::Duration) -> Rule {
    let retention = Retention { age: Some(window + window / 8), ..Retention::default() };
    Rule { retention: Some(retention), ..Rule::of(record::channel().into()) }
}

/// Records read at a time when the engine starts.
const RECORDS_AT_ONCE: usize = 1_000;
const RECORDS_BYTES_MAX: usize = 8 * 1024 * 1024;
