use std::sync::Arc;

use bytes::Bytes;

use tl_model::limits::{SCHEMA_TYPE_BYTES_MAX, SCHEMAS_MAX};
use tl_model::{Call, Durability, Error, ErrorCode, EventError, NewEvent, Offset};
use tl_protocol::admit::{Condition, Request};
use tl_schema::{Kind, Reason, Schema};

use super::read::stopped;
use super::table::{Entry, write};
use super::{SchemaVersion, channel, unusable};
use crate::{Engine, Precondition, access};

/// A version that somebody wants a type's schema to have.
#[derive(Clone, Debug)]
pub struct NewSchema {
    /// The type of event.
    pub event_type: String,
    /// How it is written.
    pub kind: Kind,
    /// The protobuf message that is meant; needed if there are several.
    pub message: Option<String>,
    /// The text, or the descriptors.
    pub source: Bytes,
    /// What must be true of the latest version.
    pub condition: Option<Precondition<u32>>,
}

/// What has become of it, or would.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PutSchema {
    /// The version it is.
    pub version: u32,
    /// Whether that is a new one, and not the same as the latest.
    pub is_new: bool,
}

/// What is to be appended.
struct Decided {
    put: PutSchema,
    message: Option<String>,
}

impl Engine {
    /// Adds a version to a type's schema, unless it is the same as the latest. When this returns, every
    /// event is checked with it.
    ///
    /// # Errors
    ///
    /// `schema_invalid`, `schema_incompatible`, `condition_failed`, `limit_exceeded`, and those of
    /// publishing.
    pub async fn put_schema(&self, call: &Call, new: NewSchema) -> Result<PutSchema, Error> {
        access::may_put_schemas(call)?;
        let engine = self.clone();
        // A caller that goes away must not leave a version in the log that nothing is checked with.
        let putting = tokio::spawn(async move { engine.put_in_turn(&new).await });
        putting.await.map_err(stopped)?
    }

    /// What [`put_schema`](Self::put_schema) would do.
    ///
    /// # Errors
    ///
    /// `schema_invalid`, `schema_incompatible`, `condition_failed`, `limit_exceeded`.
    pub async fn check_schema(&self, call: &Call, new: NewSchema) -> Result<PutSchema, Error> {
        access::may_put_schemas(call)?;
        self.decide(&new).await.map(|decided| decided.put)
    }

    async fn put_in_turn(&self, new: &NewSchema) -> Result<PutSchema, Error> {
        let _turn = self.shared.schemas.turn.lock().await;
        loop {
            let last = self.shared.store.last(&channel()).map_or(Offset::START, |it| it.offset);
            self.read_schemas().await?;
            let decided = self.decide(new).await?;
            if !decided.put.is_new {
                return Ok(decided.put);
            }
            match self.append_version(new, &decided, last).await {
                Ok(()) => {
                    self.read_schemas().await?;
                    return Ok(decided.put);
                }
                // Somebody else has the turn in another process, and was first.
                Err(error) if error.code == ErrorCode::ConditionFailed => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn decide(&self, new: &NewSchema) -> Result<Decided, Error> {
        let table = self.shared.schemas.table();
        let entry = table.entries.get(new.event_type.as_str()).cloned();
        check_name(&new.event_type)?;
        check_condition(new, entry.as_ref().map(|entry| entry.latest().version))?;
        if entry.is_none() && table.entries.len() >= SCHEMAS_MAX {
            let detail = format!("there are {SCHEMAS_MAX} schemas already");
            return Err(Error::new(ErrorCode::LimitExceeded, detail));
        }
        let new = new.clone();
        // Comparing large schemas takes longer than a task may.
        tokio::task::spawn_blocking(move || decide(&new, entry.as_ref())).await.map_err(stopped)?
    }

    async fn append_version(
        &self,
        new: &NewSchema,
        decided: &Decided,
        last: Offset,
    ) -> Result<(), Error> {
        let NewSchema { event_type, kind, source, .. } = new;
        let (version, message) = (decided.put.version, decided.message.as_deref());
        let (id, time) = (self.environment().new_id(), self.environment().now_text());
        let event = write((&id, &time), event_type, version, *kind, message, source);
        let event = event.build().map_err(|error| invalid_name(&error))?;
        let request = Request {
            events: vec![NewEvent { channel: channel(), event }],
            durability: Durability::Fsync,
            conditions: vec![Condition { channel: channel(), last }],
        };
        self.shared.writer.submit(request, None)?.await.map(drop)
    }
}

fn check_condition(new: &NewSchema, latest: Option<u32>) -> Result<(), Error> {
    let holds = match &new.condition {
        None => true,
        Some(Precondition::Absent) => latest.is_none(),
        Some(Precondition::Exists) => latest.is_some(),
        Some(Precondition::Last(versions)) => latest.is_some_and(|it| versions.contains(&it)),
    };
    if holds {
        return Ok(());
    }
    let now = latest.map_or("has no schema".to_owned(), |it| format!("is at version {it}"));
    let detail = format!("`{}` {now}; read it again and decide anew", new.event_type);
    Err(Error::new(ErrorCode::ConditionFailed, detail))
}

fn decide(new: &NewSchema, entry: Option<&Arc<Entry>>) -> Result<Decided, Error> {
    let NewSchema { event_type, kind, message, source, .. } = new;
    let schema = Schema::parse(*kind, message.as_deref(), source)
        .map_err(|error| Error::new(ErrorCode::SchemaInvalid, error.to_string()))?;
    let message = schema.message().map(str::to_owned);
    let Some(entry) = entry else {
        return Ok(Decided { put: PutSchema { version: 1, is_new: true }, message });
    };
    let latest = entry.latest();
    if latest.kind == *kind && latest.message == message && entry.source == *source {
        return Ok(Decided { put: PutSchema { version: latest.version, is_new: false }, message });
    }
    let before = entry.schema.as_ref().ok_or_else(|| unusable(event_type))?;
    schema.is_additive_to(before).map_err(|reasons| incompatible(latest, &reasons))?;
    Ok(Decided { put: PutSchema { version: latest.version + 1, is_new: true }, message })
}

fn check_name(event_type: &str) -> Result<(), Error> {
    if event_type.len() > SCHEMA_TYPE_BYTES_MAX {
        let detail = format!("a type with a schema has at most {SCHEMA_TYPE_BYTES_MAX} bytes");
        return Err(Error::new(ErrorCode::SchemaInvalid, detail));
    }
    let event =
        write(("id", "1970-01-01T00:00:00Z"), event_type, 1, Kind::JsonSchema, None, b"").build();
    event.map(drop).map_err(|error| invalid_name(&error))
}

fn invalid_name(error: &EventError) -> Error {
    Error::new(ErrorCode::SchemaInvalid, format!("no event can have this type: {error}"))
}

fn incompatible(latest: &SchemaVersion, reasons: &[Reason]) -> Error {
    let SchemaVersion { event_type, version, .. } = latest;
    let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    let detail = format!(
        "not everything that version {version} of `{event_type}` accepts would be accepted: {}; put \
         it as the schema of another type",
        reasons.join("; ")
    );
    Error::new(ErrorCode::SchemaIncompatible, detail)
}
