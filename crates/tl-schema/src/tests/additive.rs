use proptest::prelude::*;

use super::*;

#[track_caller]
fn allowed(old: Value, new: Value) {
    assert_eq!(reasons(&json_schema(&old), &json_schema(&new)), [""; 0], "{old} → {new}");
}

#[track_caller]
fn refused(old: Value, new: Value, reason: &str) {
    let found = reasons(&json_schema(&old), &json_schema(&new));
    assert!(found.iter().any(|it| it.contains(reason)), "{old} → {new}: {found:?}");
}

#[test]
fn what_widens_is_additive() {
    allowed(json!({"type": "integer"}), json!({"type": ["number", "null"]}));
    allowed(json!({"enum": ["a"]}), json!({"enum": ["a", "b"]}));
    allowed(json!({"const": "a"}), json!({"type": "string"}));
    allowed(json!({"minimum": 5, "maxLength": 3}), json!({"exclusiveMinimum": 4, "maxLength": 9}));
    allowed(json!({"multipleOf": 6, "uniqueItems": true}), json!({"multipleOf": 3}));
    allowed(json!({"required": ["a", "b"]}), json!({"required": ["a"]}));
    allowed(json!({"additionalProperties": false}), json!({"properties": {"a": {"type": "null"}}}));
    allowed(json!({"title": "old", "format": "email"}), json!({"description": "new"}));
    allowed(json!({"type": "string"}), json!({"type": "string", "minimum": 5}));
    allowed(
        json!({"prefixItems": [{"const": 1}], "items": {"const": 2}}),
        json!({"items": {"enum": [1, 2]}}),
    );
    allowed(json!({"anyOf": [{"const": 1}, {"const": 2}]}), json!({"enum": [1, 2, 3]}));
    allowed(json!({"not": {"type": ["string", "null"]}}), json!({"not": {"type": "string"}}));
    allowed(
        json!({"contains": {"const": 1}, "minContains": 2}),
        json!({"contains": {"enum": [1, 2]}}),
    );
}

#[test]
fn a_new_property_may_be_described() {
    let closed =
        |properties: Value| json!({"properties": properties, "additionalProperties": false});
    let open = |properties: Value| json!({"properties": properties});
    let (old, new) = (json!({"a": {}}), json!({"a": {}, "b": {"type": "string"}}));
    allowed(closed(old.clone()), closed(new.clone()));
    allowed(open(old.clone()), open(new.clone()));
    let others = json!({"properties": old, "additionalProperties": {"type": "integer"}});
    refused(others, open(new.clone()), "/properties/b/type: no longer accepted: integer");
    refused(json!({"not": open(new)}), json!({"not": open(old)}), "/not");
    refused(
        json!({"anyOf": [open(json!({"b": {"const": 1}})), {"required": ["c"]}]}),
        open(json!({"b": {"const": 1}})),
        "/properties/b",
    );
}

#[test]
fn a_property_that_was_spoken_of_without_a_description_is_not_new() {
    let new = json!({"properties": {"a": {}, "b": {"type": "string"}}});
    for spoken_of in [
        json!({"required": ["b"]}),
        json!({"unevaluatedProperties": {"type": "integer"}}),
        json!({"enum": [{"a": 1, "b": 5}]}),
        json!({"const": {"b": 5}}),
    ] {
        let mut old = json!({"properties": {"a": {}}});
        let members = spoken_of.as_object().expect("an object").clone();
        old.as_object_mut().expect("an object").extend(members);
        refused(old, new.clone(), "/properties/b");
    }
    allowed(json!({"properties": {"a": {}}, "unevaluatedProperties": false}), new);
}

