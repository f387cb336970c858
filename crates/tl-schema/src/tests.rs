mod additive;
mod bounds;
mod checking;
mod messages;

use serde_json::{Value, json};

use super::*;

fn json_schema(schema: &Value) -> Schema {
    parse_json(schema).expect("a schema")
}

fn parse_json(schema: &Value) -> Result<Schema, SchemaError> {
    Schema::parse(Kind::JsonSchema, None, schema.to_string().as_bytes())
}

fn proto(source: &str) -> Schema {
    let source = format!("syntax = \"proto3\";\n{source}");
    Schema::parse(Kind::Proto, None, source.as_bytes()).expect("a schema")
}

/// The paths that are told to break a schema.
fn violations(schema: &Schema, data: &str) -> Vec<String> {
    let found = schema.check(data.as_bytes(), Encoding::Json).err().unwrap_or_default();
    found.into_iter().map(|violation| violation.path).collect()
}

fn reasons(old: &Schema, new: &Schema) -> Vec<String> {
    let found = new.is_additive_to(old).err().unwrap_or_default();
    found.iter().map(ToString::to_string).collect()
}
