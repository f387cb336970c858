//! Schemas.

use tl_transport::model::limits::SCHEMA_BYTES_MAX;
use tl_transport::wire::call::{decode, encode};
use tl_transport::wire::generated::throughline::v1 as contract;

use super::*;

const SCHEMAS: &str = "/throughline.v1.SchemaService";
const FIRST: &str = r#"{"type": "object", "properties": {"n": {"type": "number"}}}"#;
const SECOND: &str = r#"{"type": "object", "properties": {"n": {"type": ["number", "null"]}}}"#;
const NARROWER: &str = r#"{"type": "object", "properties": {"n": {"type": "integer"}}}"#;

/// A version for the type `order`.
fn order(source: &str) -> Value {
    json!({"type": "order", "kind": "json-schema", "source": STANDARD.encode(source)})
}

/// A call of this service: its answer, or the failure as it is told.
async fn ask(kit: &Kit, method: &str, message: &Value) -> Result<Value, Value> {
    let (status, answer) = call(kit, &format!("{SCHEMAS}/{method}"), message).await;
    if status == StatusCode::OK { Ok(answer) } else { Err(answer) }
}

async fn latest(kit: &Kit) -> Value {
    let (_, listed) = query(kit, &format!("{SCHEMAS}/ListSchemas"), &json!({})).await;
    listed["schemas"][0]["version"].clone()
}

#[tokio::test]
async fn versions_of_a_schema_are_put_listed_and_read_by_calls() {
    let kit = kit();
    let put = ask(&kit, "PutSchema", &order(FIRST)).await;
    assert_eq!(put, Ok(json!({"version": 1, "created": true})));
    assert_eq!(ask(&kit, "PutSchema", &order(FIRST)).await, Ok(json!({"version": 1})));
    let checked = ask(&kit, "CheckSchema", &order(SECOND)).await;
    assert_eq!(checked, Ok(json!({"version": 2, "created": true})));
    assert_eq!(latest(&kit).await, 1, "a check changes nothing");
    let put = ask(&kit, "PutSchema", &order(SECOND)).await;
    assert_eq!(put, Ok(json!({"version": 2, "created": true})));
    assert_eq!(latest(&kit).await, 2);
    for (version, source) in [(0, SECOND), (1, FIRST), (2, SECOND)] {
        let read = json!({"type": "order", "version": version});
        let (_, read) = query(&kit, &format!("{SCHEMAS}/GetSchema"), &read).await;
        assert_eq!(read["source"], STANDARD.encode(source), "{version}");
        assert_eq!(
            (&read["schema"]["type"], &read["schema"]["kind"]),
            (&json!("order"), &json!("json-schema"),)
        );
        assert!(read["schema"]["time"].is_string(), "{read}");
    }
    let publish = json!({"channel": "a", "events": [{"type": "order", "data": {"n": "1"}}]});
    let (_, violated) = call(&kit, &format!("{EVENTS}/Publish"), &publish).await;
    assert_eq!(reason(&violated), "schema_violated");
}

