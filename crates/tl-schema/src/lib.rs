//! Schemas of events: what they accept, and what may change from one version to the next.
//!
//! A [`Schema`] is a JSON Schema (draft 2020-12) or a protobuf message. It is parsed once, within
//! bounds that keep every later check short; then it [checks](Schema::check) data and tells whether
//! it is [additive](Schema::is_additive_to) to another version.
//!
//! This crate is pure: nothing is fetched from anywhere, no file is read.

mod json;
mod protobuf;

use std::fmt;

use tl_model::limits::{SCHEMA_BYTES_MAX, SCHEMA_CHECKS_MAX, SCHEMA_FINDINGS_MAX};

use json::JsonSchema;
use protobuf::ProtobufSchema;

/// A schema, ready to check with.
#[derive(Debug)]
pub struct Schema(Compiled);

#[derive(Debug)]
enum Compiled {
    // Much larger than the other.
    Json(Box<JsonSchema>),
    Protobuf(ProtobufSchema),
}

/// How a schema is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A protobuf `FileDescriptorSet` with everything it imports.
    Descriptors,
    /// JSON Schema, draft 2020-12.
    JsonSchema,
    /// The source of one `.proto` file.
    Proto,
}

/// How the data of an event is written, as far as that matters here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// Protobuf in its binary form.
    Protobuf,
    /// Anything else, which no schema accepts.
    Other,
}

/// Where data breaks a schema, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// A JSON Pointer (RFC 6901) into JSON data, the names of fields for protobuf; empty for the whole.
    pub path: String,
    /// What is wrong there. Nothing of the data itself is in it.
    pub message: String,
}

/// Why a version is not additive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reason {
    /// A JSON Pointer into the new schema, or the name of a field; empty for the whole.
    pub path: String,
    /// What would be refused that was accepted.
    pub message: String,
}

/// Why something is no schema, or none that can be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(String);

impl Schema {
    /// Parses a schema. `message` names the protobuf message that is meant; it can be left out if there
    /// is only one on the top level.
    ///
    /// # Errors
    ///
    /// It is no schema of this kind, or beyond a limit.
    pub fn parse(kind: Kind, message: Option<&str>, source: &[u8]) -> Result<Self, SchemaError> {
        if source.len() > SCHEMA_BYTES_MAX {
            let text = format!("a schema has at most {SCHEMA_BYTES_MAX} bytes");
            return Err(SchemaError(text));
        }
        let compiled = match kind {
            Kind::JsonSchema if message.is_some() => {
                let text = "a JSON Schema has no `message`; it is for protobuf".to_owned();
                return Err(SchemaError(text));
            }
            Kind::JsonSchema => Compiled::Json(Box::new(JsonSchema::parse(source)?)),
            Kind::Descriptors => {
                Compiled::Protobuf(ProtobufSchema::parse_descriptors(message, source)?)
            }
            Kind::Proto => Compiled::Protobuf(ProtobufSchema::parse_source(message, source)?),
        };
        Ok(Self(compiled))
    }

    /// The full name of the protobuf message that is meant.
    pub fn message(&self) -> Option<&str> {
        match &self.0 {
            Compiled::Json(_) => None,
            Compiled::Protobuf(schema) => Some(schema.message()),
        }
    }

    /// Checks data. A JSON Schema takes JSON; a protobuf message takes its binary form and its JSON
    /// form, and in both no field that it does not have.
    ///
    /// # Errors
    ///
    /// Where the data breaks the schema; the first few places if there are many.
    pub fn check(&self, data: &[u8], encoding: Encoding) -> Result<(), Vec<Violation>> {
        let checked = self.check_within(data, encoding, &mut { SCHEMA_CHECKS_MAX });
        checked.expect("what takes more checks is refused before")
    }

    /// [`check`](Self::check) for the data of one event of several, which take their checks from the same
    /// number; `None` if too few are left.
    pub fn check_within(
        &self,
        data: &[u8],
        encoding: Encoding,
        checks_left: &mut u64,
    ) -> Option<Result<(), Vec<Violation>>> {
        Some(match (&self.0, encoding) {
            (Compiled::Json(schema), Encoding::Json) => return schema.check(data, checks_left),
            (Compiled::Json(_), _) => Err(vec![Violation::of_all("is not JSON")]),
            (Compiled::Protobuf(schema), Encoding::Json) => schema.check_json(data),
            (Compiled::Protobuf(schema), Encoding::Protobuf) => schema.check_binary(data),
            (Compiled::Protobuf(_), Encoding::Other) => {
                let message = "is neither application/protobuf nor JSON";
                Err(vec![Violation::of_all(message)])
            }
        })
    }

    /// Whether everything that another version accepts is accepted by this one, too. What cannot be
    /// proved is refused.
    ///
    /// A property that the other version did not speak of may be described although open objects
    /// accepted anything there: otherwise no schema of open objects could ever grow.
    ///
    /// # Errors
    ///
    /// Why not; the first few reasons if there are many.
    pub fn is_additive_to(&self, old: &Self) -> Result<(), Vec<Reason>> {
        let mut reasons = match (&self.0, &old.0) {
            (Compiled::Json(new), Compiled::Json(old)) => new.reasons_against(old),
            (Compiled::Protobuf(new), Compiled::Protobuf(old)) => new.reasons_against(old),
            _ => vec![Reason::new(
                "",
                "a JSON Schema and a protobuf message cannot follow each other",
            )],
        };
        reasons.truncate(SCHEMA_FINDINGS_MAX);
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }
}

impl Kind {
    /// All kinds, in alphabetical order.
    pub const ALL: [Self; 3] = [Self::Descriptors, Self::JsonSchema, Self::Proto];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Descriptors => "protobuf-descriptors",
            Self::JsonSchema => "json-schema",
            Self::Proto => "protobuf",
        }
    }

    /// The media type in which such a schema is kept and handed out.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Descriptors => "application/x-protobuf",
            Self::JsonSchema => "application/schema+json",
            Self::Proto => "text/x-protobuf",
        }
    }

    /// The kind of what comes with a media type, which has no parameters.
    pub fn of(content_type: &str) -> Option<Self> {
        let is = |name: &&str| name.eq_ignore_ascii_case(content_type);
        let by_type = Self::ALL.into_iter().find(|kind| is(&kind.content_type()));
        by_type.or_else(|| is(&"application/json").then_some(Self::JsonSchema))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Violation {
    fn new(path: &str, message: &str) -> Self {
        Self { path: excerpt(path), message: excerpt(message) }
    }

    fn of_all(message: &str) -> Self {
        Self::new("", message)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.path, &self.message)
    }
}

impl Reason {
    fn new(path: &str, message: &str) -> Self {
        Self { path: excerpt(path), message: excerpt(message) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.path, &self.message)
    }
}

fn write(f: &mut fmt::Formatter<'_>, path: &str, message: &str) -> fmt::Result {
    match path {
        "" => f.write_str(message),
        path => write!(f, "{path}: {message}"),
    }
}

/// What is told stays short, whatever names a schema or data has.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A long sentence.
const EXCERPT_CHARS: usize = 200;

#[cfg(test)]
mod tests;
