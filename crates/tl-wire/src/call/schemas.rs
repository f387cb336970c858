//! The messages of schemas.

use bytes::Bytes;

use tl_model::{Error, Form};

use super::{Condition, contract, decode, encode, parameter_invalid};
use crate::schemas::SchemaVersion;

/// A version that a type's schema is to have.
#[derive(Clone, Debug)]
pub struct SchemaChange {
    /// The type of event.
    pub event_type: String,
    /// How it is written.
    pub kind: String,
    /// The protobuf message that is meant.
    pub message: Option<String>,
    /// The text, or the descriptors.
    pub source: Bytes,
    /// What must be true of the latest version.
    pub condition: Option<Condition<u32>>,
}

/// Writes `ListSchemasResponse`.
pub fn write_schemas(form: Form, schemas: impl Iterator<Item = SchemaVersion>) -> Vec<u8> {
    encode(form, &contract::ListSchemasResponse { schemas: schemas.map(version).collect() })
}

/// Reads `GetSchemaRequest`: the type, and the version if it is not the latest.
///
/// # Errors
///
/// `message_invalid`.
pub fn read_get_schema(form: Form, message: &[u8]) -> Result<(String, Option<u32>), Error> {
    let request: contract::GetSchemaRequest = decode(form, message)?;
    Ok((request.r#type, Some(request.version).filter(|version| *version != 0)))
}

/// Writes `GetSchemaResponse`.
pub fn write_schema(form: Form, schema: SchemaVersion, source: Bytes) -> Vec<u8> {
    encode(form, &contract::GetSchemaResponse { schema: version(schema).into(), source })
}

/// Reads `PutSchemaRequest`.
///
/// # Errors
///
/// `message_invalid`, `parameter_invalid`.
pub fn read_put_schema(form: Form, message: &[u8]) -> Result<SchemaChange, Error> {
    let request: contract::PutSchemaRequest = decode(form, message)?;
    Ok(SchemaChange {
        event_type: request.r#type,
        kind: request.kind,
        message: Some(request.message).filter(|message| !message.is_empty()),
        source: request.source,
        condition: request.condition.into_option().map(parse_condition).transpose()?,
    })
}

/// Reads `CheckSchemaRequest`, which has the same fields.
///
/// # Errors
///
/// As [`read_put_schema`].
pub fn read_check_schema(form: Form, message: &[u8]) -> Result<SchemaChange, Error> {
    read_put_schema(form, message)
}

/// Writes `PutSchemaResponse`.
pub fn write_schema_put(form: Form, version: u32, is_new: bool) -> Vec<u8> {
    encode(form, &contract::PutSchemaResponse { version, created: is_new })
}

/// Writes `CheckSchemaResponse`.
pub fn write_schema_checked(form: Form, version: u32, is_new: bool) -> Vec<u8> {
    encode(form, &contract::CheckSchemaResponse { version, created: is_new })
}

fn version(schema: SchemaVersion) -> contract::SchemaVersion {
    let SchemaVersion { event_type, version, kind, message, time } = schema;
    let (message, time) = (message.unwrap_or_default(), time.unwrap_or_default());
    contract::SchemaVersion { r#type: event_type, version, kind, message, time }
}

/// What is meant by one that says nothing is not known, and may be a condition of another version.
fn parse_condition(condition: contract::SchemaCondition) -> Result<Condition<u32>, Error> {
    use contract::schema_condition::Condition as Named;
    match condition.condition {
        Some(Named::Exists(true)) => Ok(Condition::Exists),
        Some(Named::Exists(false)) => Ok(Condition::Absent),
        Some(Named::Version(version)) => Ok(Condition::Last(version)),
        None => Err(parameter_invalid("`condition` has one of the members `version`, `exists`")),
    }
}
