//! Protobuf messages.

mod additive;
mod compile;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};

use tl_model::limits::SCHEMA_FINDINGS_MAX;

use crate::{Reason, SchemaError, Violation};

/// One message, with all that it is made of.
#[derive(Debug)]
pub(crate) struct ProtobufSchema {
    message: MessageDescriptor,
}

impl ProtobufSchema {
    pub(crate) fn parse_source(name: Option<&str>, source: &[u8]) -> Result<Self, SchemaError> {
        let pool = compile::source(source)?;
        Self::find(&pool, name)
    }

    pub(crate) fn parse_descriptors(name: Option<&str>, set: &[u8]) -> Result<Self, SchemaError> {
        let pool = compile::descriptors(set)?;
        Self::find(&pool, name)
    }

    /// The message's full name.
    pub(crate) fn message(&self) -> &str {
        self.message.full_name()
    }

    pub(crate) fn check_binary(&self, data: &[u8]) -> Result<(), Vec<Violation>> {
        let decoded = DynamicMessage::decode(self.message.clone(), data).map_err(|error| {
            let message = format!("is not a {}: {error}", self.message());
            vec![Violation::of_all(&message)]
        })?;
        if !has_unknown(&decoded) {
            return Ok(());
        }
        let mut violations = Vec::new();
        find_unknown(&decoded, "", &mut violations);
        Err(violations)
    }

    pub(crate) fn check_json(&self, data: &[u8]) -> Result<(), Vec<Violation>> {
        let mut json = serde_json::Deserializer::from_slice(data);
        let read = DynamicMessage::deserialize(self.message.clone(), &mut json);
        read.and_then(|_| json.end()).map_err(|error| {
            let message = format!("is not the JSON form of a {}: {error}", self.message());
            vec![Violation::of_all(&message)]
        })
    }

    pub(crate) fn reasons_against(&self, old: &Self) -> Vec<Reason> {
        additive::reasons(&old.message, &self.message)
    }

    fn find(pool: &DescriptorPool, name: Option<&str>) -> Result<Self, SchemaError> {
        if let Some(name) = name {
            let found = pool.get_message_by_name(name).or_else(|| {
                // The package need not be written down if the name is clear without.
                let mut named = own_messages(pool).filter(|message| message.name() == name);
                named.next().filter(|_| named.next().is_none())
            });
            let message = found.ok_or_else(|| {
                SchemaError(format!("there is no message `{}`", crate::excerpt(name)))
            })?;
            return Ok(Self { message });
        }
        let mut messages = own_messages(pool);
        match (messages.next(), messages.next()) {
            (Some(message), None) => Ok(Self { message }),
            (None, _) => Err(SchemaError("there is no message in it".to_owned())),
            (Some(one), Some(other)) => Err(SchemaError(format!(
                "there are several messages, such as `{}` and `{}`; name the one that is meant",
                one.full_name(),
                other.full_name()
            ))),
        }
    }
}

/// The messages on the top level that are not protobuf's own.
fn own_messages(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> {
    let files = pool.files().filter(|file| file.package_name() != compile::GOOGLE);
    files.flat_map(|file| file.messages().collect::<Vec<_>>())
}

/// Whether there are fields that the message does not have, however deep. A decoder passes over them, so
/// any bytes could hide there.
fn has_unknown(message: &DynamicMessage) -> bool {
    let in_value = |value: &Value| match value {
        Value::Message(message) => has_unknown(message),
        Value::List(values) => values.iter().filter_map(Value::as_message).any(has_unknown),
        Value::Map(values) => values.values().filter_map(Value::as_message).any(has_unknown),
        _ => false,
    };
    message.unknown_fields().next().is_some() || message.fields().any(|(_, value)| in_value(value))
}

/// Where they are.
fn find_unknown(message: &DynamicMessage, path: &str, violations: &mut Vec<Violation>) {
    let descriptor = message.descriptor();
    for field in message.unknown_fields() {
        if violations.len() < SCHEMA_FINDINGS_MAX {
            let text = format!("{} has no field {}", descriptor.full_name(), field.number());
            violations.push(Violation::new(path, &text));
        }
    }
    for (field, value) in message.fields() {
        let path = match path {
            "" => field.name().to_owned(),
            path => format!("{path}.{}", field.name()),
        };
        find_unknown_in(value, &path, violations);
    }
}

fn find_unknown_in(value: &Value, path: &str, violations: &mut Vec<Violation>) {
    match value {
        Value::Message(message) => find_unknown(message, path, violations),
        Value::List(values) => {
            for (place, value) in values.iter().enumerate() {
                find_unknown_in(value, &format!("{path}[{place}]"), violations);
            }
        }
        Value::Map(values) => values.values().for_each(|it| find_unknown_in(it, path, violations)),
        _ => {}
    }
}
