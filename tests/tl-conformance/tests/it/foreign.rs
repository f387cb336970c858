//! Clients that others wrote, in their own languages, by gRPC, gRPC-Web and Connect.

mod commands;
mod grpcio;
mod library;

use serde_json::{Value, json};

use tl_conformance::{Program, RunningServer, ServerOptions};

use library::{DATA, Library, events, list, texts};

#[tokio::test(flavor = "multi_thread")]
async fn the_library_of_connect_is_served_over_each_of_its_transports() {
    let server = RunningServer::start(&ServerOptions::default());
    let mut library = Library::new(Program::node("rpc/node.js"));
    for protocol in IN_NODE {
        library.connect(protocol, server.url());
        publishes_and_reads(&mut library, protocol);
        goes_on_where_it_was(&mut library, protocol);
        learns_why_it_was_refused(&mut library, protocol);
    }
    for protocol in ["connect", "connect-json", "grpc"] {
        library.connect(protocol, server.url());
        publishes_a_stream(&mut library, &format!("{protocol}.many"));
        speaks_both_ways(&mut library, &format!("{protocol}.session"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_listed_origin_calls_by_connect_and_both_forms_of_grpc_web() {
    let (mut library, server) = page();
    for protocol in IN_PAGES {
        library.connect(protocol, server.url());
        publishes_and_reads(&mut library, protocol);
        goes_on_where_it_was(&mut library, protocol);
        learns_why_it_was_refused(&mut library, protocol);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_origin_that_is_not_listed_can_make_no_call() {
    let (mut library, server) = page();
    let unlisted = library.program.greeting()["origins"][1].clone();
    library.program.call("visit", json!([unlisted]));
    for protocol in IN_PAGES {
        library.connect(protocol, server.url());
        for (method, message) in [("Publish", publish("a", &["1"])), ("Subscribe", of("a"))] {
            assert!(library.ask(method, &message).error.is_some(), "{protocol}: {method}");
        }
    }
    let logged = server.client().page(&["a".into()], "earliest", None, None).await;
    assert!(logged.expect("a page").expect("one that is new").events.is_empty());
}

/// A page of an origin that the server lists.
fn page() -> (Library, RunningServer) {
    let mut library = Library::new(Program::node("rpc/page.js"));
    let listed = library.program.greeting()["origins"][0].clone();
    let config = format!("[listen]\norigins = [{listed}]\n");
    let server = RunningServer::start(&ServerOptions { config, ..ServerOptions::default() });
    library.program.call("visit", json!([listed]));
    (library, server)
}

fn publishes_and_reads(library: &mut Library, channel: &str) {
    let published = library.ask("Publish", &publish(channel, &["1", "2", "3"])).one();
    let receipts: Vec<_> = list(&published["receipts"]).iter().collect();
    assert_eq!(texts(&receipts, "id"), ["1", "2", "3"]);
    let page = library.ask("Read", &of(channel)).one();
    let read: Vec<_> = list(&page["events"]).iter().collect();
    assert_eq!(texts(&read, "id"), ["1", "2", "3"]);
    assert_eq!(texts(&read, "cursor"), texts(&receipts, "cursor"));
    assert_eq!(texts(&read, "data"), [DATA; 3]);
    assert_eq!((&page["cursor"], &page["caughtUp"]), (&read[2]["cursor"], &json!(true)));
}

/// It leaves a subscription, misses some events, and gets exactly them.
fn goes_on_where_it_was(library: &mut Library, channel: &str) {
    library.open("Subscribe", &of(channel));
    let heard = library.heard("events", 3);
    assert_eq!(texts(&heard.events(), "id"), ["1", "2", "3"]);
    let cursor = heard.events()[2]["cursor"].clone();
    library.cancel();
    library.ask("Publish", &publish(channel, &["4", "5"])).one();
    library.open("Subscribe", &json!([{"channels": [channel], "after": cursor}]));
    library.heard("caughtUp", 1);
    library.ask("Publish", &publish(channel, &["6"])).one();
    let heard = library.heard("events", 3);
    assert_eq!(texts(&heard.events(), "id"), ["4", "5", "6"]);
    assert_eq!(heard.events()[0]["previous"], cursor);
    library.cancel();
}

/// The status has details, whether the call would have been answered with one message or with many.
fn learns_why_it_was_refused(library: &mut Library, channel: &str) {
    let refused = library.ask("Publish", &publish("$sys.mine", &["1"]));
    assert_eq!(refused.refusal(), (PERMISSION_DENIED, "channel_reserved"));
    for method in ["Read", "Subscribe"] {
        let refused = library.ask(method, &json!([{"channels": [channel], "after": "nowhere"}]));
        assert_eq!(refused.refusal(), (INVALID_ARGUMENT, "cursor_invalid"), "{method}");
    }
}

fn publishes_a_stream(library: &mut Library, channel: &str) {
    let some = json!({"channel": channel, "events": [{"id": "1"}, {"id": "\u{0}"}]});
    let others = json!({"channel": channel, "events": [{"id": "2"}, {"id": "3"}]});
    let answer = library.ask("PublishMany", &json!([some, others])).one();
    assert_eq!((&answer["published"], &answer["refused"]), (&json!("3"), &json!("1")));
    let refusals = list(&answer["refusals"]);
    assert_eq!((&refusals[0]["index"], refusals.len()), (&json!("1"), 1), "{answer}");
    assert_eq!(refusals[0]["problem"]["code"], "event_invalid");
    let page = library.ask("Read", &of(channel)).one();
    assert_eq!(page["cursor"], answer["cursor"]);
}

/// Publishing and subscribing over one stream, in which the client says how much it takes.
fn speaks_both_ways(library: &mut Library, channel: &str) {
    let subscribe = json!({"subscription": 1, "channels": [channel], "credit": 2});
    let publish = json!({"request": 7, "channel": channel, "events": events(&["1", "2", "3"])});
    library.open("Session", &json!([{"subscribe": subscribe}]));
    library.say(&json!({"publish": publish}));
    let receipts = library.heard("receipts", 1);
    assert_eq!(receipts.last("receipts")["request"], 7);
    library.heard("events", 2);
    library.say(&json!({"ping": {"nonce": 3}}));
    let heard = library.heard("pong", 1);
    assert_eq!(texts(&heard.events(), "id"), ["1", "2"], "there is no credit for more");
    library.say(&json!({"credit": {"subscription": 1, "events": 1}}));
    let heard = library.heard("events", 3);
    assert_eq!(texts(&heard.events(), "id"), ["1", "2", "3"]);
    library.say(&json!({"unsubscribe": {"subscription": 1}}));
    library.end();
    let heard = library.over();
    assert_eq!(heard.error, None, "whoever wants nothing any more is let go");
    assert_eq!(heard.last("unsubscribed")["subscription"], 1);
}

/// A publish of these events.
fn publish(channel: &str, ids: &[&str]) -> Value {
    json!([{"channel": channel, "events": events(ids)}])
}

/// A request for all events of a channel.
fn of(channel: &str) -> Value {
    json!([{"channels": [channel]}])
}

/// What the library of Connect speaks in Node.
const IN_NODE: [&str; 7] = [
    "connect",
    "connect-http1",
    "connect-json",
    "connect-json-http1",
    "grpc",
    "grpc-web",
    "grpc-web-http1",
];
/// What others speak in a page.
const IN_PAGES: [&str; 4] = ["connect", "connect-json", "grpc-web", "grpc-web-text"];
const INVALID_ARGUMENT: u64 = 3;
const DEADLINE_EXCEEDED: u64 = 4;
const PERMISSION_DENIED: u64 = 7;
const RESOURCE_EXHAUSTED: u64 = 8;
const UNAVAILABLE: u64 = 14;
