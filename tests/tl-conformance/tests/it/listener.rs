//! One port for all: both versions of HTTP, with and without TLS, sessions on either; and how it
//! fills up and empties.

use std::time::Duration;

use http::{Request, StatusCode};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tl_client::{Client, Draft};
use tl_conformance::http2::{Http2Client, next_data, text_of};
use tl_conformance::web_socket::RawWebSocket;
use tl_conformance::{Certificate, RawSocket, RunningServer, ServerOptions};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The same handlers answer, so the answers are the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_http_answer_alike_with_and_without_tls() {
    let server = start("");
    publish(&server.client(), "a").await;
    let expected = page_over_http1(tcp(&server).await).await;
    assert!(expected.contains("\"caughtUp\":true"), "{expected}");
    assert_eq!(page_over_http2(tcp(&server).await).await, expected);

    let certificate = Certificate::new();
    let server = start(&certificate.config());
    let connect = async |tls, alpn: &'static [&'static str]| {
        certificate.connect(server.port(), &[tls], alpn).await
    };
    assert_eq!(publish_over_http2(connect(&TLS13, &["h2"]).await).await, StatusCode::CREATED);
    let expected = page_over_http1(connect(&TLS13, &[]).await).await;
    assert!(expected.contains("\"caughtUp\":true"), "{expected}");
    for tls in [&TLS12, &TLS13] {
        let both: &[&str] = &["h2", "http/1.1"];
        let stream = connect(tls, both).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 is preferred");
        assert_eq!(page_over_http2(stream).await, expected);
        assert_eq!(page_over_http1(connect(tls, &both[1..]).await).await, expected);
    }
}

/// Browsers open six connections of HTTP/1.1 to a server, and one of HTTP/2 on which there is room
/// for far more streams.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_event_streams_share_one_connection_of_http2() {
    let server = start("");
    let mut client = Http2Client::open(tcp(&server).await).await;
    let mut bodies = Vec::new();
    for _ in 0..20 {
        let request = Request::get("http://localhost/v1/channels/tabs/events?after=latest")
            .header("accept", "text/event-stream");
        let answer = client.request(request, b"").await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        bodies.push(answer.into_body());
    }
    publish(&server.client(), "tabs").await;
    for mut body in bodies {
        let mut text = String::new();
        while !text.contains("\ndata:") {
            let data = next_data(&mut body).await.expect("the stream goes on").expect("data");
            text.push_str(&String::from_utf8_lossy(&data));
        }
    }
}

/// Two sessions and a request share a connection, with and without TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_share_a_connection_of_http2() {
    let server = start("");
    sessions_share(Http2Client::open(tcp(&server).await).await).await;
    let certificate = Certificate::new();
    let server = start(&certificate.config());
    let stream = certificate.connect(server.port(), &[&TLS13], &["h2"]).await;
    sessions_share(Http2Client::open(stream).await).await;
}

