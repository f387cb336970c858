//! What is no legal HTTP/2, and far too much of what is.

use bytes::{Buf, BytesMut};
use http::Request;
use tl_conformance::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2Client, PING, PREFACE,
    PRIORITY, RST_STREAM, RawHttp2, SETTINGS, WINDOW_UPDATE, header_block, http2_frame,
    stream_header_block,
};
use tl_conformance::{RawSocket, RunningServer, ServerOptions, Vitals};
use tl_model::limits::{HTTP2_STREAMS_MAX, SEND_BYTES_MAX};
use tokio::net::TcpStream;

use super::{GROWTH_KIB_MAX, server};

/// RFC 9113 §5.4.1: an error of the connection is told, and the connection ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_break_http2_end_the_connection() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let mut findings = Vec::new();
    for (name, sent) in broken_frames() {
        let mut connection = RawHttp2::open(server.port()).await;
        connection.socket.send(&sent).await;
        if !is_told_goodbye(&mut connection).await {
            findings.push(name);
        }
    }
    let mut garbage = RawSocket::connect(server.port()).await;
    garbage.send([PREFACE, &[0xfe; 64 * 1024]].concat()).await;
    assert!(garbage.rest(std::time::Duration::from_secs(5)).await.is_some(), "garbage ends it");
    vitals.are_good(GROWTH_KIB_MAX).await;
    assert!(findings.is_empty(), "not ended: {findings:#?}");
}

fn broken_frames() -> Vec<(&'static str, BytesMut)> {
    let get = header_block("/health/live");
    let whole = END_HEADERS | END_STREAM;
    vec![
        ("a frame too long", http2_frame(DATA, 0, 1, &[0; 16 * 1024 + 1])),
        ("headers of stream 0", http2_frame(HEADERS, whole, 0, &get)),
        ("headers of an even stream", http2_frame(HEADERS, whole, 2, &get)),
        ("headers that are none", http2_frame(HEADERS, whole, 1, &[0xff; 100])),
        ("an index beyond the table", http2_frame(HEADERS, whole, 1, &[0xff, 0xff, 0xff, 0x7f])),
        ("data of an idle stream", http2_frame(DATA, END_STREAM, 1, b"x")),
        ("padding longer than the frame", http2_frame(DATA, 0x8, 1, &[200, 1])),
        ("a continuation of nothing", http2_frame(CONTINUATION, END_HEADERS, 1, &get)),
        ("a short ping", http2_frame(PING, 0, 0, b"short")),
        ("a ping of a stream", http2_frame(PING, 0, 1, b"12345678")),
        ("half a setting", http2_frame(SETTINGS, 0, 0, b"abc")),
        ("settings of a stream", http2_frame(SETTINGS, 0, 1, b"")),
        (
            "a window beyond all bounds",
            http2_frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        ),
        ("a window that overflows", http2_frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("a reset of stream 0", http2_frame(RST_STREAM, 0, 0, &[0, 0, 0, 8])),
        ("a reset of an idle stream", http2_frame(RST_STREAM, 0, 99, &[0, 0, 0, 8])),
        ("a push", http2_frame(5, END_HEADERS, 1, &[0, 0, 0, 2])),
    ]
}

/// Whether the connection ends with GOAWAY; a server may also just hang up on what is no HTTP/2.
async fn is_told_goodbye(connection: &mut RawHttp2) -> bool {
    let goodbye = async {
        while let Some(frame) = connection.next().await {
            if frame.kind == GOAWAY {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), goodbye).await.is_ok()
}

/// Floods are answered or end the connection; the server and its other clients do not mind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_http2_frames_are_borne() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    for (name, sent) in floods() {
        let mut connection = RawHttp2::open(server.port()).await;
        connection.socket.send(&sent).await;
        connection.socket.end().await;
        let rest = connection.socket.rest(std::time::Duration::from_secs(30)).await;
        assert!(rest.is_some(), "{name}: the connection ends with its client");
        // The same from a client that takes no answer.
        let mut connection = RawHttp2::open(server.port()).await;
        connection.socket.push(&sent).await;
    }
    vitals.are_good(GROWTH_KIB_MAX).await;
}

