//! Clients that take their time. All are tried at once, because each takes as long as the server
//! allows.

use std::time::Duration;

use http::Request;
use tl_conformance::http2::{Http2Client, PREFACE, SETTINGS, http2_frame, text_of};
use tl_conformance::web_socket::{FINAL, RawWebSocket, TEXT, frame_head};
use tl_conformance::{Certificate, RawSocket, RunningServer, ServerOptions, Vitals};
use tl_model::limits::{BODY_IDLE_TIMEOUT, HEADERS_TIMEOUT};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::GROWTH_KIB_MAX;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut_off() {
    let config = format!("[connections]\nheartbeat = \"{}s\"\n", HEARTBEAT.as_secs());
    let server = RunningServer::start(&ServerOptions { config: config.clone(), ..options() });
    let certificate = Certificate::new();
    let config = config + &certificate.config();
    let tls = RunningServer::start(&ServerOptions { config, ..options() });
    let vitals = Vitals::watch(&server).await;
    publish_much(&server).await;
    let mut slow = JoinSet::new();
    spawn_slow_requests(&mut slow, server.port());
    spawn_slow_handshakes(&mut slow, tls.port(), certificate);
    let findings: Vec<_> = slow.join_all().await.into_iter().filter_map(Result::err).collect();
    assert!(findings.is_empty(), "{findings:#?}");
    assert!(!tls.log().contains("panicked"), "{}", tls.log());
    vitals.are_good(GROWTH_KIB_MAX).await;
}

/// Why a client was not cut off as it should be.
type Checked = Result<(), String>;

