//! Schemas of event types: what published data is checked with.
//!
//! Every version of a schema is an event of a channel that only the engine writes. What is checked
//! with is what was read from that channel: when the engine starts, and behind each version that is
//! put. So the log is all there is to keep, and to restore.

mod put;
mod read;
mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use tl_model::{Call, Channel, Error, ErrorCode, Event, NewEvent, Position, SchemaRule, Selection};
use tl_schema::{Encoding, Kind};

use crate::{Engine, access};
use table::{Entry, Table};

pub use put::{NewSchema, PutSchema};

/// A version of a type's schema.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SchemaVersion {
    /// The type of event it is for.
    pub event_type: Arc<str>,
    /// Counted from 1.
    pub version: u32,
    /// How it is written.
    pub kind: Kind,
    /// The protobuf message that is meant.
    pub message: Option<String>,
    /// When it was put, in RFC 3339.
    pub time: String,
    /// Its place in the log.
    pub at: Position,
}

/// All that is known of schemas.
#[derive(Default)]
pub(crate) struct Schemas {
    /// Whether there is any: all that publishing looks at while there is none.
    has_some: AtomicBool,
    table: RwLock<Arc<Table>>,
    /// Held by whoever puts a version, or reads what was put.
    turn: tokio::sync::Mutex<()>,
}

impl Schemas {
    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, table: Table) {
        let has_some = !table.entries.is_empty();
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        self.has_some.store(has_some, Ordering::Release);
    }
}

impl Engine {
    /// The latest version of every schema, sorted by type.
    pub fn schemas(&self) -> Vec<SchemaVersion> {
        let table = self.shared.schemas.table();
        table.entries.values().map(|entry| entry.latest().clone()).collect()
    }

    /// A version of a type's schema with its text; the latest if none is named.
    ///
    /// # Errors
    ///
    /// `not_found`, `store_failed`.
    pub async fn schema(
        &self,
        call: &Call,
        event_type: &str,
        version: Option<u32>,
    ) -> Result<(SchemaVersion, Bytes), Error> {
        let table = self.shared.schemas.table();
        let entry = table.entries.get(event_type).ok_or_else(not_found)?;
        let found = match version {
            None => entry.latest(),
            Some(version) => entry.version(version).ok_or_else(not_found)?,
        };
        access::may_read(call, &Selection::from(channel()))?;
        let source = self.read_source(found.at.offset).await?.ok_or_else(not_found)?;
        Ok((found.clone(), source))
    }

    /// Whether an event is what its channel and type ask for. All events of a batch take their checks
    /// from the same number. A tombstone has no data to check.
    pub(crate) fn check_data(&self, new: &NewEvent, checks_left: &mut u64) -> Result<(), Error> {
        if new.event.is_tombstone() {
            return Ok(());
        }
        let rule = self.shared.rules.schema_of(&new.channel);
        let schemas = &self.shared.schemas;
        let name = match rule {
            SchemaRule::Off => return Ok(()),
            SchemaRule::Known if !schemas.has_some.load(Ordering::Acquire) => return Ok(()),
            SchemaRule::Known | SchemaRule::Required => new.event.event_type(),
            SchemaRule::Named(name) => name,
        };
        match schemas.table().entries.get(name) {
            Some(entry) => check(entry, &new.event, checks_left),
            None if *rule == SchemaRule::Known => Ok(()),
            None => Err(required(&new.channel, name)),
        }
    }
}

fn check(entry: &Entry, event: &Event, checks_left: &mut u64) -> Result<(), Error> {
    let SchemaVersion { event_type, version, .. } = entry.latest();
    let Some(schema) = &entry.schema else { return Err(unusable(event_type)) };
    let violated = |what: &str| {
        let detail = format!("schema `{event_type}`, version {version}: {what}");
        Error::new(ErrorCode::SchemaViolated, detail)
    };
    let Some(data) = event.data_bytes() else { return Err(violated("there is no data")) };
    let checked = schema.check_within(data, encoding(event), checks_left).ok_or_else(too_much)?;
    checked.map_err(|violations| {
        let all = violations.iter().map(|it| match it.path.as_str() {
            "" => format!("the data {}", it.message.trim_start_matches("the value ")),
            _ => it.to_string(),
        });
        violated(&all.collect::<Vec<_>>().join("; "))
    })
}

/// Data without a media type is JSON, as in CloudEvents.
fn encoding(event: &Event) -> Encoding {
    use tl_model::{DataForm, content_type};
    let essence = event.data_content_type().map(content_type::essence);
    let is_protobuf = |essence: &str| PROTOBUF.iter().any(|it| it.eq_ignore_ascii_case(essence));
    match event.data_form() {
        DataForm::Json | DataForm::JsonSpaced => Encoding::Json,
        _ if essence.is_some_and(is_protobuf) => Encoding::Protobuf,
        _ => Encoding::Other,
    }
}

/// A batch must not keep everybody else waiting for as many seconds as it has events.
fn too_much() -> Error {
    let detail = "checking this batch with its schemas takes too long; send several smaller ones";
    Error::new(ErrorCode::BatchTooLarge, detail)
}

fn not_found() -> Error {
    Error::new(ErrorCode::NotFound, "there is no such schema; GET /v1/schemas lists all")
}

fn required(channel: &Channel, name: &str) -> Error {
    let detail = format!(
        "{channel} takes only events with a schema, and there is none named `{name}`; put one with \
         PUT /v1/schemas/{name}"
    );
    Error::new(ErrorCode::SchemaRequired, detail)
}

/// It was read from the log of another version of the server. Nothing is let through unchecked.
fn unusable(name: &str) -> Error {
    let detail = format!("this server cannot use the schema `{name}`; its log says why");
    Error::new(ErrorCode::Internal, detail)
}

/// Where versions are kept.
fn channel() -> Channel {
    Channel::parse(CHANNEL).expect("a legal name")
}

/// The channel of versions: only the engine writes it, and nothing of it may be trimmed.
pub const CHANNEL: &str = "$cfg.schemas";
const PROTOBUF: &[&str] = &["application/protobuf", "application/x-protobuf"];
