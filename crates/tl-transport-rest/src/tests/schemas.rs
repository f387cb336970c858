use super::*;

const ORDER: &str = r#"{"required": ["total"], "properties": {"total": {"type": "number"}}}"#;
const WIDER: &str = r#"{"properties": {"total": {"type": "number"}}}"#;
const NARROWER: &str = r#"{"required": ["total"], "properties": {"total": {"type": "integer"}}}"#;
const PATH: &str = "/v1/schemas/order.created";

async fn put(kit: &Kit, path: &str, content_type: &str, schema: &str) -> Answer {
    kit.ask(Method::PUT, path, &[("content-type", content_type)], schema.to_owned()).await
}

async fn put_json(kit: &Kit, schema: &str) -> Answer {
    put(kit, PATH, "application/schema+json", schema).await
}

#[tokio::test]
async fn versions_are_put_and_read() {
    let kit = kit();
    assert_eq!(kit.get("/v1/schemas").await.text(), r#"{"schemas":[]}"#);
    let first = put_json(&kit, ORDER).await;
    assert_eq!((first.status, first.header("etag")), (StatusCode::CREATED, "\"1\""));
    assert_eq!(first.text(), r#"{"type":"order.created","version":1,"kind":"json-schema"}"#);
    let again = put(&kit, PATH, "application/json; charset=utf-8", ORDER).await;
    assert_eq!((again.status, again.header("etag")), (StatusCode::OK, "\"1\""));
    let second = put_json(&kit, WIDER).await;
    assert_eq!(second.header("location"), "/v1/schemas/order.created/versions/2");
    for (path, etag, text) in [
        (PATH, "\"2\"", WIDER),
        ("/v1/schemas/order.created/versions/1", "\"1\"", ORDER),
        (second.header("location"), "\"2\"", WIDER),
    ] {
        let read = kit.get(path).await;
        assert_eq!((read.status, read.header("etag"), read.text()), (StatusCode::OK, etag, text));
        assert_eq!(read.header("content-type"), "application/schema+json");
        for known in [etag, &format!("W/{etag}"), &format!("\"x\", {etag}"), "*"] {
            let again = kit.ask(Method::GET, path, &[("if-none-match", known)], "").await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{known}");
        }
    }
    let list = kit.get("/v1/schemas").await;
    assert!(list.text().contains(r#""type":"order.created","version":2,"#), "{}", list.text());
    assert_eq!(kit.get("/v1/schemas/other").await.status, StatusCode::NOT_FOUND);
    let none = kit.get("/v1/schemas/order.created/versions/0").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_version_is_put_under_a_condition() {
    let kit = kit();
    let put = async |header: (&str, &str), schema: &'static str| {
        let headers = [("content-type", "application/schema+json"), header];
        kit.ask(Method::PUT, PATH, &headers, schema).await.status
    };
    let refused = StatusCode::PRECONDITION_FAILED;
    assert_eq!(put(("if-match", "*"), ORDER).await, refused);
    assert_eq!(put(("if-none-match", "*"), ORDER).await, StatusCode::CREATED);
    assert_eq!(put(("if-none-match", "*"), WIDER).await, refused);
    assert_eq!(put(("if-match", "\"2\", W/\"1\""), WIDER).await, refused);
    assert_eq!(put(("if-match", "\"2\", \"1\""), WIDER).await, StatusCode::CREATED);
    assert_eq!(put(("if-match", "\"1\""), WIDER).await, refused);
    assert_eq!(kit.get(PATH).await.header("etag"), "\"2\"");
}

#[tokio::test]
async fn a_version_that_is_not_additive_is_refused_and_changes_nothing() {
    let kit = kit();
    put_json(&kit, ORDER).await;
    let check = format!("{PATH}/check");
    let type_ = "application/schema+json";
    let would = post(&kit, &check, type_, WIDER).await;
    assert_eq!((would.status, would.header("etag")), (StatusCode::OK, "\"2\""));
    for refused in [put_json(&kit, NARROWER).await, post(&kit, &check, type_, NARROWER).await] {
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert!(refused.text().contains(r#""code":"schema_incompatible""#), "{}", refused.text());
        assert!(refused.text().contains("/properties/total/type"), "{}", refused.text());
    }
    let refused = put_json(&kit, r#"{"type": "float"}"#).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text().contains("schema_invalid"), "{}", refused.text());
    for refused in
        [put(&kit, PATH, "text/plain", ORDER).await, post(&kit, &check, "text/plain", ORDER).await]
    {
        assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(refused.header("accept").contains("text/x-protobuf"), "it says what is taken");
    }
    assert_eq!(kit.get(PATH).await.header("etag"), "\"1\"");
}

#[tokio::test]
async fn a_protobuf_message_is_named() {
    let kit = kit();
    let source = "syntax = \"proto3\"; package shop; message A { int32 a = 1; } message B {}";
    let refused = put(&kit, PATH, "text/x-protobuf", source).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let path = format!("{PATH}?message=A");
    assert_eq!(put(&kit, &path, "text/x-protobuf", source).await.status, StatusCode::CREATED);
    let read = kit.get(PATH).await;
    assert_eq!(read.header("schema-message"), "shop.A");
    assert_eq!((read.header("content-type"), read.text()), ("text/x-protobuf", source));
}

#[tokio::test]
async fn published_data_is_checked() {
    let kit = kit();
    put_json(&kit, ORDER).await;
    let publish = async |data: &'static str| {
        let headers = [
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-type", "order.created"),
        ];
        kit.ask(Method::POST, EVENTS, &headers, data).await
    };
    assert_eq!(publish(r#"{"total": 1}"#).await.status, StatusCode::CREATED);
    let refused = publish(r#"{"total": "1"}"#).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("/total: the value is not"), "{}", refused.text());
}
