//! Documents.

use futures_util::future::join_all;

use tl_transport::engine::Engine;
use tl_transport::http::types::HeaderMap;
use tl_transport::http::types::header::HeaderValue;
use tl_transport::model::limits::EVENT_DATA_BYTES_MAX;
use tl_transport::model::{Call, Channel, IdempotencyKey};
use tl_transport::wire::call::{decode, encode};
use tl_transport::wire::draft::Draft;
use tl_transport::wire::generated::throughline::v1 as contract;
use tl_transport::wire::http_binding;
use tl_transport::writing::Change;

use super::*;

const STATE: &str = "/throughline.v1.StateService";

/// A call of this service: its answer, or the code and the reason of its failure.
async fn ask(kit: &Kit, method: &str, message: Value) -> Result<Value, (String, String)> {
    let (status, answer) = call(kit, &format!("{STATE}/{method}"), &message).await;
    match status {
        StatusCode::OK => Ok(answer),
        _ => Err((answer["code"].as_str().expect("a code").to_owned(), reason(&answer))),
    }
}

fn refused(code: &str, reason: &str) -> Result<Value, (String, String)> {
    Err((code.to_owned(), reason.to_owned()))
}

async fn document(kit: &Kit) -> Value {
    let answer = ask(kit, "GetState", json!({"channel": "a"})).await.expect("a document");
    answer["document"].clone()
}

#[tokio::test]
async fn a_document_is_put_read_patched_and_deleted_by_calls() {
    let kit = kit();
    let document = json!({"type": "order", "data": {"status": "new", "total": 12}});
    let put = json!({"channel": "a", "document": document});
    let first = ask(&kit, "PutState", put.clone()).await.expect("there is none");
    assert_eq!(first["created"], true);
    let read = self::document(&kit).await;
    assert_eq!(read["cursor"], first["receipt"]["cursor"], "which conditions name");
    assert_eq!((&read["channel"], &read["data"]), (&json!("a"), &put["document"]["data"]));
    let patch = json!({"channel": "a", "patch": {"subject": "42", "data": {"status": "paid"}}});
    let patched = ask(&kit, "PatchState", patch).await.expect("it is there");
    let read = self::document(&kit).await;
    assert_eq!(read["cursor"], patched["receipt"]["cursor"]);
    assert_eq!(read["data"], json!({"status": "paid", "total": 12}));
    assert_eq!((&read["type"], &read["subject"]), (&json!("order"), &json!("42")));
    let again = ask(&kit, "PutState", put.clone()).await.expect("it is replaced");
    assert_eq!(again["created"], Value::Null);
    let delete = json!({"channel": "a", "tombstone": {"id": "gone"}});
    let deleted = ask(&kit, "DeleteState", delete).await.expect("it is there");
    assert_eq!(deleted["receipt"]["id"], "gone");
    let read = ask(&kit, "GetState", json!({"channel": "a"})).await;
    assert_eq!(read, refused("not_found", "state_deleted"));
    let read = ask(&kit, "GetState", json!({"channel": "b"})).await;
    assert_eq!(read, refused("not_found", "not_found"));
    assert_eq!(ask(&kit, "PutState", put).await.expect("a new one")["created"], true);
}

#[tokio::test]
async fn a_call_changes_a_document_only_under_its_condition() {
    let kit = kit();
    let change = async |method: &str, condition: Value| {
        let mut message = json!({"channel": "a", "condition": condition});
        match method {
            "PutState" => message["document"] = json!({"data": {}}),
            "PatchState" => message["patch"] = json!({"data": {}}),
            _ => {}
        }
        ask(&kit, method, message).await
    };
    let old = change("PutState", json!({"exists": false})).await.expect("there is none");
    let old = json!({"last": old["receipt"]["cursor"]});
    change("PutState", json!({"exists": true})).await.expect("there is one");
    for method in ["PutState", "PatchState", "DeleteState"] {
        let last = document(&kit).await["cursor"].clone();
        for condition in [old.clone(), json!({"exists": false})] {
            let changed = change(method, condition).await;
            assert_eq!(changed, refused("aborted", "condition_failed"), "{method}");
        }
        let changed = change(method, json!({})).await;
        assert_eq!(changed, refused("invalid_argument", "parameter_invalid"), "{method}");
        let changed = change(method, json!({"last": "x"})).await;
        assert_eq!(changed, refused("invalid_argument", "cursor_invalid"), "{method}");
        assert_eq!(document(&kit).await["cursor"], last, "{method}: nothing has changed");
        change(method, json!({"last": last})).await.expect("it is still the last");
    }
}

