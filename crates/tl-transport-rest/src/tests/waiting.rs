use tl_transport::Leaving;
use tokio_util::sync::CancellationToken;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_long_poll_answers_the_moment_an_event_is_there() {
    let kit = kit();
    let path = format!("{EVENTS}?wait=30&after=latest");
    let started = tokio::time::Instant::now();
    let publish = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        kit.publish("orders", "1", "x").await;
    };
    let (answer, ()) = tokio::join!(kit.get(&path), publish);
    assert_eq!(ids(&answer), ["1"]);
    assert_eq!(started.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_gives_up_when_its_time_is_up() {
    let kit = kit();
    let started = tokio::time::Instant::now();
    let headers = [("prefer", "wait=20")];
    let answer = kit.ask(Method::GET, EVENTS, &headers, "").await;
    assert_eq!(started.elapsed().as_secs(), 20);
    assert!(ids(&answer).is_empty());
    assert_eq!(answer.header("preference-applied"), "wait=20");
    assert_eq!(answer.header("cache-control"), "no-store");
    kit.get(&format!("{EVENTS}?wait=3600")).await;
    assert_eq!(started.elapsed().as_secs(), 20 + 60, "longer waits are cut");
}

#[tokio::test(start_paused = true)]
async fn a_request_timeout_ends_the_wait() {
    let kit = kit();
    let started = tokio::time::Instant::now();
    let path = format!("{EVENTS}?wait=60");
    let answer = kit.ask(Method::GET, &path, &[("request-timeout", "5")], "").await;
    assert_eq!((answer.status, started.elapsed().as_secs()), (StatusCode::OK, 5));
}

#[tokio::test(start_paused = true)]
async fn a_conditional_long_poll_waits_for_what_is_new() {
    let kit = kit();
    kit.publish("orders", "1", "x").await;
    let etag = kit.get(EVENTS).await.header("etag").to_owned();
    let path = format!("{EVENTS}?wait=30");
    let headers = [("if-none-match", etag.as_str())];
    let publish = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        kit.publish("orders", "2", "x").await;
    };
    let (answer, ()) = tokio::join!(kit.ask(Method::GET, &path, &headers, ""), publish);
    assert_eq!(ids(&answer), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_early_with_the_place() {
    let kit = kit();
    let path = format!("{EVENTS}?wait=30");
    let drain = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        kit.engine.drain();
    };
    let started = tokio::time::Instant::now();
    let (answer, ()) = tokio::join!(kit.get(&path), drain);
    assert_eq!((answer.status, started.elapsed().as_secs()), (StatusCode::OK, 3));
    assert!(answer.text().starts_with("{\"cursor\":"), "{}", answer.text());
}

#[tokio::test(start_paused = true)]
async fn a_poll_whose_connection_leaves_is_answered_early_with_the_place() {
    let (mut kit, leaving) = (kit(), CancellationToken::new());
    kit.leaving = Some(Leaving(leaving.clone().into()));
    let path = format!("{EVENTS}?wait=30");
    let leave = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        leaving.cancel();
    };
    let started = tokio::time::Instant::now();
    let (answer, ()) = tokio::join!(kit.get(&path), leave);
    assert_eq!((answer.status, started.elapsed().as_secs()), (StatusCode::OK, 3));
    assert!(answer.text().starts_with("{\"cursor\":"), "{}", answer.text());
}

#[tokio::test(start_paused = true)]
async fn a_wait_also_gets_ephemeral_events() {
    let kit = kit();
    let path = format!("{EVENTS}?wait=30");
    let publish = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        post(&kit, &format!("{EVENTS}?ephemeral=true"), "text/plain", "typing").await;
    };
    let (answer, _) = tokio::join!(kit.get(&path), publish);
    assert!(answer.text().contains("\"data\":\"typing\""), "{}", answer.text());
}