fn floods() -> Vec<(&'static str, Vec<u8>)> {
    let stream = |number: u32| number * 2 + 1;
    let get = header_block("/v1/channels/a/events?wait=30");
    let of_streams = |make: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> {
        (0..FLOOD).flat_map(|number| make(stream(number))).collect()
    };
    let rapid_reset = |stream| {
        let request = http2_frame(HEADERS, END_HEADERS | END_STREAM, stream, &get);
        [request, http2_frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let overflow = |stream| {
        let request = http2_frame(HEADERS, END_HEADERS, stream, &get);
        [request, http2_frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 0])].concat()
    };
    let mut endless = http2_frame(HEADERS, 0, 1, &get).to_vec();
    // Literal headers of 4 KiB each that do not go into the table.
    let header = [&[0, 1, b'x', 0x7f, 0x81, 0x1f][..], &[b'y'; 4_096]].concat();
    endless.extend(http2_frame(CONTINUATION, 0, 1, &header.repeat(3)).repeat(5_000));
    // One header of 4,000 bytes goes into the table, and is then named again and again.
    let mut bomb = get.clone();
    bomb.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend_from_slice(&[b'y'; 4_000]);
    bomb.extend_from_slice(&[0xbe; 12_000]);
    let window = http2_frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    vec![
        ("settings", http2_frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(FLOOD as usize)),
        ("windows up and down", [&window[..], &WINDOW_OPEN].concat().repeat(FLOOD as usize)),
        ("pings", http2_frame(PING, 0, 0, b"12345678").repeat(FLOOD as usize)),
        ("priorities", of_streams(&|it| http2_frame(PRIORITY, 0, it, &[0; 5]).to_vec())),
        ("empty data", empty_data()),
        ("rapid resets", of_streams(&rapid_reset)),
        ("resets by the server", of_streams(&overflow)),
        ("endless headers", endless),
        ("headers that unpack", (0..500).flat_map(|it| bomb_on(stream(it), &bomb)).collect()),
        ("unknown frames", http2_frame(0xbe, 0xff, 0, &[0; 100]).repeat(FLOOD as usize)),
    ]
}

/// SETTINGS with an initial window of 64 KiB.
const WINDOW_OPEN: [u8; 15] = [0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0];

fn empty_data() -> Vec<u8> {
    let mut post = http2_frame(HEADERS, END_HEADERS, 1, &header_block("/health/live")).to_vec();
    post.extend(http2_frame(DATA, 0, 1, b"").repeat(FLOOD as usize));
    post
}

fn bomb_on(stream: u32, bomb: &[u8]) -> Vec<u8> {
    http2_frame(HEADERS, END_HEADERS | END_STREAM, stream, bomb).to_vec()
}

/// A list of headers beyond the limit is refused, and the connection goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_headers_are_refused_in_http2_too() {
    let server = server();
    let stream = TcpStream::connect(("127.0.0.1", server.port())).await.expect("connects");
    let mut client = Http2Client::open(stream).await;
    let live = || Request::get("http://localhost/health/live");
    let huge = live().header("x", "y".repeat(40_000));
    let huge = client.request(huge, b"").await.map(|answer| answer.status().as_u16());
    let many = (0..200).fold(live(), |request, number| request.header(format!("x-{number}"), "y"));
    let many = client.request(many, b"").await.map(|answer| answer.status().as_u16());
    assert_eq!(huge.expect("an answer"), 431, "40 KB in one header");
    assert_eq!(client.request(live(), b"").await.expect("an answer").status(), 200);
    assert_eq!(many.expect("an answer"), 431, "200 headers");
}

