//! What is no legal HTTP/1.1.

use std::time::Duration;

use tl_conformance::{RawSocket, RunningServer, Vitals};

use super::{GROWTH_KIB_MAX, events_in, server};

/// None of these is a request. The client says that no more comes, so that nobody need wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_or_cut_off() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let mut findings = Vec::new();
    for (name, sent) in no_requests() {
        let mut socket = RawSocket::connect(server.port()).await;
        socket.send(&sent).await;
        socket.end().await;
        let answer = socket.answer().await;
        match &answer {
            Some(answer) if !(400..500).contains(&answer.status) => {
                findings.push(format!("{name}: {}", answer.head));
            }
            _ if socket.rest(CLOSE_TIMEOUT).await.is_none_or(|rest| !rest.is_empty()) => {
                findings.push(format!("{name}: the connection goes on after {answer:?}"));
            }
            _ => {}
        }
    }
    assert_eq!(events_in(&server.client(), "victim").await, 0);
    vitals.are_good(GROWTH_KIB_MAX).await;
    assert!(findings.is_empty(), "{findings:#?}");
}

fn no_requests() -> Vec<(&'static str, Vec<u8>)> {
    let many: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    let text = |name, text: String| (name, text.into_bytes());
    let get = |name, headers: &str| {
        text(name, format!("GET /health/live HTTP/1.1\r\nHost: x\r\n{headers}\r\n"))
    };
    let publish = |name, headers: &str, body: &str| text(name, publish(headers, body));
    vec![
        ("random bytes", (0..=255).rev().cycle().take(5_000).collect()),
        ("random bytes with an end", [&[0x80, 0, 0xff], &b"\r\n\r\n"[..]].concat()),
        ("nothing", Vec::new()),
        ("half a request line", b"GET /health/li".to_vec()),
        ("half a head", b"GET /health/live HTTP/1.1\r\nHost: x\r\nAcc".to_vec()),
        ("HTTP/0.9", b"GET /health/live\r\n\r\n".to_vec()),
        ("HTTP/3.7", b"GET /health/live HTTP/3.7\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20)),
        ("two spaces", b"GET  /health/live HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a space in the path", b"GET /health /live HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a control character", b"GET /health\x01live HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a broken preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
        ("no Host", b"GET /health/live HTTP/1.1\r\n\r\n".to_vec()),
        get("two Hosts", "Host: y\r\n"),
        get("no colon", "nonsense\r\n"),
        get("no name", ": x\r\n"),
        get("a space before the colon", "X : y\r\n"),
        get("a folded header", "X: a\r\n b\r\n"),
        get("a NUL in a header", "X: a\0b\r\n"),
        get("a lone CR in a header", "X: a\rb\r\n"),
        get("200 headers", &many),
        get("100 KB in one header", &format!("X: {}\r\n", "y".repeat(100_000))),
        text("a long path", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(100_000))),
        text("an endless method", "G".repeat(100_000)),
        publish("two lengths", "Content-Length: 1\r\nContent-Length: 2", "ab"),
        publish("a list of lengths", "Content-Length: 2, 3", "ab"),
        publish("a negative length", "Content-Length: -1", ""),
        publish("a length with a sign", "Content-Length: +2", "ab"),
        publish("a length beyond all numbers", "Content-Length: 99999999999999999999", "ab"),
        publish("less than the length", "Content-Length: 10", "ab"),
        publish("an unknown coding", "Transfer-Encoding: xchunked", "1\r\na\r\n0\r\n\r\n"),
        publish("not chunked last", "Transfer-Encoding: chunked, identity", "1\r\na\r\n0\r\n\r\n"),
        publish("no number of a chunk", "Transfer-Encoding: chunked", "zz\r\nab\r\n0\r\n\r\n"),
        publish("a broken second chunk", "Transfer-Encoding: chunked", "2\r\nab\r\nxy\r\n"),
        publish("an endless chunk", "Transfer-Encoding: chunked", "fffffffffffffffff\r\nab"),
        publish("a chunk too long", "Transfer-Encoding: chunked", "2\r\nabcd\r\n0\r\n\r\n"),
        publish("half a chunk", "Transfer-Encoding: chunked", "5\r\nab"),
        publish("no last chunk", "Transfer-Encoding: chunked", "2\r\nab\r\n"),
    ]
}

/// A body ends where its headers say, or the request is refused; and where two headers disagree
/// nothing that follows is taken for a request, lest a proxy in between sees it differently.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_can_be_smuggled_in_a_body() {
    let server = server();
    let inner = publish("Content-Length: 1\r\nX: smuggled", "x");
    let shapes = [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        ("Content-Length: 0\r\nContent-Length: 5", ""),
        ("Content-Length: 5\r\nContent-Length: 0", ""),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"),
        ("Transfer-Encoding:\x0bchunked\r\nContent-Length: 5", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n X: y\r\nContent-Length: 5", "0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        ("Content-Length: 5\r\nTransfer-Encoding: xchunked", "0\r\n\r\n"),
    ];
    for (headers, body) in shapes {
        let mut socket = RawSocket::connect(server.port()).await;
        let outer = format!(
            "POST /v1/channels/outer/events HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}{inner}"
        );
        socket.send(outer).await;
        assert!(socket.answer().await.is_some(), "{headers:?} is answered");
        let rest = socket.rest(CLOSE_TIMEOUT).await;
        assert!(rest.is_some_and(|rest| rest.is_empty()), "{headers:?} ends the connection");
    }
    assert_eq!(events_in(&server.client(), "victim").await, 0);
}

/// What is beyond the body of a good request is a request of its own, and a bad one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_body_is_not_a_part_of_it() {
    let server = server();
    let mut socket = RawSocket::connect(server.port()).await;
    socket.send(publish("Content-Length: 2", "abcdef\r\n\r\n")).await;
    assert_eq!(status(&mut socket).await, Some(201));
    assert_eq!(status(&mut socket).await, Some(400));
    assert!(socket.rest(CLOSE_TIMEOUT).await.is_some());
    let read = read_data(&server).await;
    assert_eq!(read, "ab");
}

/// A client that closes its side has gone (RFC 9112 §9.5): nothing is kept waiting for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_waits_for_a_client_that_has_closed_its_side() {
    let server = server();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let requests = [
        get("/health/live"),
        get("/v1/channels/half/events?wait=30"),
        publish("Content-Length: 2", "ab"),
        publish("Content-Length: 2", "a"),
    ];
    for request in requests {
        let mut socket = half_closed(&server, &request).await;
        assert!(socket.rest(CLOSE_TIMEOUT).await.is_some(), "{request} is over");
    }
}

async fn half_closed(server: &RunningServer, request: &str) -> RawSocket {
    let mut socket = RawSocket::connect(server.port()).await;
    socket.send(request).await;
    socket.end().await;
    socket
}

async fn status(socket: &mut RawSocket) -> Option<u16> {
    socket.answer().await.map(|answer| answer.status)
}

/// The data of the only event.
async fn read_data(server: &RunningServer) -> String {
    let page = server.client().page(&["victim".to_owned()], "earliest", None, None).await;
    let events = page.expect("a page").expect("it is new").events;
    assert_eq!(events.len(), 1);
    String::from_utf8_lossy(&events[0].event.data().expect("data")).into_owned()
}

fn publish(headers: &str, body: &str) -> String {
    format!("POST /v1/channels/victim/events HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}")
}

/// Longer than a server takes to hang up on its own accord.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
