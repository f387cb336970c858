use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use tl_model::{AttributeValue, Event, LoggedEvent, Offset, Position};
use tl_schema::{Kind, Schema};

use super::{CHANNEL, SchemaVersion};

/// What has been read of the versions. Cloning it copies no schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<Arc<str>, Arc<Entry>>,
    /// All up to here has been read.
    pub(super) read_to: Offset,
}

/// The versions of one type.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// At least one, in order. A store that was damaged may have lost some.
    versions: Vec<SchemaVersion>,
    /// The text of the latest.
    pub(super) source: Bytes,
    /// The latest, ready to check with; none if it cannot be used.
    pub(super) schema: Option<Arc<Schema>>,
}

impl Entry {
    pub(super) fn latest(&self) -> &SchemaVersion {
        self.versions.last().expect("an entry begins with a version")
    }

    pub(super) fn version(&self, version: u32) -> Option<&SchemaVersion> {
        self.versions.iter().find(|it| it.version == version)
    }
}

impl Table {
    /// Adds versions that follow what is known, and gets the latest ones ready. Whatever is no version
    /// was not written by an engine, and is passed over.
    pub(super) fn add(&mut self, events: &[(LoggedEvent, Position)]) {
        let mut changed = Vec::new();
        for (logged, at) in events {
            match read(logged, *at).filter(|version| self.is_next(version)) {
                Some(version) => {
                    changed.push(version.event_type.clone());
                    self.push(version, &logged.event);
                }
                None => {
                    tracing::warn!(offset = %logged.offset, "{CHANNEL} has an event that is no version");
                }
            }
        }
        changed.sort_unstable();
        changed.dedup();
        changed.iter().for_each(|name| self.prepare(name));
    }

    fn is_next(&self, version: &SchemaVersion) -> bool {
        let entry = self.entries.get(&version.event_type);
        version.version > entry.map_or(0, |entry| entry.latest().version)
    }

    fn push(&mut self, version: SchemaVersion, event: &Event) {
        // A part of a page would keep the whole page in memory.
        let source = Bytes::copy_from_slice(event.data_bytes().unwrap_or_default());
        let before = self.entries.get(&version.event_type);
        let mut versions = before.map_or_else(Vec::new, |entry| entry.versions.clone());
        let name = version.event_type.clone();
        versions.push(version);
        self.entries.insert(name, Arc::new(Entry { versions, source, schema: None }));
    }

    fn prepare(&mut self, name: &Arc<str>) {
        let Some(entry) = self.entries.get(name) else { return };
        let SchemaVersion { kind, message, version, .. } = entry.latest();
        match Schema::parse(*kind, message.as_deref(), &entry.source) {
            Ok(schema) => {
                let schema = Some(Arc::new(schema));
                let entry = Entry { schema, ..Entry::clone(entry) };
                self.entries.insert(name.clone(), Arc::new(entry));
            }
            Err(error) => {
                tracing::error!(%name, version, %error, "a schema cannot be used; its events are refused");
            }
        }
    }
}

/// Writes a version down. The type is its subject.
pub(super) fn write<'a>(
    (id, time): (&'a str, &'a str),
    event_type: &'a str,
    version: u32,
    kind: Kind,
    message: Option<&'a str>,
    source: &'a [u8],
) -> tl_model::EventBuilder<'a> {
    let number = i32::try_from(version).unwrap_or(i32::MAX);
    let event = Event::builder(id, "/v1/schemas", EVENT_TYPE)
        .time(time)
        .subject(event_type)
        .data_content_type(kind.content_type())
        .extension(VERSION, AttributeValue::Integer(number))
        .data(source);
    match message {
        Some(message) => event.extension(MESSAGE, AttributeValue::String(message)),
        None => event,
    }
}

/// The version that an event holds.
fn read(logged: &LoggedEvent, at: Position) -> Option<SchemaVersion> {
    let event = &logged.event;
    let extension = |wanted| event.extensions().find(|(name, _)| *name == wanted).map(|(_, it)| it);
    let AttributeValue::Integer(number) = extension(VERSION)? else { return None };
    let message = match extension(MESSAGE) {
        Some(AttributeValue::String(message)) => Some(message.to_owned()),
        _ => None,
    };
    Some(SchemaVersion {
        event_type: event.subject()?.into(),
        version: u32::try_from(number).ok()?,
        kind: Kind::of(event.data_content_type()?)?,
        message,
        time: event.time()?.to_owned(),
        at,
    })
}

const EVENT_TYPE: &str = "throughline.schema";
const VERSION: &str = "schemaversion";
const MESSAGE: &str = "schemamessage";