#[tokio::test]
async fn of_calls_that_patch_a_document_at_once_none_is_lost() {
    let kit = kit();
    let put = json!({"channel": "a", "document": {"data": {}}});
    let first = ask(&kit, "PutState", put).await.expect("there is none");
    let members: Vec<_> = (0..16).map(|number| format!("m{number}")).collect();
    let patch = |member: &String| {
        ask(&kit, "PatchState", json!({"channel": "a", "patch": {"data": {member.as_str(): 1}}}))
    };
    for patched in join_all(members.iter().map(patch)).await {
        patched.expect("the others only go first");
    }
    let all = document(&kit).await;
    assert!(members.iter().all(|member| all["data"][member] == 1), "{all}");
    let last = json!({"last": all["cursor"]});
    let put = |number: usize| {
        let document = json!({"data": number});
        ask(&kit, "PutState", json!({"channel": "a", "document": document, "condition": last}))
    };
    let put = join_all((0..16).map(put)).await;
    assert_eq!(put.iter().filter(|it| it.is_ok()).count(), 1, "whoever is first: {first}");
}

#[tokio::test]
async fn a_change_of_a_document_is_repeated_with_its_key_and_has_one_effect() {
    let kit = kit();
    let put = json!({"document": {"data": {"n": 1}}, "condition": {"exists": false}});
    let patch = json!({"patch": {"data": {"n": 2}}});
    let mut events = 0;
    for (method, mut message) in
        [("PutState", put), ("PatchState", patch), ("DeleteState", json!({}))]
    {
        message["channel"] = json!("a");
        message["idempotencyKey"] = json!(method);
        let mut first = ask(&kit, method, message.clone()).await.expect("it is done");
        let logged = kit.engine.stats().events;
        assert!(logged > events, "{method}");
        assert_eq!(first["replayed"], Value::Null);
        first["replayed"] = json!(true);
        assert_eq!(ask(&kit, method, message.clone()).await, Ok(first), "{method}");
        let named = if method == "PutState" { "document" } else { "patch" };
        let named = if method == "DeleteState" { "tombstone" } else { named };
        message[named]["id"] = json!("other");
        let other = ask(&kit, method, message).await;
        assert_eq!(other, refused("already_exists", "key_reused"), "{method}");
        events = kit.engine.stats().events;
        assert_eq!(events, logged, "{method} has had no further effect");
    }
}

/// What plain HTTP does with a request, beginning with its headers and its body.
async fn change_over_http(engine: &Engine, method: &str, body: &'static str) {
    let [content_type, event_type] = ["application/json", "order"].map(HeaderValue::from_static);
    let mut headers = HeaderMap::new();
    headers.insert("ce-type", event_type);
    if method == "PutState" {
        headers.insert("content-type", content_type);
    }
    let read = |body: &'static str| http_binding::read(&headers, body.into()).expect("an event");
    let key = IdempotencyKey::parse(method).expect("a key");
    let (call, channel) = (Call::default(), Channel::parse("a").expect("a channel"));
    let change =
        Change { engine, call: &call, channel: &channel, precondition: None, key: Some(key) };
    let changed = match method {
        "PutState" => change.replace(read(body)).await,
        "PatchState" => change.patch(body.into(), read("")).await,
        _ => change.delete(read("")).await,
    };
    assert!(!changed.expect("it is done").is_replayed);
}

