//! What caches are told.

use tl_transport::model::{Pattern, Retention, Rule, Rules};

use super::*;

/// Five events in the channel, and the cursor before the second.
async fn filled() -> (Kit, String) {
    let kit = kit();
    let first = kit.publish("orders", "1", "x").await;
    for id in ["2", "3", "4", "5"] {
        kit.publish("orders", id, "x").await;
    }
    (kit, first.cursor().to_string())
}

async fn caching(kit: &Kit, path: &str, headers: &[(&str, &str)]) -> String {
    let answer = kit.ask(Method::GET, path, headers, "").await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text());
    answer.header("cache-control").to_owned()
}

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

#[tokio::test]
async fn a_full_page_behind_a_cursor_is_kept_for_ever_and_no_other() {
    let (kit, first) = filled().await;
    let caching = async |query: &str| caching(&kit, &format!("{EVENTS}?{query}"), &[]).await;
    assert_eq!(caching(&format!("after={first}&limit=3")).await, IMMUTABLE);
    for moving in [
        "limit=3".to_owned(),
        "after=earliest&limit=3".to_owned(),
        "after=latest".to_owned(),
        format!("after={first}&limit=4"),
        format!("after={first}"),
    ] {
        assert_eq!(caching(&moving).await, "public, no-cache", "{moving}");
    }
}

#[tokio::test]
async fn a_page_with_a_gap_is_not_kept() {
    let (kit, first) = filled().await;
    let path = format!("{EVENTS}?after={first}&limit=1");
    assert_eq!(caching(&kit, &path, &[]).await, IMMUTABLE);
    let retention = Some(Retention { count: Some(2), ..Retention::default() });
    let pattern = Pattern::parse("orders").expect("a pattern");
    let rule = Rule { retention, ..Rule::of(pattern) };
    kit.store.trim(&Rules::new(vec![rule]), 0).await.expect("trims");
    let page = kit.get(&path).await;
    assert!(page.text().contains("\"gap\":"), "{}", page.text());
    assert_eq!(page.header("cache-control"), "public, no-cache");
}

#[tokio::test]
async fn what_was_made_for_credentials_is_for_nobody_else() {
    let (kit, first) = filled().await;
    let page = format!("{EVENTS}?after={first}&limit=1");
    let event = format!("/v1/events/{first}");
    for credentials in [("authorization", "Bearer x"), ("cookie", "session=x")] {
        for path in [page.as_str(), &event] {
            let told = caching(&kit, path, &[credentials]).await;
            assert_eq!(told, "private, max-age=31536000, immutable", "{path}");
        }
        assert_eq!(caching(&kit, EVENTS, &[credentials]).await, "private, no-cache");
    }
    for path in [page.as_str(), &event, EVENTS] {
        let varies = kit.get(path).await.header("vary").to_owned();
        for name in ["accept", "accept-encoding", "authorization", "cookie", "last-event-id"] {
            assert!(varies.split(", ").any(|it| it == name), "{path}: {name} in {varies}");
        }
    }
}

#[tokio::test]
async fn an_unchanged_page_tells_caches_what_it_told_them_before() {
    let (kit, first) = filled().await;
    for path in [EVENTS.to_owned(), format!("{EVENTS}?after={first}&limit=1")] {
        let page = kit.get(&path).await;
        let weak = format!("W/{}", page.header("etag"));
        let again = kit.ask(Method::GET, &path, &[("if-none-match", &weak)], "").await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        for name in ["cache-control", "etag", "vary"] {
            assert_eq!(again.header(name), page.header(name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn one_event_is_kept_for_ever() {
    let (kit, first) = filled().await;
    assert_eq!(caching(&kit, &format!("/v1/events/{first}"), &[]).await, IMMUTABLE);
    let missing = kit.get("/v1/events/10000000000000").await;
    assert_eq!(missing.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_page_names_itself_and_the_next_one() {
    let (kit, first) = filled().await;
    let path = format!("{EVENTS}?after={first}&limit=2");
    let page = kit.get(&path).await;
    let links: Vec<_> = page.headers.get_all("link").iter().collect();
    let next = page::read(&page.body).expect("a page").next.cursor();
    assert_eq!(links[0], &format!("<{EVENTS}?after={next}&limit=2>; rel=\"next\""));
    assert_eq!(links[1], &format!("<{path}>; rel=\"self\""));
    let patterns = kit.get("/v1/events?channel=orders&channel=a.%3E").await;
    let own = patterns.headers.get_all("link").iter().nth(1).expect("a link");
    let own = own.to_str().expect("text");
    assert!(own.contains("after=earliest&limit=100&channel="), "{own}");
}