async fn sessions_share(mut client: Http2Client) {
    assert!(client.offers_extended_connect());
    let mut reader = client.open_web_socket("throughline.v1.json").await;
    let mut writer = client.open_web_socket("throughline.v1.json").await;
    subscribe(&mut reader).await;
    let publish = json!({"request": 1, "channel": "shared", "events": [{"id": "one"}]});
    writer.say(&json!({"publish": publish})).await;
    assert!(writer.hear_of("receipts").await["receipts"][0]["cursor"].is_string());
    assert_eq!(reader.hear_of("events").await["events"][0]["id"], "one");
    let live = client.request(Request::get("http://localhost/health/live"), b"").await;
    assert_eq!(live.expect("an answer").status(), StatusCode::OK);
    // Neither end of one session ends the other or the connection.
    reader.send(tl_conformance::web_socket::CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(reader.close_code().await, Some(1000));
    assert!(writer.is_alive(7).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_loopback_addresses_are_served() {
    let options = ServerOptions::default();
    let server = RunningServer::start_at(&options, &["127.0.0.1:0", "[::1]:0"]);
    for url in server.urls() {
        let client = tl_client::ClientBuilder::new(url).build().expect("a legal address");
        publish(&client, "a").await;
    }
    assert!(server.urls()[1].starts_with("http://[::1]:"), "{:?}", server.urls());
}

/// Above the limit a client waits, and is served once another one leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_too_many_waits_until_another_ends() {
    let server = start("[listen]\nconnections_max = 3\n");
    let request = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut served = Vec::new();
    for _ in 0..3 {
        let mut socket = RawSocket::connect(server.port()).await;
        socket.send(request).await;
        assert!(socket.answer().await.is_some());
        served.push(socket);
    }
    let mut waiting = RawSocket::connect(server.port()).await;
    waiting.send(request).await;
    let early = tokio::time::timeout(Duration::from_millis(500), waiting.answer()).await;
    assert!(early.is_err(), "it has to wait: {early:?}");
    served.pop();
    assert_eq!(waiting.answer().await.map(|answer| answer.status), Some(200));
}

/// A refusal does not wait for the body, and a connection that is closed while somebody writes to it takes
/// the answer away from them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_answered_early_can_go_on_sending() {
    let server = start("");
    let mut socket = RawSocket::connect(server.port()).await;
    let piece = [b'x'; 64 * 1024];
    let length = piece.len() * 16;
    socket
        .send(format!("POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"))
        .await;
    assert_eq!(socket.answer().await.map(|answer| answer.status), Some(404));
    assert!(socket.rest(Duration::from_secs(10)).await.is_some(), "the server has hung up");
    for _ in 0..16 {
        assert_eq!(socket.push(&piece).await, piece.len());
    }
}

/// Who polls gets an answer, who streams is told when to come back, a session is told where to go
/// on; then the server ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_tells_everybody_and_then_ends() {
    let server = start("");
    publish(&server.client(), "shared").await;
    let get = |query: &str, header: &str| {
        format!("GET /v1/channels/shared/events?{query} HTTP/1.1\r\nHost: x\r\n{header}\r\n")
    };
    let mut idle = RawSocket::connect(server.port()).await;
    idle.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.answer().await.is_some());
    let mut stream = RawSocket::connect(server.port()).await;
    stream.send(get("", "Accept: text/event-stream\r\n")).await;
    assert!(stream.read_until("\ndata:").await);
    let mut session = RawWebSocket::open(server.port()).await;
    subscribe(&mut session).await;
    let delivered = session.hear_of("events").await;
    let mut http2 = Http2Client::open(tcp(&server).await).await;
    let mut poll = RawSocket::connect(server.port()).await;
    poll.send(get("after=latest&wait=50", "")).await;
    // Its answer comes after the poll has been read.
    let mut probe = RawSocket::connect(server.port()).await;
    probe.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(probe.answer().await.is_some());

    server.ask_to_stop();
    let answer = poll.answer().await.expect("a poll is answered");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    assert!(stream.read_until("\nretry:").await, "a stream is told when to come back");
    let goodbye = session.hear_of("goingAway").await;
    assert_eq!(goodbye["places"][0]["cursor"], delivered["events"][0]["cursor"], "{goodbye}");
    assert_eq!(session.close_code().await, Some(1012));
    for socket in [&mut idle, &mut stream, &mut poll, &mut probe] {
        assert!(socket.rest(Duration::from_secs(10)).await.is_some(), "every connection ends");
    }
    let late = http2.request(Request::get("http://localhost/health/live"), b"").await;
    assert!(late.is_err(), "a connection of HTTP/2 is told, too");
    let port = server.port();
    server.stop();
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

async fn subscribe<S: AsyncRead + AsyncWrite>(session: &mut RawWebSocket<S>) {
    let subscribe = json!({"subscription": 1, "channels": ["shared"]});
    session.say(&json!({"subscribe": subscribe})).await;
    let subscribed: Value = session.hear_of("subscribed").await;
    assert_eq!(subscribed["subscription"], 1);
}

async fn page_over_http1<S: AsyncRead + AsyncWrite>(stream: S) -> String {
    let mut socket = RawSocket::new(stream);
    socket.send("GET /v1/channels/a/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    socket.answer().await.expect("an answer").body
}

async fn page_over_http2<S>(stream: S) -> String
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut client = Http2Client::open(stream).await;
    let request = Request::get("http://localhost/v1/channels/a/events");
    let answer = client.request(request, b"").await.expect("an answer");
    text_of(answer.into_body()).await.expect("a body")
}

async fn publish_over_http2<S>(stream: S) -> StatusCode
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut client = Http2Client::open(stream).await;
    let request = Request::post("http://localhost/v1/channels/a/events");
    client.request(request, b"some data").await.expect("an answer").status()
}

async fn publish(client: &Client, channel: &str) {
    client.publish(channel, &Draft::default()).await.expect("a receipt");
}

async fn tcp(server: &RunningServer) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port())).await.expect("connects")
}

fn start(config: &str) -> RunningServer {
    RunningServer::start(&ServerOptions { config: config.to_owned(), ..ServerOptions::default() })
}
