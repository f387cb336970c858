//! Connections of HTTP/2 that reach their age: clients are told, go elsewhere, and miss nothing.

use std::time::Duration;

use bytes::Buf;
use http::{Request, StatusCode};
use serde_json::json;
use tl_client::Draft;
use tl_conformance::http2::{
    END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2Client, PING, RawHttp2, SETTINGS, header_block,
    http2_frame, next_data, text_of,
};
use tl_conformance::{RunningServer, ServerOptions};
use tl_wire::sse::Parser;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Every connection of the reader ends sooner or later; the publisher's, of HTTP/1.1, goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_moves_from_connection_to_connection_and_misses_nothing() {
    let server = start("age_max = \"2s\"\n");
    let client = server.client();
    let publishing = tokio::spawn(async move {
        for number in 0.. {
            let draft = Draft { id: Some(format!("{number}")), ..Draft::default() };
            client.publish("a", &draft).await.expect("others go on being served");
        }
    });
    let (mut read, mut place) = (Vec::new(), String::new());
    for _ in 0..MOVES {
        let before = read.len();
        let told = stream_until_its_end(&server, &place).await;
        assert!(told.ends_with("retry: 1000\n\n"), "{told}");
        let mut parser = Parser::new();
        parser.feed(told.as_bytes()).expect("short lines");
        while let Some(block) = parser.next_block() {
            if block.name.is_empty() {
                let event: serde_json::Value = serde_json::from_str(&block.data).expect("JSON");
                read.push(event["id"].as_str().expect("an id").parse::<usize>().expect("a number"));
            }
        }
        assert!(read.len() > before, "something comes on every connection");
        place = parser.last_id().to_owned();
    }
    publishing.abort();
    assert!(read.iter().copied().eq(0..read.len()), "nothing lost, nothing twice: {read:?}");
}

/// All that one connection tells of a channel behind a place.
async fn stream_until_its_end(server: &RunningServer, place: &str) -> String {
    let mut client = connect(server).await;
    let request = Request::get("http://localhost/v1/channels/a/events")
        .header("accept", "text/event-stream")
        .header("last-event-id", place);
    let answer = client.request(request, b"").await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let told = text_of(answer.into_body()).await.expect("it ends in order");
    let live = client.request(Request::get("http://localhost/health/live"), b"").await;
    assert!(live.is_err(), "the connection takes nothing new");
    told
}

/// First that it ends, and later what of it was still taken (RFC 9113 §6.8).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aged_connection_says_goodbye_twice_and_ends() {
    let server = start("age_max = \"2s\"\nstreams_max = 7\n");
    let mut connection = RawHttp2::open(server.port()).await;
    let get = header_block("/v1/channels/a/events?wait=50");
    connection.socket.send(http2_frame(HEADERS, END_HEADERS | END_STREAM, 1, &get)).await;
    let (mut last_streams, mut answered, mut settings) = (Vec::new(), 0, Vec::new());
    while let Some(mut frame) = connection.next().await {
        match frame.kind {
            GOAWAY => {
                last_streams.push(frame.payload.get_u32());
                assert_eq!(frame.payload.get_u32(), 0, "nobody did anything wrong");
            }
            HEADERS => answered += 1,
            PING if frame.flags == 0 => {
                connection.socket.send(http2_frame(PING, 1, 0, &frame.payload)).await;
            }
            SETTINGS => settings.extend_from_slice(&frame.payload),
            _ => {}
        }
    }
    assert_eq!(last_streams, [0x7fff_ffff, 1]);
    assert_eq!(answered, 1, "a poll is answered early");
    assert!(settings.chunks(6).any(|it| it == [0, 3, 0, 0, 0, 7]), "streams_max: {settings:?}");
}

/// A session is told where to go on, and when: soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_on_an_aged_connection_is_sent_elsewhere() {
    let server = start("age_max = \"2s\"\n");
    let client = server.client();
    client.publish("a", &Draft::default()).await.expect("a receipt");
    let mut session = connect(&server).await.open_web_socket("throughline.v1.json").await;
    session.say(&json!({"subscribe": {"subscription": 1, "channels": ["a"]}})).await;
    let delivered = session.hear_of("events").await;
    let goodbye = session.hear_of("goingAway").await;
    assert_eq!(goodbye["places"][0]["cursor"], delivered["events"][0]["cursor"], "{goodbye}");
    assert_eq!(goodbye["reconnectAfterMs"], 100);
    assert_eq!(session.close_code().await, Some(1012));
}

/// A client that does not take what it is sent cannot hold its connection for longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_leave_is_cut_off_after_the_grace() {
    let server = start("age_max = \"2s\"\nage_grace = \"1s\"\n");
    let large = vec![b'x'; 256 * 1024].into();
    let draft = Draft { data: Some(large), ..Draft::default() };
    server.client().publish("a", &draft).await.expect("a receipt");
    let begun = Instant::now();
    let mut client = connect(&server).await;
    let request = Request::get("http://localhost/v1/channels/a/events");
    let mut body = client.request(request, b"").await.expect("an answer").into_body();
    // What fits into the window comes, and is not given back until the connection has ended.
    let mut taken = 0;
    let cut = loop {
        match body.data().await.expect("it does not end in order") {
            Ok(data) => taken += data.len(),
            Err(error) => break error,
        }
    };
    assert!(cut.is_io() || cut.is_go_away(), "{cut}");
    assert!(taken < 256 * 1024, "{taken}");
    assert!(begun.elapsed() >= Duration::from_millis(2_700), "{:?}", begun.elapsed());
    let mut other = connect(&server).await;
    let request = Request::get("http://localhost/v1/channels/a/events");
    let mut body = other.request(request, b"").await.expect("others are served").into_body();
    assert!(next_data(&mut body).await.is_some());
}

async fn connect(server: &RunningServer) -> Http2Client {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).await.expect("connects");
    Http2Client::open(stream).await
}

fn start(connections: &str) -> RunningServer {
    let config = format!("[connections]\n{connections}");
    RunningServer::start(&ServerOptions { config, ..ServerOptions::default() })
}

/// Connections that one reader has, one after the other.
const MOVES: usize = 3;
