use super::*;

#[track_caller]
fn refused(schema: &Value, reason: &str) {
    let error = parse_json(schema).expect_err("refused").to_string();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    refused(&json!({"type": "float"}), "/type");
    refused(&json!({"properties": {"a": {"minLength": "x"}}}), "/properties/a/minLength");
    refused(&json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "only https");
    refused(&json!({"dependencies": {}}), "dependentRequired");
    refused(&json!([]), "not a JSON Schema");
    let error = Schema::parse(Kind::JsonSchema, None, b"{").expect_err("refused");
    assert!(error.to_string().contains("not JSON"));
}

#[test]
fn nothing_is_fetched_from_elsewhere() {
    for reference in ["https://example.com/schema", "file:///etc/passwd", "other.json", "#anchor"] {
        refused(&json!({"$ref": reference}), "names nothing in this schema");
    }
    refused(&json!({"$dynamicRef": "#a"}), "use `$ref`");
    refused(&json!({"$defs": {"a": {"$id": "https://example.com/a"}}}), "`$id`");
}

#[test]
fn a_schema_has_a_size() {
    let large = json!({"const": "x".repeat(SCHEMA_BYTES_MAX)});
    refused(&large, "at most 262144 bytes");
    let deep = (0..70).fold(json!({}), |schema, _| json!({"not": schema}));
    refused(&deep, "nested deeper");
    let patterns: Vec<_> = (0..65).map(|at| json!({"pattern": format!("a{at}")})).collect();
    refused(&json!({"anyOf": patterns}), "at most 64 regular expressions");
    refused(&json!({"pattern": "(\\w{100}){100}"}), "not a JSON Schema");
    refused(&json!({"pattern": "(?=a)b"}), "not a JSON Schema");
}

#[test]
fn schemas_without_end_are_refused() {
    refused(&json!({"$ref": "#"}), "without end");
    refused(&json!({"anyOf": [{"type": "string"}, {"$ref": "#"}]}), "without end");
    let chain = |at: usize| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}));
    let mut defs: serde_json::Map<_, _> = (0..500).map(chain).collect();
    defs.insert("d500".to_owned(), json!({}));
    refused(&json!({"$ref": "#/$defs/d0", "$defs": defs}), "without end");
}

#[test]
fn schemas_that_double_at_every_step_are_refused() {
    let twice = |target: &str| json!({"allOf": [{"$ref": target}, {"$ref": target}]});
    let double = |at: usize| (format!("d{at}"), twice(&format!("#/$defs/d{}", at + 1)));
    let mut defs: serde_json::Map<_, _> = (0..14).map(double).collect();
    defs.insert("d14".to_owned(), json!({}));
    refused(&json!({"$ref": "#/$defs/d0", "$defs": defs}), "10000 times");
    let below = json!({"properties": {"a": {"$ref": "#"}}});
    refused(&json!({"allOf": [below, below]}), "10000 times");
}

#[test]
fn trees_are_no_doubling() {
    let tree = json_schema(&json!({
        "type": "object",
        "required": ["value"],
        "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}},
        "additionalProperties": true,
    }));
    let data = r#"{"value": 1, "left": {"value": 2, "right": {}}}"#;
    assert_eq!(violations(&tree, data), ["/left/right"]);
}

/// A task of the server has two MiB of stack, and not all for this.
#[test]
fn the_deepest_check_fits_the_stack_of_a_task() {
    let check = || {
        let inner = (1..30).fold(
            json!({"properties": {"a": {"$ref": "#"}}}),
            |schema, _| json!({"allOf": [schema]}),
        );
        let schema = json_schema(&inner);
        let deep = |levels| (0..levels).fold(json!({}), |data, _| json!({"a": data})).to_string();
        assert!(violations(&schema, &deep(31)).is_empty());
        assert_eq!(violations(&schema, &deep(40)), [""]);
    };
    let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(check);
    thread.expect("starts").join().expect("ends");
}

/// Each definition describes a property by the next one.
fn long_chain(definitions: usize, last: Value) -> Value {
    let next = |at| json!({"properties": {"a": {"$ref": format!("#/$defs/d{at}")}}});
    chain_of(definitions, last, next)
}

fn chain_of(definitions: usize, last: Value, next: impl Fn(usize) -> Value) -> Value {
    let defs = (0..definitions).map(|at| (format!("d{at}"), next(at + 1)));
    let mut defs: serde_json::Map<_, _> = defs.collect();
    defs.insert(format!("d{definitions}"), last);
    json!({"$ref": "#/$defs/d0", "$defs": defs})
}

#[test]
fn definitions_that_lead_far_are_borne_or_refused() {
    refused(&long_chain(4_000, json!({})), "through more than 1000 schemas");
    let check = || {
        let old = json_schema(&long_chain(499, json!({})));
        let new = json_schema(&long_chain(499, json!({"type": "null"})));
        assert!(reasons(&old, &new)[0].contains("too deep to be compared"));
        assert!(violations(&old, r#"{"a": {"a": {}}}"#).is_empty());
        for around in ["anyOf", "oneOf", "allOf"] {
            let next = |at| {
                let parts = [json!({"$ref": format!("#/$defs/d{at}")}), json!({"type": "object"})];
                json!({"additionalProperties": {around: parts}, "unevaluatedProperties": {}})
            };
            let _ = json_schema(&chain_of(240, json!({}), next));
        }
        let deep = (0..60).fold(json!({"type": "null"}), |schema, _| json!({"items": schema}));
        let _ = json_schema(&deep);
    };
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(check);
    thread.expect("starts").join().expect("ends");
}

#[test]
fn data_too_large_for_a_costly_schema_is_refused() {
    let alternatives: Vec<_> = (0..3_000).map(|at| json!({"const": at})).collect();
    let schema = json_schema(&json!({"items": {"anyOf": alternatives}}));
    assert!(violations(&schema, &Value::from(vec![1; 100]).to_string()).is_empty());
    let found = schema.check(Value::from(vec![1; 100_000]).to_string().as_bytes(), Encoding::Json);
    assert!(found.expect_err("refused")[0].message.contains("too much"));
}

#[test]
fn texts_that_many_regular_expressions_go_through_are_bounded() {
    let hard = json!({"pattern": "[ab]*a[ab]{60}c"});
    let schema = json_schema(&json!({"anyOf": vec![hard; 40]}));
    let found = |length: usize| {
        schema.check(json!("ab".repeat(length / 2)).to_string().as_bytes(), Encoding::Json)
    };
    assert!(found(200).expect_err("no match")[0].message.contains("anyOf"));
    assert!(found(80_000).expect_err("refused")[0].message.contains("too much"));
}

#[test]
fn long_texts_count_as_several_values() {
    let checks = vec![json!({"$ref": "#/$defs/text"}); 4_900];
    let schema = json!({"allOf": checks, "$defs": {"text": {"minLength": 1}}});
    let schema = json_schema(&schema);
    let found = |text: String| schema.check(json!(text).to_string().as_bytes(), Encoding::Json);
    assert_eq!(found("short".to_owned()), Ok(()));
    assert!(found("long".repeat(100_000)).is_err());
}
