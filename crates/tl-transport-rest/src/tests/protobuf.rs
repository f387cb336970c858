//! Protobuf in place of JSON, both ways.

use tl_transport::wire::draft::Draft;
use tl_transport::wire::generated::throughline::v1 as contract;
use tl_transport::wire::{batch, receipts};

use super::*;

/// The message, as a client writes it.
fn publish(channel: &str, ids: &[&str]) -> contract::Publish {
    let draft = |id: &&str| Draft { id: Some((*id).into()), ..Draft::default() };
    let events = ids.iter().map(draft).collect();
    contract::Publish { channel: channel.into(), events, ..contract::Publish::default() }
}

async fn send(kit: &Kit, path: &str, publish: contract::Publish, accept: &str) -> Answer {
    let headers = [("content-type", "application/protobuf"), ("accept", accept)];
    kit.ask(Method::POST, path, &headers, batch::write_publish(&publish)).await
}

#[tokio::test]
async fn events_are_published_and_read_in_protobuf() {
    let kit = kit();
    let accept = "application/protobuf";
    let answer = send(&kit, EVENTS, publish("", &["1", "", "3"]), accept).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), accept);
    let receipts = receipts::read_many_protobuf(&answer.body).expect("receipts").receipts;
    assert_eq!(
        receipts.iter().map(|it| it.error.is_set()).collect::<Vec<_>>(),
        [false, true, false]
    );
    let page = kit.ask(Method::GET, EVENTS, &[("accept", accept)], "").await;
    assert_eq!(page.header("content-type"), accept);
    assert!(page.header("etag").ends_with("-protobuf\""), "{}", page.header("etag"));
    let read = page::read_protobuf(&page.body).expect("a page");
    let json = page::read(&kit.get(EVENTS).await.body).expect("a page");
    assert_eq!(read.events, json.events);
    assert_eq!((read.next, read.caught_up), (json.next, true));
    assert_eq!(read.events[1].at.cursor().as_str(), receipts[2].cursor);
    let again = [("accept", accept), ("if-none-match", page.header("etag"))];
    let again = kit.ask(Method::GET, EVENTS, &again, "").await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn one_receipt_is_a_message_too() {
    let kit = kit();
    let headers = [("accept", "application/protobuf;q=1, */*;q=0.1")];
    let answer = kit.ask(Method::POST, EVENTS, &headers, "data").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let receipt = receipts::read_one_protobuf(&answer.body).expect("a receipt");
    assert_eq!(format!("/v1/events/{}", receipt.cursor), answer.header("location"));
}

#[tokio::test]
async fn the_message_says_what_the_query_may() {
    let kit = kit();
    let json = "application/json";
    let message = publish("orders", &["1"]);
    assert_eq!(send(&kit, "/v1/events", message.clone(), json).await.status, StatusCode::OK);
    let other = send(&kit, "/v1/channels/other/events", message, json).await;
    assert!(other.text().contains("event_invalid"), "{}", other.text());
    let atomic = contract::Publish { atomic: true, ..publish("", &["2", ""]) };
    assert_eq!(send(&kit, EVENTS, atomic, json).await.status, StatusCode::BAD_REQUEST);
    let ephemeral = contract::Publish { ephemeral: true, ..publish("", &["3"]) };
    let ephemeral = send(&kit, EVENTS, ephemeral, json).await;
    assert!(!ephemeral.text().contains("cursor"), "{}", ephemeral.text());
    assert_eq!(ids(&kit.get(EVENTS).await), ["1"]);
}

#[tokio::test]
async fn limits_and_refusals_are_those_of_json() {
    let kit = kit();
    let ids = vec!["x"; BATCH_EVENTS_MAX + 1];
    let many = send(&kit, EVENTS, publish("", &ids), "*/*").await;
    assert_eq!(many.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(many.header("content-type"), "application/problem+json");
    let empty = send(&kit, EVENTS, publish("", &[]), "*/*").await;
    assert!(empty.text().contains("event_invalid"), "{}", empty.text());
    let nonsense = post(&kit, EVENTS, "application/x-protobuf", "nonsense").await;
    assert!(nonsense.text().contains("throughline.v1.Publish"), "{}", nonsense.text());
    let unknown = post(&kit, EVENTS, "application/cloudevents+avro", "x").await;
    assert_eq!(unknown.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(unknown.header("accept").contains("application/protobuf"), "{unknown:?}");
    let refused = kit.ask(Method::GET, EVENTS, &[("accept", "image/png")], "").await;
    assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE);
    assert!(refused.text().contains("application/protobuf"), "{}", refused.text());
}

#[tokio::test]
async fn the_data_of_an_event_may_be_protobuf_of_any_kind() {
    let kit = kit();
    let headers = [("content-type", "application/protobuf"), ("ce-specversion", "1.0")];
    let posted = kit.ask(Method::POST, EVENTS, &headers, "anything").await;
    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.text());
    assert_eq!(kit.get(posted.header("location")).await.text(), "anything");
}
