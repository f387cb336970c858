//! Which keywords hold schemas, and for what.

use serde_json::{Map, Value};

/// To which values a schema within a schema applies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Applies {
    /// The same value.
    Here,
    /// Parts of it. Of two schemas of one group, no value ever meets both.
    Below(usize),
}

/// The schemas that apply with a schema, but for the one that `$ref` names.
pub(super) fn applied(schema: &Map<String, Value>) -> Vec<(Applies, &Value)> {
    let mut found = Vec::new();
    for (name, held) in schema {
        match name.as_str() {
            "not" | "if" | "then" | "else" => found.push((Applies::Here, held)),
            "allOf" | "anyOf" | "oneOf" => found.extend(list(held).map(|it| (Applies::Here, it))),
            "dependentSchemas" => found.extend(map(held).map(|(_, it)| (Applies::Here, it))),
            "properties" => found.extend(map(held).map(|(_, it)| (NAMED, it))),
            "additionalProperties" => found.push((NAMED, held)),
            "unevaluatedProperties" => found.push((Applies::Below(1), held)),
            "propertyNames" => found.push((Applies::Below(2), held)),
            "prefixItems" => found.extend(list(held).map(|it| (PLACED, it))),
            "items" => found.push((PLACED, held)),
            "unevaluatedItems" => found.push((Applies::Below(4), held)),
            "contains" => found.push((Applies::Below(5), held)),
            "patternProperties" => {
                let each = map(held).enumerate();
                found.extend(each.map(|(at, (_, it))| (Applies::Below(PATTERNS + at), it)));
            }
            _ => {}
        }
    }
    found
}

/// The schemas in a list of them.
pub(super) fn list(held: &Value) -> impl Iterator<Item = &Value> {
    held.as_array().into_iter().flatten()
}

/// The schemas in a map of them.
pub(super) fn map(held: &Value) -> impl Iterator<Item = (&String, &Value)> {
    held.as_object().into_iter().flatten()
}

const NAMED: Applies = Applies::Below(0);
const PLACED: Applies = Applies::Below(3);
/// The first group for patterns, of which each has its own.
const PATTERNS: usize = 6;
