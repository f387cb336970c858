//! What is told of schemas over plain HTTP. Their own text travels as it is.

use serde::{Deserialize, Serialize};

/// A version of a type's schema.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SchemaVersion {
    /// The type of event it is for.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Counted from 1.
    pub version: u32,
    /// How it is written: `json-schema`, `protobuf` or `protobuf-descriptors`.
    #[serde(default)]
    pub kind: String,
    /// The protobuf message that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was put, in RFC 3339; none if that has only been tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Schemas {
    schemas: Vec<SchemaVersion>,
}

/// One version.
pub fn one(version: &SchemaVersion) -> Vec<u8> {
    // A version holds nothing that JSON cannot express.
    serde_json::to_vec(version).unwrap_or_default()
}

/// The latest versions of several types.
pub fn many(schemas: Vec<SchemaVersion>) -> Vec<u8> {
    serde_json::to_vec(&Schemas { schemas }).unwrap_or_default()
}

/// Reads one version, as a client.
pub fn read_one(json: &[u8]) -> Result<SchemaVersion, serde_json::Error> {
    serde_json::from_slice(json)
}

/// Reads several, as a client.
pub fn read_many(json: &[u8]) -> Result<Vec<SchemaVersion>, serde_json::Error> {
    serde_json::from_slice(json).map(|Schemas { schemas }| schemas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let version = SchemaVersion {
            event_type: "order.created".into(),
            version: 2,
            kind: "json-schema".into(),
            message: None,
            time: Some("2026-01-31T12:00:00Z".into()),
        };
        let expected = concat!(
            r#"{"type":"order.created","version":2,"kind":"json-schema","#,
            r#""time":"2026-01-31T12:00:00Z"}"#,
        );
        assert_eq!(one(&version), expected.as_bytes());
        assert_eq!(read_one(&one(&version)).expect("reads"), version);
        assert_eq!(read_many(&many(vec![version.clone()])).expect("reads"), [version]);
    }
}
