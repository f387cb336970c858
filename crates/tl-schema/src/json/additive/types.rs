//! Which types of values a schema accepts, at most.

use serde_json::Value;

use super::super::keywords::list;
use super::Node;

/// A set of types.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Types(u8);

impl Types {
    const NULL: Self = Self(1);
    const BOOLEAN: Self = Self(2);
    const OBJECT: Self = Self(4);
    const ARRAY: Self = Self(8);
    const STRING: Self = Self(16);
    const INTEGER: Self = Self(32);
    const FRACTION: Self = Self(64);
    const NUMBER: Self = Self(32 | 64);
    const ALL: Self = Self(127);

    /// The types that all of these schemas accept.
    pub(super) fn of_all(schemas: &[Node<'_>]) -> Self {
        schemas.iter().fold(Self::ALL, |types, node| Self(types.0 & Self::of(node.schema).0))
    }

    /// The types that a schema's own keywords accept.
    fn of(schema: &Value) -> Self {
        let mut types = Self::of_keyword(schema);
        if let Some(values) = values(schema) {
            let of_values =
                values.iter().fold(Self(0), |types, value| types.or(Self::of_value(value)));
            types = Self(types.0 & of_values.0);
        }
        types
    }

    fn named(name: &Value) -> Self {
        match name.as_str() {
            Some("null") => Self::NULL,
            Some("boolean") => Self::BOOLEAN,
            Some("object") => Self::OBJECT,
            Some("array") => Self::ARRAY,
            Some("string") => Self::STRING,
            Some("integer") => Self::INTEGER,
            Some("number") => Self::NUMBER,
            _ => Self::ALL,
        }
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.is_f64() => Self::NUMBER,
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    /// The types of which a keyword says something.
    pub(super) fn meant_by(keyword: &str) -> Self {
        match keyword {
            "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" | "multipleOf" => {
                Self::NUMBER
            }
            "minLength" | "maxLength" | "pattern" => Self::STRING,
            "items" | "prefixItems" | "contains" | "minItems" | "maxItems" | "uniqueItems"
            | "unevaluatedItems" => Self::ARRAY,
            "properties"
            | "patternProperties"
            | "additionalProperties"
            | "propertyNames"
            | "required"
            | "minProperties"
            | "maxProperties"
            | "dependentRequired"
            | "dependentSchemas"
            | "unevaluatedProperties" => Self::OBJECT,
            _ => Self::ALL,
        }
    }

    pub(super) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of those that a schema does not accept, for people.
    pub(super) fn missing_in(self, schema: &Value) -> Vec<&'static str> {
        let missing = Self(self.0 & !Self::of_keyword(schema).0);
        let names = NAMES.iter().filter(|(types, _)| missing.intersects(*types));
        names.map(|(_, name)| *name).collect()
    }

    fn of_keyword(schema: &Value) -> Self {
        match schema.get("type") {
            Some(Value::Array(names)) => {
                names.iter().fold(Self(0), |it, name| it.or(Self::named(name)))
            }
            Some(name) => Self::named(name),
            None => Self::ALL,
        }
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The only values that a schema accepts, if it lists them.
pub(super) fn values(schema: &Value) -> Option<&[Value]> {
    let one = schema.get("const").map(std::slice::from_ref);
    one.or_else(|| schema.get("enum")?.as_array().map(Vec::as_slice))
}

/// Whether no value can be accepted by both: they differ in type, or in the text of a property that
/// both demand.
pub(super) fn are_apart(one: Node<'_>, other: Node<'_>) -> bool {
    let [one, other] = [one, other].map(Node::together);
    let [types, other_types] = [&one, &other].map(|it| Types::of_all(it));
    if !types.intersects(other_types) {
        return true;
    }
    let common = Types(types.0 & other_types.0);
    let mut names = one.iter().filter_map(|node| node.keyword("required")).flat_map(list);
    common == Types::OBJECT
        && names.any(|name| {
            let name = name.as_str().unwrap_or_default();
            match (texts(&one, name), texts(&other, name)) {
                (Some(texts), Some(others)) => {
                    is_required(&other, name) && texts.iter().all(|text| !others.contains(text))
                }
                _ => false,
            }
        })
}

fn is_required(schemas: &[Node<'_>], name: &str) -> bool {
    let mut required = schemas.iter().filter_map(|node| node.keyword("required")).flat_map(list);
    required.any(|it| it == name)
}

/// The texts a property can have, if it can only have certain ones.
fn texts<'a>(schemas: &[Node<'a>], name: &str) -> Option<Vec<&'a str>> {
    let mut described = schemas.iter().filter_map(|node| node.part_in("properties", name));
    let values = described.find_map(|node| values(node.schema))?;
    values.iter().map(Value::as_str).collect()
}

const NAMES: &[(Types, &str)] = &[
    (Types::NULL, "null"),
    (Types::BOOLEAN, "boolean"),
    (Types::OBJECT, "object"),
    (Types::ARRAY, "array"),
    (Types::STRING, "string"),
    (Types::INTEGER, "integer"),
    (Types::FRACTION, "number"),
];
