//! Parameters in a body: what else stands in the query of an address.

use serde_json::{Map, Value};

/// The media type of [`read`].
pub const JSON: &str = "application/json";
/// The media type of what stands in an address.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Reads parameters from a JSON object: `{"channel": ["a", "b.>"], "limit": 100}` is
/// `channel=a&channel=b.%3E&limit=100`.
///
/// # Errors
///
/// What is wrong with it.
pub fn read(json: &[u8]) -> Result<Vec<(String, String)>, QueryError> {
    let parameters: Map<String, Value> = serde_json::from_slice(json)?;
    let mut pairs = Vec::new();
    for (name, value) in parameters {
        let values = match value {
            Value::Array(values) => values,
            Value::Null => Vec::new(),
            value => vec![value],
        };
        for value in values {
            let text = text(value).ok_or_else(|| QueryError::Value(name.clone()))?;
            pairs.push((name.clone(), text));
        }
    }
    Ok(pairs)
}

/// Why a body holds no parameters.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Not a JSON object.
    #[error("the parameters are no JSON object: {0}")]
    Json(#[from] serde_json::Error),
    /// A value with more structure than a parameter has.
    #[error("`{0}` is a text, a number, true or false, or a list of those")]
    Value(String),
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(text) => Some(text),
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_what_an_address_may() {
        let json = br#"{"channel": ["a", "b.>"], "limit": 100, "wait": 2.5, "x": true, "y": null}"#;
        let pairs = read(json).expect("parameters");
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("channel", "a"),
            ("channel", "b.>"),
            ("limit", "100"),
            ("wait", "2.5"),
            ("x", "true"),
        ];
        assert_eq!(pairs, expected);
        for nonsense in ["", "[]", "{", r#"{"a": {}}"#, r#"{"a": [[]]}"#, r#"{"a": [null]}"#] {
            assert!(read(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
    }
}
