//! Legal HTTP that asks for nonsense.

use tl_client::Draft;
use tl_conformance::{Answer, RawSocket, RunningServer, Vitals};

use super::{GROWTH_KIB_MAX, events_in, server};

/// Every refusal is a problem with the code that fits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_with_a_problem_and_its_code() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let mut findings = Vec::new();
    for (code, asked) in reads().chain(conditions()).chain(publishes()) {
        let answer = ask(&server, asked.clone()).await;
        let told = answer.as_ref().and_then(Answer::problem_code);
        let is_refusal = answer.as_ref().is_some_and(|it| (400..500).contains(&it.status));
        if told.as_deref() != Some(code) || !is_refusal {
            let shown: String = String::from_utf8_lossy(&asked).chars().take(100).collect();
            findings.push(format!("{shown:?}: not {code}, but {answer:?}"));
        }
    }
    assert_eq!(events_in(&server.client(), "victim").await, 0);
    vitals.are_good(GROWTH_KIB_MAX).await;
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A tag that is none matches nothing (RFC 9110 §13.1.2), and a preference nobody understands is no
/// reason to refuse (RFC 7240 §2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_ignored_changes_nothing() {
    let server = server();
    server.client().publish("a", &Draft::default()).await.expect("a receipt");
    let plain = ask(&server, get("/v1/channels/a/events", "")).await.expect("an answer");
    let tags = ["x", "\"", "\"x", "W/", "\"\u{fe}\"", "*, *", "\"1zzzzzzzzzzzz11\"", ","];
    let tags = tags.map(|tag| format!("If-None-Match: {tag}\r\n"));
    let preferences = ["", "wait", "wait=", "wait=x", "wait=-1", "wait=\"", "=;=,;", "wait=nan"];
    let preferences = preferences.map(|it| format!("Prefer: {it}\r\n"));
    let ranges = ["Accept: nonsense\r\n", "Accept: ;;,,;\r\n"].map(str::to_owned);
    let long = [format!("If-None-Match: {}\r\n", "\"x\", ".repeat(4_000))];
    for header in tags.into_iter().chain(preferences).chain(ranges).chain(long) {
        let answer = ask(&server, get("/v1/channels/a/events", &header)).await.expect("an answer");
        assert_eq!((answer.status, &answer.body), (200, &plain.body), "{header:?}");
    }
}

fn reads() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let long = "a".repeat(256);
    let longer = "a".repeat(20_000);
    let many = "channel=a&".repeat(257);
    let of_channel = |name: &str| get(&format!("/v1/channels/{name}/events"), "");
    let query = |query: &str| get(&format!("/v1/channels/a/events?{query}"), "");
    let several = |query: &str| get(&format!("/v1/events?{query}"), "");
    let names = ["%00", "a%0d%0ab", "%zz", "%", "a..b", ".a", "a.", "*", "a.%3e", "a%2fb"];
    let names = names.into_iter().chain(["%c3%bc", "a%20b", "%24", "a%7fb", &long, &longer]);
    let names = names.map(|name| ("channel_invalid", of_channel(name))).collect::<Vec<_>>();
    let selections = ["", "channel=", "channel=a..b", "channel=a*", "channel=%3e.a", &many];
    let selections = selections.into_iter().chain(["channel=%00", "channel=%ff"]);
    let selections = selections.map(|it| ("selection_invalid", several(it))).collect::<Vec<_>>();
    let cursors = ["x", "%ff", "%00", "now", "1", "1zzzzzzzzzzzz1", "EARLIEST", &longer];
    let cursors = cursors.map(|cursor| ("cursor_invalid", query(&format!("after={cursor}"))));
    let parameters = [
        "after=earliest&after=latest",
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=1.5",
        "limit=abc",
        "limit=",
        "limit=99999999999999999999",
        "wait=-1",
        "wait=nan",
        "wait=soon",
        "wait=",
        "aftr=latest",
        "%00=%00",
        "%ff",
        "channel=b",
    ];
    let parameters = parameters.map(|it| ("parameter_invalid", query(it)));
    let others = [
        ("cursor_epoch", query("after=1zzzzzzzzzzzz11")),
        ("not_found", get("/v1/events/nonsense", "")),
        ("cursor_epoch", get("/v1/events/1zzzzzzzzzzzz11", "")),
        ("parameter_invalid", get("/v1/events/%ff", "")),
        ("parameter_invalid", of_channel("%ff")),
        ("not_found", get("/", "")),
        ("not_found", get("/v1/channels/a/../../../etc/passwd", "")),
        ("not_found", get(&format!("/{longer}"), "")),
        ("not_found", request("OPTIONS", "*", "", b"")),
        ("not_found", request("CONNECT", "example.com:443", "", b"")),
        ("method_not_allowed", request("DELETE", "/v1/channels/a/events", "", b"")),
        ("method_not_allowed", request("BREW", "/v1/channels/a/events", "", b"")),
        ("method_not_allowed", request("CONNECT", "/v1/session", "", b"")),
    ];
    names.into_iter().chain(selections).chain(cursors).chain(parameters).chain(others)
}

