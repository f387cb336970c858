//! How answers are packed on their way.

use std::io::Read;
use std::time::Duration;

use tl_client::Draft;
use tl_conformance::{RawSocket, RunningServer, ServerOptions};

fn start() -> RunningServer {
    RunningServer::start(&ServerOptions::default())
}

async fn publish(server: &RunningServer) {
    let data = Some("x".repeat(2_000).into());
    let draft = Draft { data, data_content_type: Some("text/plain".into()), ..Draft::default() };
    server.client().publish("a", &draft).await.expect("a receipt");
}

fn unpack(coding: &str, packed: &[u8]) -> String {
    let mut text = String::new();
    let read = match coding {
        "br" => brotli::Decompressor::new(packed, 4_096).read_to_string(&mut text),
        "gzip" => flate2::read::GzDecoder::new(packed).read_to_string(&mut text),
        _ => zstd::Decoder::new(packed).and_then(|mut it| it.read_to_string(&mut text)),
    };
    read.expect("unpacks");
    text
}

/// Pages, polls that are answered later on a bare connection, and streams on one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_packed_over_the_network_and_streams_are_not() {
    let server = start();
    let http = server.client().http().clone();
    let url = format!("{}/v1/channels/a/events", server.url());
    for coding in ["zstd", "br", "gzip"] {
        let poll =
            http.get(format!("{url}?after=latest&wait=30")).header("accept-encoding", coding);
        let poll = tokio::spawn(poll.send());
        // Whether the poll has begun to wait or is answered at once makes no difference.
        let answer = loop {
            publish(&server).await;
            if poll.is_finished() {
                break poll.await.expect("no panic").expect("an answer");
            }
        };
        let page = http.get(&url).header("accept-encoding", coding).send().await;
        for answer in [answer, page.expect("an answer")] {
            assert_eq!(answer.headers()["content-encoding"], coding);
            let body = answer.bytes().await.expect("a body");
            assert!(unpack(coding, &body).contains("\"channel\":\"a\""), "{coding}");
        }
    }
    let mut stream = RawSocket::connect(server.port()).await;
    let request = "GET /v1/channels/a/events?after=latest HTTP/1.1\r\nHost: x\r\n\
                   Accept: text/event-stream\r\nAccept-Encoding: zstd, br, gzip\r\n\r\n";
    stream.send(request).await;
    let head = stream.head().await.expect("a head");
    assert_eq!((head.status, head.header("content-encoding")), (200, None), "{head:?}");
    publish(&server).await;
    let read = tokio::time::timeout(PATIENCE, stream.read_until("\"channel\":\"a\""));
    assert_eq!(read.await, Ok(true), "it is passed on at once, and as it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_logged_with_the_trace_that_the_client_was_told() {
    let server = start();
    let url = format!("{}/v1/channels/a/events", server.url());
    let request = server.client().http().post(url).header("request-timeout", "0");
    let answer = request.body("late").send().await.expect("an answer");
    assert_eq!(answer.status(), 504);
    let problem: serde_json::Value =
        serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    let trace = problem["traceId"].as_str().expect("a trace");
    let log = server.stop();
    let line = log.lines().find(|line| line.contains(trace)).expect("it is logged");
    assert!(line.contains("deadline_exceeded"), "{line}");
}

/// Far less than a heartbeat.
const PATIENCE: Duration = Duration::from_secs(10);
