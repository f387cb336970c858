//! Streams and long polls leave the machinery of HTTP; their connections behave as if they had not.

use std::time::Duration;

use tl_client::{Client, Draft};
use tl_conformance::{RawSocket, RunningServer, ServerOptions};

async fn publish(client: &Client) {
    client.publish("a", &Draft::default()).await.expect("a receipt");
}

fn start() -> RunningServer {
    RunningServer::start(&ServerOptions::default())
}

fn get(query: &str, version: &str, headers: &str) -> String {
    format!("GET /v1/channels/a/events?{query} HTTP/{version}\r\nHost: x\r\n{headers}\r\n")
}

const STREAM: &str = "Accept: text/event-stream\r\n";

/// Until whatever was sent before has been read: the server reads what comes first first.
async fn settle(server: &RunningServer) {
    let mut probe = RawSocket::connect(server.port()).await;
    probe.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(probe.answer().await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_goes_on_after_a_long_poll() {
    let server = start();
    let client = server.client();
    let mut socket = RawSocket::connect(server.port()).await;
    for _ in 0..3 {
        socket.send(get("after=latest&wait=50", "1.1", "")).await;
        settle(&server).await;
        publish(&client).await;
        let answer = socket.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (200, None), "{answer:?}");
        assert!(answer.body.contains("\"channel\":\"a\""), "{answer:?}");
        socket.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(socket.answer().await.map(|answer| answer.status), Some(200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_during_a_long_poll_is_answered_after_it() {
    let server = start();
    let mut socket = RawSocket::connect(server.port()).await;
    let next = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    socket.send([get("after=latest&wait=50", "1.1", ""), next.repeat(100)].concat()).await;
    settle(&server).await;
    socket.send(next.repeat(100)).await;
    publish(&server.client()).await;
    let answer = socket.answer().await.expect("the poll's answer");
    assert!(answer.body.contains("\"channel\":\"a\""), "{answer:?}");
    for _ in 0..200 {
        assert_eq!(socket.answer().await.map(|answer| answer.status), Some(200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_after_a_long_poll_if_the_client_wants_it_to() {
    let server = start();
    for (version, headers) in [("1.1", "Connection: close\r\n"), ("1.0", "")] {
        let mut socket = RawSocket::connect(server.port()).await;
        socket.send(get("after=latest&wait=0.2", version, headers)).await;
        assert_eq!(socket.answer().await.map(|answer| answer.status), Some(200));
        assert!(socket.rest(Duration::from_secs(10)).await.is_some(), "{version}: it ends");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_sees_the_answer_to_its_long_poll() {
    let config = "[listen]\norigins = [\"https://other.example\"]\n".to_owned();
    let server = RunningServer::start(&ServerOptions { config, ..ServerOptions::default() });
    let origin = "Origin: https://other.example\r\n";
    for (query, headers) in [("&wait=0.2", ""), ("", STREAM)] {
        let mut socket = RawSocket::connect(server.port()).await;
        let headers = [origin, headers].concat();
        socket.send(get(&format!("after=latest{query}"), "1.1", &headers)).await;
        let answer = socket.answer().await.expect("an answer");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("https://other.example"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_framed_as_the_version_of_http_has_it() {
    let server = start();
    publish(&server.client()).await;
    let framings = [("1.1", "transfer-encoding", "chunked"), ("1.0", "connection", "close")];
    for (version, header, value) in framings {
        let mut socket = RawSocket::connect(server.port()).await;
        socket.send(get("after=earliest", version, STREAM)).await;
        let answer = socket.answer().await.expect("a head");
        assert_eq!((answer.status, answer.header(header)), (200, Some(value)), "{answer:?}");
        assert_eq!(answer.header("content-length"), None, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{answer:?}");
        assert!(answer.header("date").is_some(), "{answer:?}");
        assert!(socket.read_until("\"channel\":\"a\"").await);
    }
}

/// A `HEAD` tells what a `GET` would, without a body, and opens nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_has_the_length_of_the_page_and_none_of_a_stream() {
    let server = start();
    publish(&server.client()).await;
    let mut socket = RawSocket::connect(server.port()).await;
    let asks = [("", true), ("&wait=0.2", true), (STREAM, false)];
    for (what, has_length) in asks {
        let (query, headers) = if has_length { (what, "") } else { ("", what) };
        let get = get(&format!("after=earliest{query}"), "1.1", headers);
        socket.send(get.replacen("GET", "HEAD", 1)).await;
        let head = socket.head().await.expect("a head");
        let length = head.header("content-length").map(str::to_owned);
        assert_eq!((head.status, length.is_some()), (200, has_length), "{what}: {head:?}");
        if has_length {
            socket.send(get).await;
            let whole = socket.answer().await.expect("an answer");
            assert_eq!(length, Some(whole.body.len().to_string()), "{what}");
        }
    }
    socket.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(socket.answer().await.map(|answer| answer.status), Some(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_in_chunks_ends_with_the_last_one() {
    let server = start();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut socket = RawSocket::connect(server.port()).await;
        socket.send(get("after=latest", "1.1", STREAM)).await;
        assert!(socket.read_until("caught-up").await);
        streams.push(socket);
    }
    publish(&server.client()).await;
    server.ask_to_stop();
    for socket in &mut streams {
        let rest = socket.rest(Duration::from_secs(20)).await.expect("it ends");
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.contains("\"channel\":\"a\""), "{rest}");
        assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
    }
    server.stop();
}

/// All are served by one lane, each with what it asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_every_kind_share_a_channel() {
    let server = start();
    let mut streams = Vec::new();
    for query in ["", "&large=reference", "", "&large=reference"] {
        for version in ["1.0", "1.1"] {
            let mut socket = RawSocket::connect(server.port()).await;
            socket.send(get(&format!("after=latest{query}"), version, STREAM)).await;
            assert!(socket.read_until("caught-up").await);
            streams.push(socket);
        }
    }
    let client = server.client();
    for number in 0..20 {
        let data = Some(format!("{{\"number\":{number}}}").into_bytes().into());
        client.publish("a", &Draft { data, ..Draft::default() }).await.expect("a receipt");
    }
    for socket in &mut streams {
        for number in 0..20 {
            assert!(socket.read_until(&format!("{{\"number\":{number}}}}}\n\n")).await);
        }
    }
}
