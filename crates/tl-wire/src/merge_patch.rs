//! JSON merge patch (RFC 7396).
//!
//! What the patch does not speak of keeps its very text: numbers lose no digit, members keep their
//! order, strings keep their escapes.

use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use tl_model::limits::PATCH_DEPTH_MAX;

/// The media type.
pub const CONTENT_TYPE: &str = "application/merge-patch+json";

/// Applies a patch to a document; both are JSON.
///
/// # Errors
///
/// Which of them is not.
pub fn apply(document: &[u8], patch: &[u8]) -> Result<Vec<u8>, PatchError> {
    let patch = serde_json::from_slice(patch).map_err(|error| no_patch(&error))?;
    let document = serde_json::from_slice(document).map_err(|_| PatchError::Document)?;
    let mut merged = Vec::new();
    merge(Some(document), patch, PATCH_DEPTH_MAX, &mut merged)?;
    Ok(merged)
}

/// Why a patch cannot be applied.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatchError {
    /// The document is no JSON.
    #[error("the document is not JSON, so it cannot be patched; replace it with PUT")]
    Document,
    /// The patch is no JSON.
    #[error("the patch is not JSON: {0}")]
    Patch(String),
    /// The patch has objects in objects too many levels deep.
    #[error("a patch has at most {PATCH_DEPTH_MAX} objects inside each other")]
    TooDeep,
}

/// Writes what the patch makes of the target (RFC 7396 §2).
fn merge(
    target: Option<&RawValue>,
    patch: &RawValue,
    depth: usize,
    merged: &mut Vec<u8>,
) -> Result<(), PatchError> {
    let Some(patch_members) = Members::of(patch).map_err(|error| no_patch(&error))? else {
        merged.extend_from_slice(patch.get().as_bytes());
        return Ok(());
    };
    let depth = depth.checked_sub(1).ok_or(PatchError::TooDeep)?;
    let members = target.map(Members::of).transpose().map_err(|_| PatchError::Document)?;
    let members = members.flatten().unwrap_or_default();
    merged.push(b'{');
    for (name, value) in &members.values {
        match patch_members.find(name) {
            None => write_name(name, merged).extend_from_slice(value.get().as_bytes()),
            Some(patch) if patch.get() == "null" => {}
            Some(patch) => merge(Some(value), patch, depth, write_name(name, merged))?,
        }
    }
    let is_new = |it: &&(String, &RawValue)| it.1.get() != "null" && members.find(&it.0).is_none();
    for (name, patch) in patch_members.values.iter().filter(is_new) {
        merge(None, patch, depth, write_name(name, merged))?;
    }
    merged.push(b'}');
    Ok(())
}

fn no_patch(error: &serde_json::Error) -> PatchError {
    PatchError::Patch(error.to_string())
}

/// Writes what goes before a member's value.
fn write_name<'a>(name: &str, merged: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
    if merged.last() != Some(&b'{') {
        merged.push(b',');
    }
    // Writing text to a vector cannot fail.
    let _ = serde_json::to_writer(&mut *merged, name);
    merged.push(b':');
    merged
}

/// The members of an object, in their order. Of a name that is given twice the last value counts.
#[derive(Default)]
struct Members<'a> {
    values: Vec<(String, &'a RawValue)>,
    places: HashMap<String, usize>,
}

impl<'a> Members<'a> {
    /// None if the value is no object. What passes for JSON unread can still have a name that is no
    /// text, such as half a surrogate pair.
    fn of(value: &'a RawValue) -> Result<Option<Self>, serde_json::Error> {
        let is_object = value.get().starts_with('{');
        is_object.then(|| serde_json::from_str(value.get())).transpose()
    }

    fn find(&self, name: &str) -> Option<&'a RawValue> {
        self.places.get(name).map(|place| self.values[*place].1)
    }

    fn insert(&mut self, name: String, value: &'a RawValue) {
        match self.places.get(&name) {
            Some(place) => self.values[*place].1 = value,
            None => {
                self.places.insert(name.clone(), self.values.len());
                self.values.push((name, value));
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            members.insert(name, value);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn merged(document: &str, patch: &str) -> String {
        let merged = apply(document.as_bytes(), patch.as_bytes()).expect("both are JSON");
        String::from_utf8(merged).expect("text")
    }

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn a_patch_does_what_the_rfc_shows() {
        let examples = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ];
        for (document, patch, expected) in examples {
            assert_eq!(merged(document, patch), expected, "{document} and {patch}");
        }
    }

    #[test]
    fn what_is_not_patched_keeps_its_text() {
        let document = r#"{ "z": 1.10e400, "a\u0041": "\u00fc", "a": [ 1,  2 ] }"#;
        let expected = r#"{"z":1.10e400,"aA":"\u00fc","a":[ 1,  2 ],"new":{"x":1}}"#;
        assert_eq!(merged(document, r#"{"new":{"x":1,"y":null}}"#), expected);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert_eq!(apply(b"text", b"{}"), Err(PatchError::Document));
        assert!(matches!(apply(b"{}", b"{"), Err(PatchError::Patch(_))));
        let deep = [r#"{"a":"#.repeat(PATCH_DEPTH_MAX + 1), "1".into(), "}".repeat(65)].concat();
        assert_eq!(apply(b"{}", deep.as_bytes()), Err(PatchError::TooDeep));
    }

    #[test]
    fn nothing_is_lost_where_a_name_is_no_text() {
        let (plain, broken) = (br#"{"a":1}"#, br#"{"a":1,"\ud800":2}"#);
        assert_eq!(apply(broken, plain), Err(PatchError::Document));
        assert!(matches!(apply(plain, broken), Err(PatchError::Patch(_))));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("[a-c]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The pseudocode of RFC 7396 §2.
    fn reference(target: Value, patch: Value) -> Value {
        let Value::Object(patch) = patch else { return patch };
        let mut target = match target {
            Value::Object(target) => target,
            _ => serde_json::Map::new(),
        };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(&name);
            } else {
                let old = target.remove(&name).unwrap_or(Value::Null);
                target.insert(name, reference(old, value));
            }
        }
        Value::Object(target)
    }

    proptest! {
        #[test]
        fn a_patch_does_what_the_rfc_says(document in json(), patch in json()) {
            let merged = merged(&document.to_string(), &patch.to_string());
            let merged: Value = serde_json::from_str(&merged).expect("JSON");
            prop_assert_eq!(merged, reference(document, patch));
        }
    }
}