fn spawn_slow_requests(slow: &mut JoinSet<Checked>, port: u16) {
    let post = "POST /v1/channels/victim/events HTTP/1.1\r\nHost: x\r\n";
    let half_body = format!("{post}Content-Length: 10\r\n\r\nhalf");
    let half_chunk = format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\nab");
    slow.spawn(dripping("headers", port, b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: "));
    slow.spawn(dripping("headers behind empty lines", port, b"\r\n\r\nGET /health/live HTTP"));
    slow.spawn(silent("not a word", port, b""));
    slow.spawn(silent("half a request", port, b"GET /health/live HTTP/1.1\r\nHo"));
    slow.spawn(silent("half a preface", port, &PREFACE[..10]));
    slow.spawn(silent("a preface alone", port, PREFACE));
    slow.spawn(without_pong("HTTP/2 without answers", port));
    slow.spawn(half_a_body("half a body", port, half_body));
    slow.spawn(half_a_body("half a chunk", port, half_chunk));
    slow.spawn(half_a_body_in_http2(port));
    slow.spawn(silent_session("a silent session", port, Vec::new()));
    let head = frame_head(FINAL | TEXT, 1_000).to_vec();
    slow.spawn(silent_session("half a frame", port, head));
    slow.spawn(without_reading(port));
}

fn spawn_slow_handshakes(slow: &mut JoinSet<Checked>, port: u16, certificate: Certificate) {
    slow.spawn(silent("no TLS handshake", port, b""));
    slow.spawn(silent("half a TLS handshake", port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"));
    slow.spawn(async move {
        let http1 = silent_behind_tls("HTTP/1.1 behind TLS", port, &certificate, "http/1.1");
        let http2 = silent_behind_tls("HTTP/2 behind TLS", port, &certificate, "h2");
        let (http1, http2) = tokio::join!(http1, http2);
        http1.and(http2)
    });
}

/// A client that says this and then nothing more.
async fn silent(name: &'static str, port: u16, said: &'static [u8]) -> Checked {
    let mut socket = RawSocket::connect(port).await;
    socket.send(said).await;
    ends_by(name, &mut socket, HEADERS_TIMEOUT).await
}

/// A client that says this, and then a byte every second.
async fn dripping(name: &'static str, port: u16, said: &'static [u8]) -> Checked {
    let begun = Instant::now();
    let mut socket = RawSocket::connect(port).await;
    socket.send(said).await;
    while begun.elapsed() < HEADERS_TIMEOUT + GRACE {
        if socket.rest(Duration::from_secs(1)).await.is_some() {
            return check(name, begun, HEADERS_TIMEOUT);
        }
        socket.send(b"y").await;
    }
    Err(format!("{name}: not cut off"))
}

/// A client whose body stops in the middle.
async fn half_a_body(name: &'static str, port: u16, request: String) -> Checked {
    let begun = Instant::now();
    let mut socket = RawSocket::connect(port).await;
    socket.send(request).await;
    let Ok(answer) = tokio::time::timeout(BODY_IDLE_TIMEOUT + GRACE, socket.answer()).await else {
        return Err(format!("{name}: no answer"));
    };
    let code = answer.as_ref().and_then(|answer| answer.problem_code());
    if code.as_deref() != Some("body_incomplete") {
        return Err(format!("{name}: {answer:?}"));
    }
    check(name, begun, BODY_IDLE_TIMEOUT)?;
    match socket.rest(GRACE).await {
        Some(_) => Ok(()),
        None => Err(format!("{name}: the connection goes on")),
    }
}

/// The same on one stream of a connection that lives on.
async fn half_a_body_in_http2(port: u16) -> Checked {
    let name = "half a body in HTTP/2";
    let begun = Instant::now();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
    let mut client = Http2Client::open(stream).await;
    let post = Request::post("http://localhost/v1/channels/victim/events");
    let asking = client.request_without_end(post, b"half");
    let answer = tokio::time::timeout(BODY_IDLE_TIMEOUT + GRACE, asking).await;
    let answer = answer.map_err(|_| format!("{name}: no answer"))?;
    let answer = answer.map_err(|error| format!("{name}: {error}"))?;
    if answer.status() != 408 {
        return Err(format!("{name}: {answer:?}"));
    }
    check(name, begun, BODY_IDLE_TIMEOUT)?;
    let live = client.request(Request::get("http://localhost/health/live"), b"").await;
    let live = live.map_err(|error| format!("{name}: then {error}"))?;
    text_of(live.into_body()).await.map(drop).map_err(|error| format!("{name}: then {error}"))
}

/// A client of HTTP/2 that never answers a ping.
async fn without_pong(name: &'static str, port: u16) -> Checked {
    let mut socket = RawSocket::connect(port).await;
    socket.send(PREFACE).await;
    socket.send(http2_frame(SETTINGS, 0, 0, b"")).await;
    ends_by(name, &mut socket, HEARTBEAT * 2).await
}

/// A session that says this and then nothing more, not even pongs.
async fn silent_session(name: &'static str, port: u16, said: Vec<u8>) -> Checked {
    let begun = Instant::now();
    let mut session = RawWebSocket::open(port).await;
    session.socket.send(said).await;
    let Ok(code) = tokio::time::timeout(HEARTBEAT * 2 + GRACE, session.close_code()).await else {
        return Err(format!("{name}: not cut off"));
    };
    match code {
        Some(1001) => check(name, begun, HEARTBEAT * 2),
        code => Err(format!("{name}: closed with {code:?}")),
    }
}

/// A reader of an event stream that takes nothing: what it finds when it looks at last is far less
/// than there is, and then the end.
async fn without_reading(port: u16) -> Checked {
    let mut socket = RawSocket::connect_with_little_room(port).await;
    let head = "GET /v1/channels/much/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n";
    socket.push(format!("{head}\r\n").as_bytes()).await;
    // Nothing tells this client that it was cut off before it reads.
    tokio::time::sleep(HEARTBEAT * 2 + GRACE).await;
    match socket.rest(GRACE).await {
        Some(rest) if rest.len() < MUCH_BYTES / 2 => Ok(()),
        Some(rest) => Err(format!("a reader that does not read: got {} bytes", rest.len())),
        None => Err("a reader that does not read: not cut off".to_owned()),
    }
}

async fn silent_behind_tls(
    name: &'static str,
    port: u16,
    certificate: &Certificate,
    protocol: &str,
) -> Checked {
    let stream = certificate.connect(port, rustls::ALL_VERSIONS, &[protocol]).await;
    ends_by(name, &mut RawSocket::new(stream), HEADERS_TIMEOUT).await
}

/// Whether the server hangs up when it should.
async fn ends_by<S>(name: &'static str, socket: &mut RawSocket<S>, expected: Duration) -> Checked
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite,
{
    let begun = Instant::now();
    match socket.rest(expected + GRACE).await {
        Some(_) => check(name, begun, expected),
        None => Err(format!("{name}: not cut off")),
    }
}

fn check(name: &str, begun: Instant, expected: Duration) -> Checked {
    let took = begun.elapsed();
    match took + EARLY >= expected && took <= expected + GRACE {
        true => Ok(()),
        false => Err(format!("{name}: cut off after {took:?}, not {expected:?}")),
    }
}

async fn publish_much(server: &RunningServer) {
    let client = server.client();
    let data = Some(b"x".repeat(MUCH_BYTES / MUCH_EVENTS).into());
    let data_content_type = Some("text/plain".to_owned());
    let draft = tl_client::Draft { data, data_content_type, ..Default::default() };
    for _ in 0..MUCH_EVENTS {
        client.publish("much", &draft).await.expect("a receipt");
    }
}

fn options() -> ServerOptions {
    ServerOptions::default()
}

/// Short, so that the dead are found within the other times.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// On a busy machine.
const GRACE: Duration = Duration::from_secs(5);
/// Clocks begin a little apart.
const EARLY: Duration = Duration::from_secs(1);
/// More than all buffers between server and client hold.
const MUCH_BYTES: usize = 32 * 1024 * 1024;
const MUCH_EVENTS: usize = 64;