/// Headers that say under which conditions to answer, and how.
fn conditions() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let with = |header: &str| get("/v1/channels/a/events", header);
    let mut resumed = with("Last-Event-ID: ?\r\n");
    let place = resumed.iter().rposition(|byte| *byte == b'?').expect("it is there");
    resumed[place] = 0xff;
    let stream = "Accept: text/event-stream\r\n";
    let stream_from = |id: &str| with(&format!("{stream}Last-Event-ID: {id}\r\n"));
    let conditions = [
        ("cursor_invalid", with("Last-Event-ID: x\r\n")),
        ("parameter_invalid", resumed),
        ("cursor_invalid", stream_from("x")),
        ("cursor_invalid", stream_from(&"1".repeat(20_000))),
        ("cursor_epoch", stream_from("1zzzzzzzzzzzz11")),
        ("parameter_invalid", get("/v1/channels/a/events?large=maybe", stream)),
        ("parameter_invalid", with("Request-Timeout: soon\r\n")),
        ("parameter_invalid", with("Request-Timeout: -1\r\n")),
        ("parameter_invalid", with("Request-Timeout: nan\r\n")),
        ("not_acceptable", with("Accept: image/png\r\n")),
        ("not_acceptable", with("Accept: application/json;q=0\r\n")),
        ("origin_forbidden", with("Origin: http://elsewhere.example\r\n")),
        ("origin_forbidden", with("Origin: null\r\n")),
    ];
    conditions.into_iter()
}

fn publishes() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let path = "/v1/channels/victim/events";
    let to = |path: &str, headers: &str, body: &[u8]| request("POST", path, headers, body);
    let event = |body: &[u8]| to(path, "Content-Type: application/cloudevents+json\r\n", body);
    let batch = "Content-Type: application/cloudevents-batch+json\r\n";
    let bodies: [&[u8]; 14] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"{\"id\":7}",
        b"{\"id\":\"\"}",
        b"{\"specversion\":\"0.3\"}",
        b"{\"time\":\"yesterday\"}",
        b"{\"UPPER\":\"x\"}",
        b"{\"number\":99999999999}",
        b"{\"nested\":{\"a\":1}}",
        b"{\"data\":1,\"data_base64\":\"eA==\"}",
        b"{\"data_base64\":\"?\"}",
    ];
    let events = bodies.map(|body| ("event_invalid", event(body)));
    let others = [
        ("event_invalid", to(path, batch, b"[]")),
        ("event_invalid", to(path, batch, b"[")),
        ("event_invalid", to(path, "ce-specversion: 9\r\n", b"x")),
        ("event_invalid", to(path, "ce-specversion: 1.0\r\nce-time: never\r\n", b"x")),
        ("event_invalid", to("/v1/events", "", b"x")),
        ("channel_invalid", event(b"{\"channel\":\"a b\"}")),
        ("channel_invalid", to("/v1/channels/*/events", "", b"x")),
        ("channel_reserved", to("/v1/channels/$sys.x/events", "", b"x")),
        ("parameter_invalid", to(&format!("{path}?atomic=maybe"), "", b"x")),
        ("parameter_invalid", to(&format!("{path}?aftr=1"), "", b"x")),
        ("media_type_unsupported", to(path, "Content-Type: application/cloudevents+xml\r\n", b"x")),
        ("event_too_large", to(path, "", &vec![b'x'; 1024 * 1024 + 1])),
        ("body_too_large", to(path, "", &vec![b'x'; 8 * 1024 * 1024 + 1])),
        ("method_not_allowed", to("/v1/session", "", b"x")),
        ("not_found", to("/v1/channels/victim", "", b"x")),
    ];
    events.into_iter().chain(others)
}

async fn ask(server: &RunningServer, request: Vec<u8>) -> Option<Answer> {
    let mut socket = RawSocket::connect(server.port()).await;
    socket.send(request).await;
    socket.answer().await
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    request("GET", target, headers, b"")
}

fn request(method: &str, target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}");
    [format!("{head}Content-Length: {length}\r\n\r\n").as_bytes(), body].concat()
}