/// One stream more than the limit is refused alone; the others wait, and are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_too_many_is_refused_alone() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let mut connection = RawHttp2::open(server.port()).await;
    let get = header_block("/v1/channels/crowd/events?wait=50");
    for number in 0..=HTTP2_STREAMS_MAX {
        let whole = END_HEADERS | END_STREAM;
        connection.socket.send(http2_frame(HEADERS, whole, number * 2 + 1, &get)).await;
    }
    let last = HTTP2_STREAMS_MAX * 2 + 1;
    let refused = loop {
        let frame = connection.next().await.expect("the connection goes on");
        assert_ne!(frame.kind, GOAWAY, "{frame:?}");
        if frame.kind == RST_STREAM {
            break (frame.stream, frame.payload.clone().get_u32());
        }
    };
    assert_eq!(refused, (last, REFUSED_STREAM));
    publish_to(&server, "crowd").await;
    let mut answered = 0;
    while answered < HTTP2_STREAMS_MAX {
        let frame = connection.next().await.expect("the connection goes on");
        answered += u32::from(frame.kind == HEADERS);
        if frame.kind == DATA {
            let room = (frame.payload.len() as u32).max(1).to_be_bytes();
            connection.socket.send(http2_frame(WINDOW_UPDATE, 0, 0, &room)).await;
        }
    }
    vitals.are_good(GROWTH_KIB_MAX).await;
}

/// RFC 9113 §6.7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_is_answered_with_what_it_said() {
    let server = server();
    let mut connection = RawHttp2::open(server.port()).await;
    connection.socket.send(http2_frame(PING, 0, 0, b"12345678")).await;
    let pong = loop {
        let frame = connection.next().await.expect("the connection goes on");
        if frame.kind == PING && frame.payload == b"12345678"[..] {
            break frame;
        }
    };
    assert_eq!((pong.flags, pong.stream), (ACK, 0));
}

/// A client says that it takes everything, on as many streams as it may have, and then takes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_http2_that_nobody_reads_hold_little() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = Some(home.path().join("data"));
    let options = ServerOptions { data, ..ServerOptions::default() };
    publish_much(RunningServer::start(&options)).await;
    // A new start has nothing in memory that streams could share.
    let server = RunningServer::start(&options);
    let vitals = Vitals::watch(&server).await;
    let mut connection = RawHttp2::open(server.port()).await;
    let window = [&[0, 4][..], &WINDOW_MAX.to_be_bytes()].concat();
    let mut sent = http2_frame(SETTINGS, 0, 0, &window);
    sent.extend(http2_frame(WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - 0xffff).to_be_bytes()));
    let get = stream_header_block("/v1/channels/much/events");
    for number in 0..HTTP2_STREAMS_MAX {
        sent.extend(http2_frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &get));
    }
    connection.socket.push(&sent).await;
    grown_up(&server, &vitals).await;
    vitals.are_good(UNREAD_GROWTH_KIB_MAX).await;
}

/// Asks for this and that until the server grows no more.
async fn grown_up(server: &RunningServer, vitals: &Vitals<'_>) {
    loop {
        let before_kib = vitals.growth_kib();
        for _ in 0..50 {
            publish_to(server, "others").await;
        }
        if vitals.growth_kib() <= before_kib + 512 {
            return;
        }
    }
}

async fn publish_much(server: RunningServer) {
    let client = server.client();
    let data = Some(vec![b'x'; 16 * 1024].into());
    let data_content_type = Some("text/plain".to_owned());
    let draft = tl_client::Draft { data, data_content_type, ..Default::default() };
    for _ in 0..256 {
        client.publish("much", &draft).await.expect("a receipt");
    }
    server.stop();
}

async fn publish_to(server: &RunningServer, channel: &str) {
    server.client().publish(channel, &Default::default()).await.expect("a receipt");
}

const FLOOD: u32 = 10_000;
/// RFC 9113 §7.
const REFUSED_STREAM: u32 = 7;
/// What a frame answers.
const ACK: u8 = 0x1;
/// RFC 9113 §6.9.1.
const WINDOW_MAX: u32 = 0x7fff_ffff;
/// For each stream what may wait to be sent, a piece more that is ready, and what was read for it.
const UNREAD_GROWTH_KIB_MAX: u64 = HTTP2_STREAMS_MAX as u64 * 4 * SEND_BYTES_MAX as u64 / 1024;