#[tokio::test]
async fn a_change_that_was_asked_for_over_http_is_the_same_request_as_a_call() {
    let kit = kit();
    for (method, body, event) in [
        ("PutState", r#"{"n": 1.50}"#, r#""document": {"datacontenttype": "application/json","#),
        ("PatchState", r#"{"n": 2.50}"#, r#""patch": {"#),
        ("DeleteState", "", r#""tombstone": {"#),
    ] {
        change_over_http(&kit.engine, method, body).await;
        let data = if body.is_empty() { String::new() } else { format!(r#", "data": {body}"#) };
        let message = format!(
            r#"{{"channel": "a", "idempotencyKey": "{method}", {event} "type": "order"{data}}}}}"#
        );
        let headers = [("content-type", "application/json")];
        let answer = kit.ask(Method::POST, &format!("{STATE}/{method}"), &headers, message).await;
        assert!(answer.text().contains(r#""replayed":true"#), "{method}: {}", answer.text());
    }
}

#[tokio::test]
async fn documents_of_any_size_and_type_come_back_as_they_were_in_both_forms() {
    let kit = kit();
    let ask = async |method: &str, form: Form, message: Vec<u8>| {
        let content_type =
            if form == Form::Json { "application/json" } else { "application/proto" };
        let (path, headers) = (format!("{STATE}/{method}"), [("content-type", content_type)]);
        kit.ask(Method::POST, &path, &headers, message).await
    };
    let channel = || "a".to_owned();
    for form in [Form::Json, Form::Protobuf] {
        for (len, status) in [
            (0, StatusCode::OK),
            (EVENT_DATA_BYTES_MAX, StatusCode::OK),
            (EVENT_DATA_BYTES_MAX + 1, StatusCode::BAD_REQUEST),
        ] {
            // No text in any encoding.
            let data = Some(Bytes::from(vec![0xff; len]));
            let document = Draft { data: data.clone(), ..Draft::default() };
            let put = contract::PutStateRequest {
                channel: channel(),
                document: document.into(),
                ..contract::PutStateRequest::default()
            };
            let answer = ask("PutState", form, encode(form, &put)).await;
            assert_eq!(answer.status, status, "{form:?} {len}");
            if status == StatusCode::OK {
                let read = encode(form, &contract::GetStateRequest { channel: channel() });
                let answer = ask("GetState", form, read).await;
                let read: contract::GetStateResponse = decode(form, &answer.body).expect("reads");
                assert_eq!(read.document.into_option().expect("a document").data, data);
            }
        }
        let answer = ask("PutState", form, vec![b' '; FRAME_BYTES_MAX + 1]).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text());
        assert!(answer.text().contains("resource_exhausted"), "{}", answer.text());
    }
}

#[tokio::test]
async fn documents_are_listed_by_calls_page_by_page() {
    let kit = kit();
    for channel in ["a.1", "a.2", "a.3", "a.1"] {
        let put = json!({"channel": channel, "document": {"data": channel}});
        ask(&kit, "PutState", put).await.expect("it is put");
    }
    ask(&kit, "DeleteState", json!({"channel": "a.2"})).await.expect("it is deleted");
    let (mut after, mut channels) = (json!(""), Vec::new());
    loop {
        let list = json!({"channels": ["a.*"], "after": after, "limit": 1});
        let (status, page) = query(&kit, &format!("{STATE}/ListStates"), &list).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let events = page["events"].as_array().expect("events").clone();
        channels.extend(events.iter().map(|event| event["channel"].clone()));
        if page["caughtUp"] == true {
            break;
        }
        after = page["cursor"].clone();
    }
    assert_eq!(channels, ["a.3", "a.1"], "in the order of their last changes");
    let (status, one) = query(&kit, &format!("{STATE}/GetState"), &json!({"channel": "a.3"})).await;
    assert_eq!((status, &one["document"]["data"]), (StatusCode::OK, &json!("a.3")));
}

#[tokio::test]
async fn what_is_no_change_of_a_document_is_refused_with_its_reason() {
    let kit = kit();
    let text = json!({"datacontenttype": "text/plain", "data": "x"});
    ask(&kit, "PutState", json!({"channel": "a", "document": text})).await.expect("it is put");
    let invalid = "invalid_argument";
    for (method, message, code, reason) in [
        ("GetState", json!({"channel": 7}), invalid, "message_invalid"),
        ("GetState", json!({"channel": "a..b"}), invalid, "channel_invalid"),
        ("PutState", json!({"document": {"data": 1}}), invalid, "channel_invalid"),
        ("PutState", json!({"channel": "a"}), invalid, "event_invalid"),
        ("PutState", json!({"channel": "a", "document": 7}), invalid, "message_invalid"),
        ("PutState", with("document", json!({"id": "", "data": 1})), invalid, "event_invalid"),
        ("PutState", with("document", json!({"channel": "b"})), invalid, "parameter_invalid"),
        ("PutState", with("idempotencyKey", json!("ü")), invalid, "parameter_invalid"),
        (
            "PutState",
            json!({"channel": "$sys.a", "document": {"data": 1}}),
            "permission_denied",
            "channel_reserved",
        ),
        ("PatchState", with("patch", json!({"id": "1"})), invalid, "event_invalid"),
        ("PatchState", with("patch", json!({"data": {}})), "failed_precondition", "state_invalid"),
        (
            "PatchState",
            with("patch", json!({"datacontenttype": "application/json-patch+json", "data": []})),
            "unimplemented",
            "media_type_unsupported",
        ),
        ("DeleteState", with("tombstone", json!({"data": 1})), invalid, "event_invalid"),
        ("DeleteState", with("tombstone", json!({"by": "ada"})), invalid, "event_invalid"),
        ("DeleteState", json!({"channel": "b"}), "not_found", "not_found"),
        ("ListStates", json!({}), invalid, "selection_invalid"),
        ("ListStates", json!({"channels": ["a"], "after": "x"}), invalid, "cursor_invalid"),
        ("ListStates", json!({"channels": ["a"], "limit": 1001}), invalid, "parameter_invalid"),
    ] {
        let asked = ask(&kit, method, message.clone()).await;
        assert_eq!(asked, refused(code, reason), "{method} {message}");
    }
    assert_eq!(document(&kit).await["data"], "x");
}

fn with(name: &str, value: Value) -> Value {
    json!({"channel": "a", name: value})
}
