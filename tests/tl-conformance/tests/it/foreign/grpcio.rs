//! grpcio: the core that gRPC's own libraries for Python, C++, Ruby and PHP share.

use serde_json::json;

use tl_client::Draft;
use tl_conformance::{Certificate, Meter, Program, RunningServer, ServerOptions};

use super::library::{Library, list, texts};
use super::{
    DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE, goes_on_where_it_was,
    learns_why_it_was_refused, of, publish, publishes_a_stream, publishes_and_reads,
    speaks_both_ways,
};

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_is_served_with_and_without_tls() {
    let certificate = Certificate::new();
    let mut library = library();
    for config in [String::new(), certificate.config()] {
        let server = RunningServer::start(&ServerOptions { config, ..ServerOptions::default() });
        library.connect_with("grpc", server.url(), &json!({"certificate": certificate.path()}));
        publishes_and_reads(&mut library, "a");
        goes_on_where_it_was(&mut library, "a");
        learns_why_it_was_refused(&mut library, "a");
        publishes_a_stream(&mut library, "b");
        speaks_both_ways(&mut library, "c");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_stopped_goes_on_from_its_cursor() {
    let server = RunningServer::start(&ServerOptions::default());
    let mut first = connected(&server);
    first.ask("Publish", &publish("a", &["1", "2"])).one();
    first.open("Subscribe", &of("a"));
    let cursor = first.heard("events", 2).events()[0]["cursor"].clone();
    drop(first);
    let mut second = connected(&server);
    second.ask("Publish", &publish("a", &["3"])).one();
    second.open("Subscribe", &json!([{"channels": ["a"], "after": cursor}]));
    assert_eq!(texts(&second.heard("events", 2).events(), "id"), ["2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_packs_messages_gets_them_packed() {
    let server = RunningServer::start(&ServerOptions::default());
    let meter = Meter::before(server.port()).await;
    let mut library = library();
    library.connect_with("grpc", &meter.url(), &json!({"gzip": true}));
    let text = "eHh4".repeat(LARGE_BYTES / 3);
    let events = json!([{"id": "1", "datacontenttype": "text/plain", "data": text}]);
    library.ask("Publish", &json!([{"channel": "a", "events": events}])).one();
    let page = library.ask("Read", &of("a")).one();
    assert_eq!(page["events"][0]["data"], text);
    library.open("Subscribe", &of("a"));
    assert_eq!(library.heard("events", 1).events()[0]["data"], text);
    let few = LARGE_BYTES as u64 / 10;
    assert!(meter.up() < few && meter.down() < few, "{meter:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_subscription() {
    let server = RunningServer::start(&ServerOptions::default());
    let mut library = connected(&server);
    library.ask("Publish", &publish("a", &["1"])).one();
    library.open_for("Subscribe", &of("a"), 1_000);
    let error = library.over().error.expect("it does not end by itself");
    assert_eq!(error["code"], DEADLINE_EXCEEDED, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_the_messages_that_are_usual_can_read_everything() {
    let server = RunningServer::start(&ServerOptions::default());
    let ids = ["1", "2", "3", "4", "5"];
    for id in ids {
        let data = Some("x".repeat(EVENT_BYTES_MAX).into());
        let data_content_type = Some("text/plain".into());
        let draft = Draft { id: Some(id.into()), data_content_type, data, ..Draft::default() };
        server.client().publish("a", &draft).await.expect("a receipt");
    }
    let mut library = connected(&server);
    let (mut read, mut after) = (Vec::new(), json!("earliest"));
    while read.len() < ids.len() {
        let page = library.ask("Read", &json!([{"channels": ["a"], "after": after}])).one();
        let events: Vec<_> = list(&page["events"]).iter().collect();
        read.extend(texts(&events, "id").into_iter().map(str::to_owned));
        after = page["cursor"].clone();
    }
    assert_eq!(read, ids);
    library.open("Subscribe", &of("a"));
    assert_eq!(texts(&library.heard("events", ids.len()).events(), "id"), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_too_large_a_message_is_refused_and_the_connection_goes_on() {
    let server = RunningServer::start(&ServerOptions::default());
    let mut library = connected(&server);
    let events = json!([{"datacontenttype": "text/plain", "data": "eHh4".repeat(5_000_000 / 3)}]);
    let refused = library.ask("Publish", &json!([{"channel": "a", "events": events}]));
    assert_eq!(refused.refusal(), (RESOURCE_EXHAUSTED, "body_too_large"));
    assert_eq!(refused.detail("google.rpc.ErrorInfo")["reason"], "BODY_TOO_LARGE");
    publishes_and_reads(&mut library, "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_tells_its_subscribers_where_to_go_on_and_when() {
    let server = RunningServer::start(&ServerOptions::default());
    let mut library = connected(&server);
    let published = library.ask("Publish", &publish("a", &["1"])).one();
    library.open("Subscribe", &of("a"));
    library.heard("caughtUp", 1);
    server.ask_to_stop();
    let left = library.over();
    let place = &left.last("goingAway")["places"][0];
    assert_eq!(place["cursor"], published["receipts"][0]["cursor"]);
    assert_eq!(left.refusal(), (UNAVAILABLE, "draining"));
    assert!(left.detail("google.rpc.RetryInfo")["retryDelay"].is_string(), "{left:?}");
}

fn library() -> Library {
    Library::new(Program::python("rpc.py"))
}

fn connected(server: &RunningServer) -> Library {
    let mut library = library();
    library.connect("grpc", server.url());
    library
}

/// Much more than what it is packed to.
const LARGE_BYTES: usize = 300_000;
/// The largest that an event may have.
const EVENT_BYTES_MAX: usize = 1024 * 1024;
