use std::time::Duration;

use tl_transport::http::types::{Method, StatusCode};
use tl_transport::model::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use tl_transport::testkit::{Answer, Kit};
use tl_transport::wire::page;

use super::*;

mod caching;
mod packing;
mod protobuf;
mod querying;

fn kit() -> Kit {
    Kit::new(&[&Rest::default()])
}

const EVENTS: &str = "/v1/channels/orders/events";

async fn post(kit: &Kit, path: &str, content_type: &str, body: &str) -> Answer {
    kit.ask(Method::POST, path, &[("content-type", content_type)], body.to_owned()).await
}

/// The ids of a page.
fn ids(answer: &Answer) -> Vec<String> {
    let page = page::read(&answer.body).expect("a page");
    page.events.iter().map(|received| received.event.id().to_owned()).collect()
}

mod schemas;
mod waiting;
mod writing;

mod publishing {
    use super::*;

    #[tokio::test]
    async fn what_is_posted_is_the_data_of_an_event() {
        let kit = kit();
        let posted = post(&kit, EVENTS, "application/json", r#"{"total": 12.50}"#).await;
        assert_eq!(posted.status, StatusCode::CREATED);
        assert!(posted.text().starts_with(r#"{"id":""#), "{}", posted.text());
        let read = kit.get(EVENTS).await;
        assert!(read.text().contains(r#""data":{"total": 12.50}"#), "{}", read.text());
        assert!(read.text().contains(r#""source":"/v1/channels/orders""#), "{}", read.text());
        let one = kit.get(posted.header("location")).await;
        assert_eq!(one.text(), r#"{"total": 12.50}"#);
        assert_eq!(one.header("content-type"), "application/json");
        assert_eq!(one.header("ce-channel"), "orders");
    }

    #[tokio::test]
    async fn binary_mode_takes_attributes_from_headers() {
        let kit = kit();
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "42"),
            ("ce-source", "/shop"),
            ("ce-type", "order.created"),
            ("ce-subject", "Euro%20%E2%82%AC"),
            ("ce-region", "eu"),
            ("content-type", "application/octet-stream"),
        ];
        let posted = kit.ask(Method::POST, EVENTS, &headers, vec![0u8, 255]).await;
        assert_eq!(posted.status, StatusCode::CREATED);
        let read = kit.get(EVENTS).await;
        for member in [
            r#""id":"42""#,
            r#""type":"order.created""#,
            r#""subject":"Euro €""#,
            r#""region":"eu""#,
            r#""data_base64":"AP8=""#,
        ] {
            assert!(read.text().contains(member), "{member} in {}", read.text());
        }
        let one = kit.get(posted.header("location")).await;
        assert_eq!(one.header("ce-subject"), "Euro%20%E2%82%AC");
        assert_eq!(&one.body[..], [0, 255]);
    }

    #[tokio::test]
    async fn structured_and_batched_cloudevents_and_lines_are_taken() {
        let kit = kit();
        let event =
            |id: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t"}}"#);
        let one =
            post(&kit, EVENTS, "application/cloudevents+json; charset=utf-8", &event("1")).await;
        assert_eq!(one.status, StatusCode::CREATED);
        let batch = format!("[{},{}]", event("2"), event("3"));
        let batch = post(&kit, EVENTS, "application/cloudevents-batch+json", &batch).await;
        assert_eq!(batch.status, StatusCode::OK);
        assert!(batch.text().starts_with(r#"{"receipts":[{"id":"2","cursor":""#));
        let lines = format!("{}\n{}\n", event("4"), event("5"));
        post(&kit, EVENTS, "application/x-ndjson", &lines).await;
        assert_eq!(ids(&kit.get(EVENTS).await), ["1", "2", "3", "4", "5"]);
    }

    #[tokio::test]
    async fn a_batch_is_answered_event_by_event_or_as_a_whole() {
        let kit = kit();
        let batch = r#"[{"id":"1"},{"id":""},{"id":"3","channel":"other"},{"id":"4"}]"#;
        let content_type = "application/cloudevents-batch+json";
        let answer = post(&kit, &format!("{EVENTS}?atomic=true"), content_type, batch).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.text().matches("event_invalid").count(), 2 + 4, "{}", answer.text());
        assert!(ids(&kit.get(EVENTS).await).is_empty(), "all or none");
        let answer = post(&kit, EVENTS, content_type, batch).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.text().matches("\"cursor\"").count(), 2, "{}", answer.text());
        assert_eq!(ids(&kit.get(EVENTS).await), ["1", "4"]);
    }

    #[tokio::test]
    async fn a_batch_that_is_refused_as_a_whole_tells_the_cause() {
        let kit = kit();
        let batch = r#"[{"channel":"orders"},{"channel":"$orders"}]"#;
        let content_type = "application/cloudevents-batch+json";
        let answer = post(&kit, "/v1/events?atomic=true", content_type, batch).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
        assert_eq!(answer.text().matches("$orders is written by the server").count(), 1 + 2);
    }

    #[tokio::test]
    async fn events_can_name_their_own_channels() {
        let kit = kit();
        let lines =
            "{\"id\":\"1\",\"channel\":\"a\"}\n{\"id\":\"2\",\"channel\":\"b\"}\n{\"id\":\"3\"}";
        let answer = post(&kit, "/v1/events", "application/x-ndjson", lines).await;
        assert!(answer.text().contains("must name its `channel`"), "{}", answer.text());
        assert_eq!(ids(&kit.get("/v1/events?channel=a&channel=b").await), ["1", "2"]);
    }

    #[tokio::test]
    async fn what_curl_calls_a_form_is_json_if_it_is() {
        let kit = kit();
        post(&kit, EVENTS, "application/x-www-form-urlencoded", r#"{"a":1}"#).await;
        post(&kit, EVENTS, "application/x-www-form-urlencoded", "a=1").await;
        let read = kit.get(EVENTS).await;
        assert!(read.text().contains(r#""data":{"a":1}"#), "{}", read.text());
        assert!(read.text().contains(r#""data":"a=1""#), "{}", read.text());
    }

    #[tokio::test]
    async fn ephemeral_events_are_accepted_and_not_kept() {
        let kit = kit();
        let path = format!("{EVENTS}?ephemeral=true");
        let answer = post(&kit, &path, "text/plain", "typing").await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_eq!(answer.header("location"), "");
        assert!(ids(&kit.get(EVENTS).await).is_empty());
    }

    #[tokio::test]
    async fn nonsense_is_refused_with_a_problem() {
        let kit = kit();
        let code = async |path: &str, content_type: &str, body: &str| {
            let answer = post(&kit, path, content_type, body).await;
            assert_eq!(answer.header("content-type"), "application/problem+json");
            let code = answer.text().split("\"code\":\"").nth(1).expect("a code");
            (answer.status.as_u16(), code.split('"').next().unwrap_or_default().to_owned())
        };
        let expect = |status: u16, code: &str| (status, code.to_owned());
        let json = "application/json";
        assert_eq!(
            code("/v1/channels/a..b/events", json, "1").await,
            expect(400, "channel_invalid")
        );
        assert_eq!(
            code("/v1/channels/a.*/events", json, "1").await,
            expect(400, "channel_invalid")
        );
        let reserved = "/v1/channels/$sys.x/events";
        assert_eq!(code(reserved, json, "1").await, expect(403, "channel_reserved"));
        assert_eq!(code(EVENTS, json, "{").await, expect(400, "event_invalid"));
        let structured = "application/cloudevents+json";
        assert_eq!(code(EVENTS, structured, "[]").await, expect(400, "event_invalid"));
        let old = r#"{"specversion":"0.3"}"#;
        assert_eq!(code(EVENTS, structured, old).await, expect(400, "event_invalid"));
        let avro = "application/cloudevents+avro";
        assert_eq!(code(EVENTS, avro, "x").await, expect(415, "media_type_unsupported"));
        let ndjson = "application/x-ndjson";
        assert_eq!(code(EVENTS, ndjson, "").await, expect(400, "event_invalid"));
        let many = "{}\n".repeat(BATCH_EVENTS_MAX + 1);
        assert_eq!(code(EVENTS, ndjson, &many).await, expect(413, "batch_too_large"));
        let large = "x".repeat(1024 * 1024 + 1);
        assert_eq!(code(EVENTS, "text/plain", &large).await, expect(413, "event_too_large"));
        let huge = "x".repeat(BATCH_BYTES_MAX + 1);
        assert_eq!(code(EVENTS, "text/plain", &huge).await, expect(413, "body_too_large"));
        let typo = format!("{EVENTS}?atomik=true");
        assert_eq!(code(&typo, json, "1").await, expect(400, "parameter_invalid"));
        assert_eq!(kit.engine.stats().events, 0, "nothing of it was logged");
    }
}

mod reading {
    use super::*;

    #[tokio::test]
    async fn pages_lead_from_one_to_the_next() {
        let kit = kit();
        for id in ["1", "2", "3", "4", "5"] {
            kit.publish("orders", id, "x").await;
            kit.publish("other", id, "x").await;
        }
        let mut found = Vec::new();
        let mut path = format!("{EVENTS}?limit=2");
        for _ in 0..3 {
            let page = kit.get(&path).await;
            found.extend(ids(&page));
            let link = page.header("link");
            assert!(link.ends_with("; rel=\"next\""), "{link}");
            path = link[1..link.find('>').expect("a link")].to_owned();
        }
        assert_eq!(found, ["1", "2", "3", "4", "5"]);
        let last = kit.get(&path).await;
        assert!(last.text().contains("\"caughtUp\":true,\"events\":[]"), "{}", last.text());
    }

    #[tokio::test]
    async fn the_next_link_keeps_the_selection() {
        let kit = kit();
        kit.publish("a.b", "1", "x").await;
        kit.publish("c+d", "2", "x").await;
        let page = kit.get("/v1/events?channel=a.%3E&channel=c%2Bd&limit=1").await;
        assert_eq!(ids(&page), ["1"]);
        let link = page.header("link").to_owned();
        let next = kit.get(&link[1..link.find(">;").expect("a link")]).await;
        assert_eq!(ids(&next), ["2"], "{link}");
    }

    #[tokio::test]
    async fn the_form_is_negotiated() {
        let kit = kit();
        kit.publish("orders", "1", "x").await;
        kit.publish("orders", "2", "x").await;
        let get =
            async |accept: &str| kit.ask(Method::GET, EVENTS, &[("accept", accept)], "").await;
        let lines = get("application/x-ndjson").await;
        assert_eq!(lines.text().lines().count(), 2);
        let batch = get("application/cloudevents-batch+json").await;
        assert!(batch.text().starts_with("[{\"cursor\":") && batch.text().ends_with("}]"));
        assert_eq!(get("image/png").await.status, StatusCode::NOT_ACCEPTABLE);
        let tags = [lines.header("etag"), batch.header("etag")];
        assert_ne!(tags[0], tags[1], "two forms are two representations");
    }

    #[tokio::test]
    async fn a_poll_that_finds_nothing_new_costs_nothing() {
        let kit = kit();
        kit.publish("orders", "1", "x").await;
        let page = kit.get(EVENTS).await;
        let etag = page.header("etag").to_owned();
        let poll = async || kit.ask(Method::GET, EVENTS, &[("if-none-match", &etag)], "").await;
        kit.publish("other", "2", "x").await;
        let unchanged = poll().await;
        assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
        assert_eq!((unchanged.text(), unchanged.header("etag")), ("", etag.as_str()));
        assert_ne!(unchanged.header("poll-interval"), "");
        kit.publish("orders", "3", "x").await;
        assert_eq!(ids(&poll().await), ["1", "3"]);
    }

    #[tokio::test]
    async fn a_poll_that_finds_nothing_new_reads_no_log() {
        let kit = kit();
        kit.publish("orders", "1", "x").await;
        let etag = kit.get(EVENTS).await.header("etag").to_owned();
        let reads = kit.engine.stats().reads;
        for _ in 0..100 {
            let poll = kit.ask(Method::GET, EVENTS, &[("if-none-match", &etag)], "").await;
            assert_eq!(poll.status, StatusCode::NOT_MODIFIED);
        }
        assert_eq!(kit.engine.stats().reads, reads);
        kit.get(EVENTS).await;
        assert_eq!(kit.engine.stats().reads, reads + 1, "the count counts");
    }

    #[tokio::test]
    async fn a_full_page_of_the_past_keeps_its_tag() {
        let kit = kit();
        kit.publish("orders", "1", "x").await;
        kit.publish("orders", "2", "x").await;
        let path = format!("{EVENTS}?limit=1");
        let etag = kit.get(&path).await.header("etag").to_owned();
        kit.publish("orders", "3", "x").await;
        let again = kit.ask(Method::GET, &path, &[("if-none-match", &etag)], "").await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    }

    #[tokio::test]
    async fn a_resumed_page_begins_behind_the_cursor_or_says_why_not() {
        let kit = kit();
        let first = kit.publish("orders", "1", "x").await;
        kit.publish("orders", "2", "x").await;
        let from = async |after: &str| kit.get(&format!("{EVENTS}?after={after}")).await;
        assert_eq!(ids(&from(&first.cursor()).await), ["2"]);
        assert!(ids(&from("latest").await).is_empty());
        assert_eq!(from("nonsense").await.status, StatusCode::BAD_REQUEST);
        assert_eq!(from("1zzzzzzzzzzzz11").await.status, StatusCode::GONE);
        let ahead = from(&first.cursor().replace("11", "1z")).await;
        assert_eq!(ahead.status, StatusCode::GONE);
        assert!(ahead.text().contains("cursor_ahead"), "{}", ahead.text());
    }

    #[tokio::test]
    async fn one_event_is_found_by_its_cursor() {
        let kit = kit();
        let place = kit.publish("orders", "1", "text").await;
        let path = format!("/v1/events/{}", place.cursor());
        let structured = [("accept", "application/cloudevents+json")];
        let event = kit.ask(Method::GET, &path, &structured, "").await;
        assert!(event.text().contains("\"data\":\"text\""), "{}", event.text());
        for missing in ["nonsense", "10000000000000", "1zzzzzzzzzzzz11"] {
            let answer = kit.get(&format!("/v1/events/{missing}")).await;
            assert!(answer.status.is_client_error(), "{missing}");
        }
    }

    #[tokio::test]
    async fn published_data_never_runs_as_a_page_of_the_server() {
        let kit = kit();
        let structured = [("content-type", "application/cloudevents+json")];
        for (event, expected) in [
            (r#"{"datacontenttype":"text/html","data":"<script>"}"#, "text/html"),
            (r#"{"data":{"a":1}}"#, "application/json"),
            (r#"{"data_base64":"AP8="}"#, "application/octet-stream"),
            (r#"{"datacontenttype":"nonsense","data_base64":"AP8="}"#, "application/octet-stream"),
            ("{}", "application/octet-stream"),
        ] {
            let path = "/v1/channels/orders/events";
            let published = kit.ask(Method::POST, path, &structured, event).await;
            let read = kit.get(published.header("location")).await;
            assert_eq!(read.header("content-type"), expected, "{event}");
            assert_eq!(read.header("x-content-type-options"), "nosniff");
            assert_eq!(read.header("content-security-policy"), "sandbox");
        }
    }

    #[tokio::test]
    async fn a_malformed_place_is_refused_also_where_another_goes_before_it() {
        let kit = kit();
        for (after, resumed) in [("nonsense", "earliest"), ("earliest", "nonsense")] {
            let path = format!("/v1/channels/orders/events?after={after}");
            let answer = kit.ask(Method::GET, &path, &[("last-event-id", resumed)], "").await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{after} {resumed}");
        }
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        let kit = kit();
        for path in [
            "/v1/events",
            "/v1/channels/orders/events?large=maybe",
            "/v1/events?channel=a..b",
            "/v1/channels/orders/events?limit=0",
            "/v1/channels/orders/events?limit=1001",
            "/v1/channels/orders/events?wait=-1",
            "/v1/channels/orders/events?wait=soon",
            "/v1/channels/orders/events?access_token=x",
        ] {
            assert_eq!(kit.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
        }
    }
}