#[test]
fn what_narrows_is_refused_with_its_place() {
    refused(json!({}), json!(false), "nothing is accepted");
    refused(json!({}), json!({"type": "string"}), "/type: no longer accepted: null");
    refused(
        json!({"type": ["string", "null"]}),
        json!({"type": "string"}),
        "/type: no longer accepted: null",
    );
    refused(json!({"enum": ["a", "b"]}), json!({"enum": ["a"]}), "/enum: the value \"b\"");
    refused(json!({"minimum": 1}), json!({"minimum": 2}), "/minimum: `minimum` is stricter");
    refused(json!({"minimum": 1}), json!({"exclusiveMinimum": 1}), "/exclusiveMinimum");
    refused(json!({}), json!({"maxLength": 1}), "/maxLength: `maxLength` was not demanded");
    refused(json!({}), json!({"pattern": "a"}), "/pattern");
    refused(json!({}), json!({"uniqueItems": true}), "/uniqueItems");
    refused(json!({}), json!({"required": ["a"]}), "/required: the property `a`");
    refused(json!({}), json!({"additionalProperties": false}), "/additionalProperties: any other");
    refused(
        json!({"properties": {"a": {}}, "additionalProperties": false}),
        json!({"additionalProperties": false}),
        "the property `a` is no longer described",
    );
    refused(
        json!({"properties": {"a/b": {"type": "number"}}}),
        json!({"properties": {"a/b": {"type": "integer"}}}),
        "/properties/a~1b/type: no longer accepted: number",
    );
    refused(json!({}), json!({"patternProperties": {"^a": {"const": 1}}}), "/patternProperties/^a");
    refused(json!({}), json!({"propertyNames": {"maxLength": 1}}), "/propertyNames/maxLength");
    refused(json!({}), json!({"dependentRequired": {"a": ["b"]}}), "/dependentRequired");
    refused(
        json!({}),
        json!({"dependentSchemas": {"a": {"required": ["b"]}}}),
        "/dependentSchemas/a",
    );
    refused(json!({}), json!({"items": {"const": 1}}), "/items/const");
    refused(json!({}), json!({"prefixItems": [{"const": 1}]}), "/prefixItems/0/const");
    refused(json!({}), json!({"contains": {"const": 1}}), "/contains");
    refused(json!({}), json!({"not": {"const": 1}}), "/not");
    refused(json!({}), json!({"if": {"const": 1}, "then": false}), "/if");
    refused(json!({}), json!({"unevaluatedProperties": false}), "/unevaluatedProperties");
    refused(json!({}), json!({"anyOf": [{"const": 1}]}), "/anyOf");
}

#[test]
fn alternatives_told_apart_by_a_property_can_grow() {
    let card =
        json!({"type": "object", "required": ["by"], "properties": {"by": {"const": "card"}}});
    let cash =
        json!({"type": "object", "required": ["by"], "properties": {"by": {"const": "cash"}}});
    let one_of = |alternatives: &[&Value]| json!({"oneOf": alternatives});
    allowed(one_of(&[&card]), one_of(&[&card, &cash]));
    refused(one_of(&[&card, &cash]), one_of(&[&card]), "/oneOf: no alternative");
    refused(one_of(&[&card]), one_of(&[&card, &json!({"type": "object"})]), "two of these");
}

#[test]
fn references_are_followed_also_in_a_circle() {
    let tree = |value: Value| {
        json!({
            "$ref": "#/$defs/node",
            "$defs": {"node": {
                "properties": {"value": value, "parts": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            }},
        })
    };
    allowed(tree(json!({"const": 1})), tree(json!({"enum": [1, 2]})));
    refused(tree(json!({"enum": [1, 2]})), tree(json!({"const": 1})), "the value 2");
    let refers = |defined: Value| json!({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": defined}});
    refused(refers(json!({})), refers(json!({"type": "null"})), "/properties/a/type");
}

#[test]
fn an_alternative_that_is_also_referred_to_proves_nothing() {
    refused(
        json!({"$ref": "#/anyOf/0", "anyOf": [{"type": "string"}, {"type": "null"}]}),
        json!({"type": "null"}),
        "/type: no longer accepted: string",
    );
}

#[test]
fn versions_too_tangled_to_compare_are_refused() {
    let alternative =
        |at: usize| json!({"properties": {"a": {"minimum": at}, "b": {"maximum": at}}});
    let many: Vec<_> = (0..600).map(alternative).collect();
    let fewer: Vec<_> = (0..600).map(|at| alternative(at + 1)).collect();
    let found =
        reasons(&json_schema(&json!({"anyOf": many})), &json_schema(&json!({"anyOf": fewer})));
    assert!(!found.is_empty());
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        (-2..5i64).prop_map(|it| json!(it)),
        Just(json!(1.5)),
        Just(json!("")),
        Just(json!("a")),
        Just(json!("ab")),
    ]
}

fn data() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 16, 3, |part| {
        prop_oneof![
            prop::collection::vec(part.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab]", part, 0..3).prop_map(|it| json!(it)),
        ]
    })
}

