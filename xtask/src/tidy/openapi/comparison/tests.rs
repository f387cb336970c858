use serde_json::{Value, json};

use super::broken;

/// One operation with something of everything.
fn document() -> Value {
    json!({
        "paths": {"/things/{thing}": {
            "parameters": [{"$ref": "#/components/parameters/Thing"}],
            "post": {
                "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer"}}],
                "requestBody": {"content": {"application/json": {"schema": {
                    "type": ["object", "null"],
                    "properties": {"color": {"enum": ["red", "green"]}, "size": {"type": "number"}},
                }}}},
                "responses": {"200": {
                    "headers": {"ETag": {"schema": {"type": "string"}}},
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}},
                }},
            },
        }},
        "components": {
            "parameters": {"Thing": {
                "name": "thing", "in": "path", "required": true, "schema": {"type": "string"},
            }},
            "schemas": {"Answer": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "string"},
                    "code": {"enum": ["good"]},
                    "parts": {"type": "array", "items": {"anyOf": [
                        {"type": "object", "properties": {"name": {"type": "string"}}},
                        {"type": "null"},
                    ]}},
                    "whole": {"$ref": "#/components/schemas/Answer"},
                },
            }},
        },
    })
}

const POST: &str = "/paths/~1things~1{thing}/post";
const SENT: &str = "/paths/~1things~1{thing}/post/requestBody/content/application~1json/schema";
const ANSWER: &str = "/components/schemas/Answer";

/// Changes one value, and expects these findings.
#[track_caller]
fn check(pointer: &str, change: impl FnOnce(&mut Value), expected: &[&str]) {
    let mut changed = document();
    change(changed.pointer_mut(pointer).expect("it is there"));
    let broken: Vec<_> = broken(&document(), &changed).into_iter().collect();
    // What contains itself is found again in itself.
    let is_first = |finding: &&String| !finding.contains("whole");
    assert_eq!(broken.iter().filter(is_first).collect::<Vec<_>>(), expected);
}

fn remove(name: &'static str) -> impl FnOnce(&mut Value) {
    move |value| drop(value.as_object_mut().expect("an object").remove(name))
}

fn set(name: &'static str, new: Value) -> impl FnOnce(&mut Value) {
    move |value| value[name] = new
}

#[test]
fn what_stays_as_it_is_breaks_nothing() {
    check("", |_| {}, &[]);
}

#[test]
fn whatever_is_gone_breaks_clients() {
    check("/paths", remove("/things/{thing}"), &["/things/{thing} is gone"]);
    check("/paths/~1things~1{thing}", remove("post"), &["/things/{thing} post is gone"]);
    check(
        POST,
        set("parameters", json!([])),
        &["/things/{thing} post parameter query limit is gone"],
    );
    check(POST, remove("requestBody"), &["/things/{thing} post requestBody is gone"]);
    let content = "/paths/~1things~1{thing}/post/requestBody/content";
    check(
        content,
        remove("application/json"),
        &["/things/{thing} post requestBody application/json is gone"],
    );
    let responses = "/paths/~1things~1{thing}/post/responses";
    check(responses, remove("200"), &["/things/{thing} post responses 200 is gone"]);
    let response = "/paths/~1things~1{thing}/post/responses/200";
    check(
        response,
        set("headers", json!({})),
        &["/things/{thing} post responses 200 headers ETag is gone"],
    );
    check(
        response,
        set("content", json!({})),
        &["/things/{thing} post responses 200 application/json is gone"],
    );
    check(
        "/components/schemas/Answer/properties",
        remove("code"),
        &["/things/{thing} post responses 200 application/json code is gone"],
    );
}

#[test]
fn whatever_is_newly_required_of_clients_breaks_them() {
    let limit = "/paths/~1things~1{thing}/post/parameters/0";
    check(
        limit,
        set("required", json!(true)),
        &["/things/{thing} post parameter query limit is newly required"],
    );
    let parameters = json!([
        {"name": "limit", "in": "query", "schema": {"type": "integer"}},
        {"name": "key", "in": "header", "required": true, "schema": {"type": "string"}},
    ]);
    check(
        POST,
        set("parameters", parameters),
        &["/things/{thing} post parameter header key is newly required"],
    );
    let body = "/paths/~1things~1{thing}/post/requestBody";
    check(
        body,
        set("required", json!(true)),
        &["/things/{thing} post requestBody is newly required"],
    );
    check(
        SENT,
        set("required", json!(["size"])),
        &["/things/{thing} post requestBody application/json size is newly required"],
    );
}

#[test]
fn requests_may_not_be_narrowed() {
    let color = format!("{SENT}/properties/color");
    let fewer = ["/things/{thing} post requestBody application/json color takes fewer values"];
    check(&color, set("enum", json!(["red"])), &fewer);
    let size = format!("{SENT}/properties/size");
    check(
        &size,
        set("enum", json!([1])),
        &["/things/{thing} post requestBody application/json size takes fewer values"],
    );
    check(
        SENT,
        set("type", json!("object")),
        &["/things/{thing} post requestBody application/json takes fewer types"],
    );
}

#[test]
fn answers_keep_what_they_promise() {
    check(
        ANSWER,
        set("required", json!([])),
        &["/things/{thing} post responses 200 application/json id is no longer promised"],
    );
    check(
        "/components/schemas/Answer/properties/id",
        set("type", json!(["string", "null"])),
        &["/things/{thing} post responses 200 application/json id has another type"],
    );
    let part = "/components/schemas/Answer/properties/parts/items/anyOf/0/properties";
    check(
        part,
        remove("name"),
        &["/things/{thing} post responses 200 application/json parts items anyOf 0 name is gone"],
    );
}

#[test]
fn whatever_is_added_breaks_nothing() {
    check("/paths", set("/others", json!({"get": {}})), &[]);
    check(POST, set("deprecated", json!(true)), &[]);
    check("/paths/~1things~1{thing}/post/responses", set("409", json!({})), &[]);
    check(&format!("{SENT}/properties"), set("weight", json!({"type": "number"})), &[]);
    check(&format!("{SENT}/properties/color"), set("enum", json!(["red", "green", "blue"])), &[]);
    check("/components/schemas/Answer/properties/code", set("enum", json!(["good", "bad"])), &[]);
    check(ANSWER, set("required", json!(["id", "code"])), &[]);
    check(&format!("{SENT}/properties/color"), set("type", json!("string")), &[]);
    let limit = "/paths/~1things~1{thing}/post/parameters/0/schema";
    check(limit, set("type", json!("number")), &[]);
    let items = "/components/schemas/Answer/properties/parts/items";
    let turned =
        json!([{"type": "null"}, {"type": "object", "properties": {"name": {"type": "string"}}}]);
    check(items, set("anyOf", turned), &[]);
}
