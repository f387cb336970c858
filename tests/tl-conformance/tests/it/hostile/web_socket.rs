//! What is no WebSocket: handshakes and frames that break RFC 6455.

use tl_conformance::web_socket::{
    BINARY, CLOSE, CONTINUATION, FINAL, HANDSHAKE, PING, RawWebSocket, TEXT, frame, frame_head,
    handshake,
};
use tl_conformance::{Answer, RawSocket, Vitals};

use super::{GROWTH_KIB_MAX, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_is_told_what_is_missing() {
    let server = server();
    let without = |field: &str| {
        let fields = HANDSHAKE.split_inclusive("\r\n");
        fields.filter(|line| !line.starts_with(field)).collect::<String>()
    };
    let get = |headers: &str| handshake("GET", "HTTP/1.1", headers);
    let key = |key: &str| get(&(without("Sec-WebSocket-Key") + key));
    let version = |version: &str| get(&(without("Sec-WebSocket-Version") + version));
    let also = |header: &str| get(&[HANDSHAKE, header].concat());
    let upgrade = |header: &str| get(&(without("Upgrade") + header));
    let cases = [
        (426, "upgrade_required", get("")),
        (426, "upgrade_required", get(&without("Connection"))),
        (426, "upgrade_required", upgrade("")),
        (426, "upgrade_required", upgrade("Upgrade: h2c\r\n")),
        (426, "upgrade_required", version("")),
        (426, "upgrade_required", version("Sec-WebSocket-Version: 8\r\n")),
        (426, "upgrade_required", version("Sec-WebSocket-Version: 13, 8\r\n")),
        (400, "parameter_invalid", key("")),
        (400, "parameter_invalid", key("Sec-WebSocket-Key: \r\n")),
        (400, "parameter_invalid", key("Sec-WebSocket-Key: eA==\r\n")),
        (400, "parameter_invalid", key("Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n")),
        (400, "parameter_invalid", key(&format!("Sec-WebSocket-Key: {}\r\n", "A".repeat(9_000)))),
        (400, "parameter_invalid", also("Sec-WebSocket-Protocol: soap\r\n")),
        (400, "parameter_invalid", also("Sec-WebSocket-Protocol: ,,,\r\n")),
        (403, "origin_forbidden", also("Origin: http://elsewhere.example\r\n")),
        (405, "method_not_allowed", handshake("POST", "HTTP/1.1", HANDSHAKE)),
        (405, "method_not_allowed", handshake("PUT", "HTTP/1.1", HANDSHAKE)),
    ];
    for (status, code, request) in cases {
        let answer = ask(server.port(), &request).await.expect("an answer");
        let told = answer.problem_code();
        assert_eq!((answer.status, told.as_deref()), (status, Some(code)), "{request}");
        let advice = answer.header("sec-websocket-version");
        assert_eq!(advice, (status == 426).then_some("13"), "{request}");
    }
}

/// RFC 6455 §4.1: the method is GET, the version of HTTP at least 1.1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_method_and_no_older_http_opens_a_session() {
    let server = server();
    let mut findings = Vec::new();
    for (method, version) in [("HEAD", "HTTP/1.1"), ("GET", "HTTP/1.0")] {
        let mut socket = RawSocket::connect(server.port()).await;
        socket.send(handshake(method, version, HANDSHAKE)).await;
        let answer = socket.head().await;
        if answer.as_ref().is_none_or(|answer| !(400..500).contains(&answer.status)) {
            findings.push(format!("{method} {version}: {answer:?}"));
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_break_the_protocol_end_the_session_with_their_code() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let mut findings = Vec::new();
    for (name, expected, sent) in broken_frames() {
        let mut session = RawWebSocket::open(server.port()).await;
        session.socket.send(&sent).await;
        let code = session.close_code().await;
        if code != expected {
            findings.push(format!("{name}: closed with {code:?}, not {expected:?}"));
        }
    }
    vitals.are_good(GROWTH_KIB_MAX).await;
    assert!(findings.is_empty(), "{findings:#?}");
}

fn broken_frames() -> Vec<(&'static str, Option<u16>, Vec<u8>)> {
    let one = |first: u8, payload: &[u8]| frame(first, payload).to_vec();
    let (text, bytes) = (FINAL | TEXT, FINAL | BINARY);
    let head = |first: u8, len: u64| frame_head(first, len).to_vec();
    let euro = "€".as_bytes();
    let three_megabytes = vec![b'x'; 3 * 1024 * 1024];
    let close = |code: u16| one(FINAL | CLOSE, &code.to_be_bytes());
    let protocol = Some(1002);
    vec![
        ("no mask", protocol, vec![text, 2, b'{', b'}']),
        ("no mask on a ping", protocol, vec![FINAL | PING, 0]),
        ("reserved bit 1", protocol, one(text | 0x40, b"{}")),
        ("reserved bit 3", protocol, one(text | 0x10, b"{}")),
        ("unknown opcode 3", protocol, one(FINAL | 0x3, b"")),
        ("unknown opcode 15", protocol, one(FINAL | 0xf, b"")),
        ("a continuation of nothing", protocol, one(FINAL | CONTINUATION, b"x")),
        ("two beginnings", protocol, [one(TEXT, b"x"), one(text, b"x")].concat()),
        ("a ping in parts", protocol, one(PING, b"")),
        ("a long ping", protocol, one(FINAL | PING, &[0; 126])),
        ("half a close code", protocol, one(FINAL | CLOSE, b"\x03")),
        ("close code 0", protocol, close(0)),
        ("close code 999", protocol, close(999)),
        ("close code 1005", protocol, close(1005)),
        ("close code 1006", protocol, close(1006)),
        ("close code 1015", protocol, close(1015)),
        ("close code 5000", protocol, close(5000)),
        ("a close reason that is no text", Some(1007), one(FINAL | CLOSE, b"\x03\xe8\xff")),
        ("text that is no UTF-8", Some(1007), one(text, b"\xff")),
        ("half a character", Some(1007), one(text, &euro[..2])),
        ("a surrogate", Some(1007), one(text, b"\xed\xa0\x80")),
        ("text noticed before its end", Some(1007), one(TEXT, b"\xc0")),
        ("a frame of 1 TB", Some(1009), head(text, 1 << 40)),
        ("a frame of 2^63", Some(1009), head(bytes, 1 << 63)),
        ("a frame of 2^64 - 1", Some(1009), head(bytes, u64::MAX)),
        ("a byte too many", Some(1009), head(text, 4 * 1024 * 1024 + 1)),
        (
            "parts too long together",
            Some(1009),
            [one(TEXT, &three_megabytes), one(FINAL | CONTINUATION, &three_megabytes)].concat(),
        ),
        ("a good end", Some(1000), close(1000)),
        ("a good end of an application", Some(4321), close(4321)),
        ("an end without a code", None, one(FINAL | CLOSE, b"")),
    ]
}

/// Frames may come with the handshake, in one write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_with_the_handshake_is_read() {
    let server = server();
    let mut socket = RawSocket::connect(server.port()).await;
    let frame = frame(FINAL | PING, b"early");
    let sent = [handshake("GET", "HTTP/1.1", HANDSHAKE).as_bytes(), &frame].concat();
    socket.send(sent).await;
    assert_eq!(socket.answer().await.map(|answer| answer.status), Some(101));
    assert!(socket.read_until("early").await);
}

async fn ask(port: u16, request: &str) -> Option<Answer> {
    let mut socket = RawSocket::connect(port).await;
    socket.send(request).await;
    socket.answer().await
}
