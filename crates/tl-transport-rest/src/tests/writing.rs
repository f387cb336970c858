//! State, conditions and idempotency keys.

use tl_transport::model::{Pattern, Rule, Rules};

use super::*;

const STATE: &str = "/v1/channels/orders/state";
const MERGE: &str = "application/merge-patch+json";

async fn put(kit: &Kit, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    kit.ask(Method::PUT, STATE, &headers, body).await
}

async fn patch(kit: &Kit, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let headers = [&[("content-type", MERGE)], headers].concat();
    kit.ask(Method::PATCH, STATE, &headers, body).await
}

fn code(answer: &Answer) -> String {
    let problem = tl_transport::wire::problem::read(&answer.body).expect("a problem");
    problem.code.to_string()
}

#[tokio::test]
async fn the_latest_event_is_a_document() {
    let kit = kit();
    assert_eq!(kit.get(STATE).await.status, StatusCode::NOT_FOUND);
    let made = put(&kit, &[("ce-type", "order.state")], r#"{"a":1, "b":2}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let read = kit.get(STATE).await;
    assert_eq!((read.status, read.text()), (StatusCode::OK, r#"{"a":1, "b":2}"#));
    assert_eq!(read.header("content-type"), "application/json");
    assert_eq!(read.header("ce-type"), "order.state");
    assert_eq!(read.header("etag"), made.header("etag"));
    let known = [("if-none-match", read.header("etag"))];
    assert_eq!(kit.ask(Method::GET, STATE, &known, "").await.status, StatusCode::NOT_MODIFIED);
    let whole = [("accept", "application/cloudevents+json")];
    let whole = kit.ask(Method::GET, STATE, &whole, "").await;
    assert!(whole.text().contains(r#""type":"order.state""#), "{}", whole.text());
    assert_ne!(whole.header("etag"), read.header("etag"));
    assert_eq!(put(&kit, &[], "2").await.status, StatusCode::OK);
    assert_eq!(ids(&kit.get(EVENTS).await).len(), 2, "subscribers see every change");
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names() {
    let kit = kit();
    assert_eq!(patch(&kit, &[], "{}").await.status, StatusCode::NOT_FOUND);
    put(&kit, &[("ce-type", "order.state")], r#"{"a":1.10,"b":{"c":2}}"#).await;
    assert_eq!(patch(&kit, &[], r#"{"b":{"d":[3]},"x":null}"#).await.status, StatusCode::OK);
    let patched = kit.get(STATE).await;
    assert_eq!(patched.text(), r#"{"a":1.10,"b":{"c":2,"d":[3]}}"#);
    assert_eq!(patched.header("ce-type"), "order.state", "attributes stay as they are");
    let renamed = patch(&kit, &[("ce-type", "order.paid")], "{}").await;
    assert_eq!(renamed.status, StatusCode::OK);
    assert_eq!(kit.get(STATE).await.header("ce-type"), "order.paid");
    let json = [("content-type", "application/json")];
    let packed = [("content-type", MERGE), ("content-encoding", "compress")];
    for headers in [&json[..], &packed] {
        let refused = kit.ask(Method::PATCH, STATE, headers, "{}").await;
        assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(refused.header("accept-patch"), MERGE);
    }
    assert_eq!(code(&patch(&kit, &[], "{").await), "event_invalid");
    let text = [("content-type", "text/plain")];
    kit.ask(Method::PUT, STATE, &text, "words").await;
    assert_eq!(code(&patch(&kit, &[], "{}").await), "state_invalid");
}

#[tokio::test]
async fn a_deleted_document_is_gone_and_can_be_made_anew() {
    let kit = kit();
    put(&kit, &[], "1").await;
    let deleted = kit.ask(Method::DELETE, STATE, &[], "").await;
    assert_eq!(deleted.status, StatusCode::OK);
    let gone = kit.get(STATE).await;
    assert_eq!((gone.status, code(&gone).as_str()), (StatusCode::GONE, "state_deleted"));
    assert_eq!(kit.ask(Method::DELETE, STATE, &[], "").await.status, StatusCode::GONE);
    assert!(kit.get(EVENTS).await.text().contains(r#""deleted":true"#));
    assert_eq!(put(&kit, &[("if-none-match", "*")], "2").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn nobody_overwrites_what_they_have_not_seen() {
    let kit = kit();
    let first = put(&kit, &[("if-none-match", "*")], "1").await;
    assert_eq!(first.status, StatusCode::CREATED);
    let second = put(&kit, &[("if-none-match", "*")], "1").await;
    assert_eq!(
        (second.status, code(&second).as_str()),
        (StatusCode::PRECONDITION_FAILED, "condition_failed")
    );
    let seen = [("if-match", first.header("etag"))];
    assert_eq!(put(&kit, &seen, "2").await.status, StatusCode::OK);
    assert_eq!(put(&kit, &seen, "3").await.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(patch(&kit, &seen, "{}").await.status, StatusCode::PRECONDITION_FAILED);
    let deleted = kit.ask(Method::DELETE, STATE, &seen, "").await;
    assert_eq!(deleted.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(put(&kit, &[("if-match", "*")], "4").await.status, StatusCode::OK);
    let posted = kit.ask(Method::POST, EVENTS, &seen, "{}").await;
    assert_eq!(posted.status, StatusCode::PRECONDITION_FAILED, "any publish can have a condition");
    let two = kit.ask(Method::POST, "/v1/events", &[seen[0], ("ce-id", "1")], "{}").await;
    assert_eq!(two.status, StatusCode::BAD_REQUEST, "a condition is about one channel");
}

#[tokio::test]
async fn a_rule_can_demand_conditions_and_keys() {
    let rule = |pattern: &str| Rule::of(Pattern::parse(pattern).expect("a pattern"));
    let rules = Rules::new(vec![
        Rule { require_condition: Some(true), ..rule("orders") },
        Rule { require_idempotency_key: Some(true), ..rule("payments") },
    ]);
    let kit = Kit::with_rules(&[&Rest::default()], rules);
    for answer in [put(&kit, &[], "1").await, post(&kit, EVENTS, "text/plain", "x").await] {
        assert_eq!(answer.status, StatusCode::PRECONDITION_REQUIRED);
        assert_eq!(code(&answer), "condition_required");
    }
    let first = put(&kit, &[("if-none-match", "*")], "{}").await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(patch(&kit, &[], "{}").await.status, StatusCode::PRECONDITION_REQUIRED);
    let seen = [("if-match", first.header("etag"))];
    assert_eq!(patch(&kit, &seen, "{}").await.status, StatusCode::OK);
    let payments = "/v1/channels/payments/events";
    let refused = post(&kit, payments, "text/plain", "x").await;
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (StatusCode::BAD_REQUEST, "key_required")
    );
}

#[tokio::test]
async fn a_repeated_request_is_answered_as_the_first_was() {
    let kit = kit();
    let ask = async |method: Method, path: &str, body: &'static str| {
        let headers = [("idempotency-key", "\"k 1\""), ("content-type", MERGE)];
        kit.ask(method, path, &headers, body).await
    };
    let first = ask(Method::POST, EVENTS, "{}").await;
    let again = ask(Method::POST, EVENTS, "{}").await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(ids(&kit.get(EVENTS).await).len(), 1);
    let other = ask(Method::POST, EVENTS, "{ }").await;
    assert_eq!(
        (other.status, code(&other).as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "key_reused")
    );
    let elsewhere = ask(Method::PUT, STATE, "{}").await;
    assert_eq!(code(&elsewhere), "key_reused", "another method is another request");
    let bare = [("idempotency-key", "k 1"), ("content-type", MERGE)];
    let bare = kit.ask(Method::POST, EVENTS, &bare, "{}").await;
    assert_eq!(bare.body, first.body, "quoted or bare");
    let illegal = kit.ask(Method::POST, EVENTS, &[("idempotency-key", "")], "{}").await;
    assert_eq!(code(&illegal), "parameter_invalid");
}

#[tokio::test]
async fn changes_of_state_can_be_repeated_too() {
    let kit = kit();
    put(&kit, &[], r#"{"n":1}"#).await;
    let seen = kit.get(STATE).await;
    let headers = [("idempotency-key", "p"), ("if-match", seen.header("etag"))];
    let first = patch(&kit, &headers, r#"{"n":2}"#).await;
    let again = patch(&kit, &headers, r#"{"n":2}"#).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    let delete = [("idempotency-key", "d")];
    let first = kit.ask(Method::DELETE, STATE, &delete, "").await;
    let again = kit.ask(Method::DELETE, STATE, &delete, "").await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    let make = [("idempotency-key", "m")];
    let first = put(&kit, &make, "1").await;
    let again = put(&kit, &make, "1").await;
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
}

#[tokio::test]
async fn documents_are_listed_by_page_with_their_values() {
    let kit = kit();
    for (name, value) in [("a.1", "1"), ("a.2", "2"), ("b", "3"), ("a.1", "4"), ("a.3", "5")] {
        post(&kit, &format!("/v1/channels/{name}/events"), "application/json", value).await;
    }
    kit.ask(Method::DELETE, "/v1/channels/a.3/state", &[], "").await;
    let values = |answer: &Answer| -> Vec<String> {
        let page = page::read(&answer.body).expect("a page");
        let text = |data: Option<tl_transport::Bytes>| {
            String::from_utf8_lossy(&data.unwrap_or_default()).into_owned()
        };
        page.events.iter().map(|received| text(received.event.data())).collect()
    };
    let all = kit.get("/v1/state?channel=a.*").await;
    assert_eq!(values(&all), ["2", "4"], "each channel's latest, without the deleted one");
    let first = kit.get("/v1/state?channel=a.*&limit=1").await;
    assert_eq!(values(&first), ["2"]);
    let next = page::read(&first.body).expect("a page").next.cursor();
    let second = kit.get(&format!("/v1/state?channel=a.*&limit=1&after={next}")).await;
    assert_eq!(values(&second), ["4"]);
    let known = [("if-none-match", all.header("etag"))];
    let unchanged = kit.ask(Method::GET, "/v1/state?channel=a.*", &known, "").await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    assert_eq!(kit.get("/v1/state?channel=a.*&wait=1").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_page_of_documents_that_has_fewer_than_before_has_another_tag() {
    let kit = kit();
    put(&kit, &[], "1").await;
    let lines = "{\"data\":1}\n".repeat(1_000);
    for _ in 0..17 {
        post(&kit, "/v1/channels/busy/events", "application/x-ndjson", &lines).await;
    }
    let path = "/v1/state?channel=%3E";
    let first = kit.get(path).await;
    assert!(first.text().contains("orders"), "{}", first.text());
    let known = [("if-none-match", first.header("etag"))];
    let again = kit.ask(Method::GET, path, &known, "").await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    kit.ask(Method::DELETE, STATE, &[], "").await;
    let without = kit.ask(Method::GET, path, &known, "").await;
    assert_eq!(without.status, StatusCode::OK);
    assert!(!without.text().contains("orders"), "{}", without.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_changes_while_it_is_listed_is_on_one_of_the_pages() {
    let kit = std::sync::Arc::new(kit());
    put(&kit, &[], "0").await;
    let writer = kit.clone();
    let writing = tokio::spawn(async move {
        for _ in 0..2_000 {
            put(&writer, &[], "1").await;
        }
    });
    while !writing.is_finished() {
        let (mut path, mut found) = ("/v1/state?channel=orders".to_owned(), 0);
        loop {
            let page = page::read(&kit.get(&path).await.body).expect("a page");
            found += page.events.len();
            if page.caught_up {
                break;
            }
            path = format!("/v1/state?channel=orders&after={}", page.next.cursor());
        }
        assert!(found > 0, "it has had a document all the time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_any_document_to_be_there_is_refused_for_no_other() {
    let kit = std::sync::Arc::new(kit());
    put(&kit, &[], "{}").await;
    let any = [("if-match", "*")];
    let write = async |kit: &Kit| {
        for _ in 0..200 {
            assert_eq!(put(kit, &any, "{}").await.status, StatusCode::OK);
            assert_eq!(patch(kit, &any, "{}").await.status, StatusCode::OK);
        }
    };
    tokio::join!(write(&kit), write(&kit), write(&kit));
}