/// Schemas that speak of both properties that data can have.
fn schema() -> impl Strategy<Value = Value> {
    let types = prop::sample::subsequence(
        vec!["null", "boolean", "integer", "number", "string", "array", "object"],
        1..4,
    );
    let leaf = prop_oneof![
        Just(json!(true)),
        types.prop_map(|types| json!({"type": types})),
        prop::collection::vec(scalar(), 1..4).prop_map(|values| json!({"enum": values})),
        (-1..4i64, 0..4u64).prop_map(|(low, len)| json!({"minimum": low, "maxLength": len})),
        (0..3u64).prop_map(|count| json!({"minItems": count, "maxProperties": count})),
        Just(json!({"required": ["a"]})),
        Just(json!({"required": ["b"], "type": "object"})),
    ];
    leaf.prop_recursive(3, 24, 3, |part| {
        let parts = prop::collection::vec(part.clone(), 1..3);
        prop_oneof![
            (part.clone(), part.clone(), any::<bool>()).prop_map(|(a, b, open)| {
                json!({"properties": {"a": a, "b": b}, "additionalProperties": open})
            }),
            (part.clone(), part.clone()).prop_map(|(a, rest)| {
                // As wide as `true`, but said in words: what is not described can be.
                let rest = if rest == true { json!({"not": false}) } else { rest };
                json!({"properties": {"a": a}, "additionalProperties": rest})
            }),
            (parts.clone(), part.clone())
                .prop_map(|(first, rest)| { json!({"prefixItems": first, "items": rest}) }),
            (part.clone(), 0..3u64)
                .prop_map(|(part, least)| { json!({"contains": part, "minContains": least}) }),
            parts.clone().prop_map(|parts| json!({"anyOf": parts})),
            parts.clone().prop_map(|parts| json!({"oneOf": parts})),
            parts.prop_map(|parts| json!({"allOf": parts})),
            part.clone().prop_map(|part| json!({"not": part})),
            part.prop_map(|part| json!({"dependentSchemas": {"a": part}})),
        ]
    })
}

/// A schema and one that differs from it in one place.
fn versions() -> impl Strategy<Value = (Value, Value)> {
    let changed = (schema(), schema(), any::<prop::sample::Index>()).prop_map(|(old, part, at)| {
        let mut new = old.clone();
        let places = places(&new);
        let place = &places[at.index(places.len())];
        *new.pointer_mut(place).expect("a place") = part;
        (old, new)
    });
    prop_oneof![(schema(), schema()), changed]
}

fn places(schema: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut below = |path: String, part: &Value| {
        found.extend(places(part).into_iter().map(|it| format!("{path}{it}")));
    };
    for name in ["not", "items", "contains", "additionalProperties"] {
        schema.get(name).into_iter().for_each(|part| below(format!("/{name}"), part));
    }
    for name in ["anyOf", "oneOf", "allOf", "prefixItems"] {
        let parts = schema.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
        parts.for_each(|(at, part)| below(format!("/{name}/{at}"), part));
    }
    for name in ["properties", "dependentSchemas"] {
        let parts = schema.get(name).and_then(Value::as_object).into_iter().flatten();
        parts.for_each(|(key, part)| below(format!("/{name}/{key}"), part));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_the_old_version_accepts_an_additive_one_accepts(
        (old, new) in versions(),
        data in prop::collection::vec(data(), 24),
    ) {
        let (old, new) = (json_schema(&old), json_schema(&new));
        if new.is_additive_to(&old).is_ok() {
            for data in data {
                let data = data.to_string();
                prop_assert!(
                    !violations(&old, &data).is_empty() || violations(&new, &data).is_empty(),
                    "{}", data
                );
            }
        }
    }

    #[test]
    fn a_schema_is_additive_to_itself(schema in schema()) {
        let titled = |title: &str| json_schema(&json!({"allOf": [schema], "title": title}));
        prop_assert_eq!(reasons(&titled("old"), &titled("new")), [""; 0]);
    }

    #[test]
    fn no_text_makes_parsing_panic(text in "[{}\\[\\]\":,a-z$#/0-9 ]{0,60}") {
        for kind in Kind::ALL {
            let _ = Schema::parse(kind, None, text.as_bytes());
        }
    }
}