#[tokio::test]
async fn a_schema_in_protobuf_is_put_and_read_in_the_binary_form() {
    let kit = kit();
    let source = "syntax = \"proto3\"; message One { string id = 1; } message Two {}";
    let put = contract::PutSchemaRequest {
        r#type: "order".into(),
        kind: "protobuf".into(),
        message: "One".into(),
        source: source.into(),
        ..contract::PutSchemaRequest::default()
    };
    let headers = [("content-type", "application/proto")];
    let ask = async |method: &str, message: Vec<u8>| {
        kit.ask(Method::POST, &format!("{SCHEMAS}/{method}"), &headers, message).await.body
    };
    let put = ask("PutSchema", encode(Form::Protobuf, &put)).await;
    let put: contract::PutSchemaResponse = decode(Form::Protobuf, &put).expect("reads");
    assert_eq!((put.version, put.created), (1, true));
    let read = contract::GetSchemaRequest { r#type: "order".into(), version: 0 };
    let read = ask("GetSchema", encode(Form::Protobuf, &read)).await;
    let read: contract::GetSchemaResponse = decode(Form::Protobuf, &read).expect("reads");
    assert_eq!(read.source, source.as_bytes());
    let schema = read.schema.into_option().expect("a schema");
    assert_eq!((schema.kind.as_str(), schema.message.as_str()), ("protobuf", "One"));
}

#[tokio::test]
async fn a_version_that_is_not_additive_is_refused_by_calls_with_the_reasons() {
    let kit = kit();
    ask(&kit, "PutSchema", &order(FIRST)).await.expect("the first");
    for method in ["PutSchema", "CheckSchema"] {
        let error = ask(&kit, method, &order(NARROWER)).await.expect_err("it is narrower");
        assert_eq!(error["code"], "failed_precondition");
        assert_eq!(reason(&error), "schema_incompatible");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("/properties/n/type: no longer accepted: number"), "{message}");
    }
    assert_eq!(latest(&kit).await, 1);
}

#[tokio::test]
async fn a_version_is_put_by_a_call_only_under_its_condition() {
    let kit = kit();
    let put = async |method: &str, source: &str, condition: Value| {
        let mut message = order(source);
        message["condition"] = condition;
        let put = ask(&kit, method, &message).await;
        put.map(|put| put["version"].clone()).map_err(|error| reason(&error))
    };
    let failed = || Err("condition_failed".to_owned());
    for method in ["CheckSchema", "PutSchema"] {
        assert_eq!(put(method, FIRST, json!({"exists": true})).await, failed());
        assert_eq!(put(method, FIRST, json!({"version": 1})).await, failed());
        assert_eq!(put(method, FIRST, json!({})).await, Err("parameter_invalid".to_owned()));
        assert_eq!(put(method, FIRST, json!({"exists": false})).await, Ok(json!(1)));
    }
    for method in ["CheckSchema", "PutSchema"] {
        assert_eq!(put(method, SECOND, json!({"exists": false})).await, failed());
        assert_eq!(put(method, SECOND, json!({"version": 2})).await, failed());
        assert_eq!(put(method, SECOND, json!({"version": 1})).await, Ok(json!(2)));
    }
}

#[tokio::test]
async fn what_is_no_schema_is_refused_by_calls_with_its_reason() {
    let kit = kit();
    ask(&kit, "PutSchema", &order(FIRST)).await.expect("the first");
    let large = format!("{FIRST}{}", " ".repeat(SCHEMA_BYTES_MAX));
    let kind = json!({"type": "order", "kind": "xml", "source": ""});
    for (method, message, code, reason) in [
        ("GetSchema", json!({"type": "x"}), "not_found", "not_found"),
        ("GetSchema", json!({"type": "order", "version": 2}), "not_found", "not_found"),
        ("GetSchema", json!({"version": "x"}), "invalid_argument", "message_invalid"),
        ("ListSchemas", json!(7), "invalid_argument", "message_invalid"),
        ("PutSchema", kind.clone(), "invalid_argument", "parameter_invalid"),
        ("PutSchema", json!({"source": "*"}), "invalid_argument", "message_invalid"),
        ("PutSchema", order("{"), "invalid_argument", "schema_invalid"),
        ("PutSchema", order(&large), "invalid_argument", "schema_invalid"),
        ("CheckSchema", kind, "invalid_argument", "parameter_invalid"),
        ("CheckSchema", order("{"), "invalid_argument", "schema_invalid"),
    ] {
        let error = ask(&kit, method, &message).await.expect_err(reason);
        let told = (error["code"].as_str().expect("a code"), super::reason(&error));
        assert_eq!(told, (code, reason.to_owned()), "{method}");
    }
    let largest = &large[..SCHEMA_BYTES_MAX];
    ask(&kit, "CheckSchema", &order(largest)).await.expect("the largest there may be");
}
