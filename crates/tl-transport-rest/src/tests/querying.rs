//! `QUERY`: a selection too large for an address.

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

async fn query(kit: &Kit, path: &str, content_type: &str, body: &str) -> Answer {
    let method = Method::from_bytes(b"QUERY").expect("a method");
    let headers = [("content-type", content_type)];
    let headers = if content_type.is_empty() { &[][..] } else { &headers };
    kit.ask(method, path, headers, body.to_owned()).await
}

fn links(answer: &Answer) -> usize {
    answer.headers.get_all("link").iter().count()
}

#[tokio::test]
async fn a_query_is_answered_as_the_address_would_be() {
    let kit = kit();
    for (channel, id) in [("a", "1"), ("b.c", "2"), ("d", "3"), ("a", "4")] {
        kit.publish(channel, id, "x").await;
    }
    let page = kit.get("/v1/events?channel=a&channel=b.%3E&limit=2").await;
    for (content_type, body) in [
        (FORM, "channel=a&channel=b.%3E&limit=2"),
        ("Application/JSON; charset=utf-8", r#"{"channel": ["a", "b.>"], "limit": 2}"#),
    ] {
        let answer = query(&kit, "/v1/events", content_type, body).await;
        assert_eq!(answer.text(), page.text(), "{content_type}");
        for name in ["etag", "link", "cache-control", "vary", "accept-query"] {
            assert_eq!(answer.header(name), page.header(name), "{content_type}: {name}");
        }
        let next =
            kit.get(&answer.header("link")[1..answer.header("link").find(">;").expect("a link")]);
        assert_eq!(ids(&next.await), ["4"]);
    }
    let one = query(&kit, "/v1/events", JSON, r#"{"channel": "d", "after": "earliest"}"#).await;
    assert_eq!(ids(&one), ["3"]);
}

#[tokio::test(start_paused = true)]
async fn a_query_waits_too() {
    let kit = kit();
    let publish = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        kit.publish("a", "1", "x").await;
    };
    let body = r#"{"channel": ["a"], "wait": 30}"#;
    let (answer, ()) = tokio::join!(query(&kit, "/v1/events", JSON, body), publish);
    assert_eq!(ids(&answer), ["1"]);
    assert_ne!(answer.header("accept-query"), "");
}

#[tokio::test]
async fn a_selection_that_fits_no_address_is_not_led_to_one() {
    let kit = kit();
    kit.publish("a", "1", "x").await;
    let select = |count: usize| {
        let channels = (0..count).map(|number| format!("&channel={}.{number}", "x".repeat(200)));
        format!("channel=a{}", channels.collect::<String>())
    };
    let small = query(&kit, "/v1/events", FORM, &select(10)).await;
    assert_eq!((ids(&small), links(&small)), (vec!["1".to_owned()], 2));
    let large = query(&kit, "/v1/events", FORM, &select(200)).await;
    assert_eq!((ids(&large), links(&large)), (vec!["1".to_owned()], 0));
    let largest = query(&kit, "/v1/events", FORM, &select(256)).await;
    assert!(largest.text().contains("selection_invalid"), "{}", largest.text());
    let larger = query(&kit, "/v1/events", FORM, &select(2_000)).await;
    assert_eq!(larger.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_unchanged_query_is_not_answered_again() {
    let kit = kit();
    kit.publish("a", "1", "x").await;
    let etag = query(&kit, "/v1/events", FORM, "channel=a").await.header("etag").to_owned();
    let method = Method::from_bytes(b"QUERY").expect("a method");
    let headers = [("content-type", FORM), ("if-none-match", etag.as_str())];
    let reads = kit.engine.stats().reads;
    let again = kit.ask(method, "/v1/events", &headers, "channel=a").await;
    assert_eq!((again.status, kit.engine.stats().reads), (StatusCode::NOT_MODIFIED, reads));
}

#[tokio::test]
async fn the_resource_says_what_a_query_may_be() {
    let kit = kit();
    let told = "application/x-www-form-urlencoded, application/json";
    let options = kit.ask(Method::OPTIONS, "/v1/events", &[], "").await;
    assert_eq!(options.header("allow"), "GET, HEAD, OPTIONS, POST, QUERY");
    assert_eq!(options.header("accept-query"), told);
    for content_type in ["", "text/plain"] {
        let refused = query(&kit, "/v1/events", content_type, "channel=a").await;
        assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!((refused.header("accept-query"), refused.header("accept")), (told, told));
    }
    let elsewhere = query(&kit, EVENTS, FORM, "limit=1").await;
    assert_eq!(elsewhere.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(elsewhere.header("allow"), "GET, HEAD, OPTIONS, POST");
    assert_eq!(elsewhere.header("accept-query"), "");
}

#[tokio::test]
async fn nonsense_in_a_query_is_refused() {
    let kit = kit();
    for (path, content_type, body) in [
        ("/v1/events?limit=1", FORM, "channel=a"),
        ("/v1/events", FORM, "channel=a&limt=1"),
        ("/v1/events", FORM, ""),
        ("/v1/events", JSON, ""),
        ("/v1/events", JSON, r#"{"channel": {"a": 1}}"#),
        ("/v1/events", JSON, r#"{"channel": "a", "limit": "many"}"#),
        ("/v1/events", JSON, r#"{"channel": "a", "limit": [1, 2]}"#),
    ] {
        let refused = query(&kit, path, content_type, body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path} {body}");
    }
}
