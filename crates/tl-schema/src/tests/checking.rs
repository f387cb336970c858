use super::*;

fn order() -> Schema {
    json_schema(&json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["total", "lines"],
        "properties": {
            "total": {"type": "number", "minimum": 0},
            "currency": {"enum": ["EUR", "USD"]},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        },
        "$defs": {"line": {"type": "object", "required": ["sku"]}},
    }))
}

#[test]
fn what_a_schema_accepts_passes() {
    assert!(
        violations(&order(), r#"{"total": 12.50, "lines": [{"sku": "a"}], "more": 1}"#).is_empty()
    );
}

#[test]
fn every_violation_is_told_with_its_place() {
    let schema = order();
    assert_eq!(
        violations(&schema, r#"{"total": -1, "lines": [{"sku": 1}, {}]}"#),
        ["/lines/1", "/total"]
    );
    assert_eq!(violations(&schema, r#"{"total": 1}"#), [""]);
    assert_eq!(violations(&schema, "17"), [""]);
    assert_eq!(violations(&schema, "{"), [""]);
}

#[test]
fn no_more_is_told_than_somebody_reads_and_nothing_of_the_data() {
    let schema = json_schema(&json!({"items": {"enum": ["x".repeat(500)]}}));
    let data = Value::from(vec!["secret"; 1_000]).to_string();
    let found = schema.check(data.as_bytes(), Encoding::Json).expect_err("refused");
    assert_eq!(found.len(), SCHEMA_FINDINGS_MAX);
    assert!(found.iter().all(|it| it.to_string().len() < 500), "{found:?}");
    assert!(found.iter().all(|it| !it.to_string().contains("secret")), "{found:?}");
}

#[test]
fn data_of_another_kind_is_refused() {
    let refused = |schema: &Schema, encoding| schema.check(b"{}", encoding).is_err();
    assert!(refused(&order(), Encoding::Other) && refused(&order(), Encoding::Protobuf));
    assert!(refused(&proto("message A { int32 a = 1; }"), Encoding::Other));
}

#[test]
fn formats_are_notes_as_the_standard_has_it() {
    let schema = json_schema(&json!({"format": "date-time"}));
    assert!(violations(&schema, "\"yesterday\"").is_empty());
}
