//! Bodies that are legal to send and cost far more to read than to write.

use std::io::Write;

use tl_conformance::{RawSocket, RunningServer, Vitals};

use super::{GROWTH_KIB_MAX, events_in, server};

/// However a body is filled, reading it costs a few times its size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_costs_much_more_than_its_size() {
    let batch = "application/cloudevents-batch+json";
    let lines = "application/x-ndjson";
    let event = "application/cloudevents+json";
    let half = BODY_BYTES / 2 - 10;
    let bodies = [
        ("brackets", event, b"[".repeat(BODY_BYTES)),
        ("braces", event, b"{\"a\":".repeat(BODY_BYTES / 5)),
        ("brackets in an extension", event, [&b"{\"a\":"[..], &b"[".repeat(half)].concat()),
        ("a long number", event, [&b"{\"data\":"[..], &b"9".repeat(half), b"}"].concat()),
        ("escapes", event, [&b"{\"id\":\""[..], &b"\\u0000".repeat(half / 6), b"\"}"].concat()),
        ("many extensions", event, extensions()),
        ("numbers in lines", lines, b"1\n".repeat(BODY_BYTES / 2)),
        ("empty lines", lines, b"\n".repeat(BODY_BYTES)),
        ("empty events in lines", lines, b"{}\n".repeat(BODY_BYTES / 3)),
        ("numbers in an array", batch, [&b"["[..], &b"1,".repeat(half), b"1]"].concat()),
        ("brackets in an array", batch, b"[".repeat(BODY_BYTES)),
    ];
    let mut findings = Vec::new();
    for (name, content_type, body) in bodies {
        let server = server();
        let vitals = Vitals::watch(&server).await;
        let status = publish(&server, content_type, &body).await;
        if !matches!(status, Some(400 | 413)) {
            findings.push(format!("{name}: {status:?}"));
        }
        let growth = vitals.growth_kib();
        if growth > GROWTH_KIB_MAX {
            findings.push(format!("{name}: {} KiB for {} KiB", growth, body.len() / 1024));
        }
        assert_eq!(events_in(&server.client(), "victim").await, 0);
        vitals.are_good(u64::MAX).await;
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

/// However much comes out of a body that is packed, no more of it is unpacked than is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_packed_body_costs_more_than_may_come_out_of_it() {
    let plain = vec![b' '; 8 * BODY_BYTES];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("packs");
    let gzip = gzip.finish().expect("packs");
    let mut br = Vec::new();
    brotli::CompressorWriter::new(&mut br, 4_096, 1, 24).write_all(&plain).expect("packs");
    let zstd = zstd::bulk::compress(&plain, 1).expect("packs");
    for (coding, body) in [("gzip", gzip.repeat(8)), ("br", br), ("zstd", zstd.repeat(8))] {
        let server = server();
        let vitals = Vitals::watch(&server).await;
        for _ in 0..8 {
            let mut socket = RawSocket::connect(server.port()).await;
            let head = format!(
                "POST /v1/channels/victim/events HTTP/1.1\r\nHost: x\r\nContent-Encoding: {coding}\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            socket.send(head).await;
            socket.send(&body).await;
            let answer = socket.answer().await.expect("an answer");
            assert_eq!(answer.problem_code().as_deref(), Some("body_too_large"), "{coding}");
        }
        assert_eq!(events_in(&server.client(), "victim").await, 0);
        vitals.are_good(UNPACKED_GROWTH_KIB_MAX).await;
    }
}

/// Bodies that many clients begin and none ends are held within bounds for all together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_do_not_end_are_held_within_bounds() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let body = b"x".repeat(BODY_BYTES - 1);
    let mut sockets = Vec::new();
    for _ in 0..UNFINISHED {
        let mut socket = RawSocket::connect(server.port()).await;
        socket.push(&head("text/plain", BODY_BYTES)).await;
        socket.push(&body).await;
        sockets.push(socket);
    }
    assert_eq!(events_in(&server.client(), "victim").await, 0);
    drop(sockets);
    vitals.are_good(UNFINISHED_GROWTH_KIB_MAX).await;
}

fn extensions() -> Vec<u8> {
    let mut body = b"{\"a\":1".to_vec();
    for number in 0..BODY_BYTES / 20 {
        body.extend_from_slice(format!(",\"x{number}\":1").as_bytes());
    }
    body.push(b'}');
    body
}

async fn publish(server: &RunningServer, content_type: &str, body: &[u8]) -> Option<u16> {
    let mut socket = RawSocket::connect(server.port()).await;
    socket.send(head(content_type, body.len())).await;
    socket.send(body).await;
    socket.answer().await.map(|answer| answer.status)
}

fn head(content_type: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "POST /v1/channels/victim/events HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    head.into_bytes()
}

/// The largest that is read.
const BODY_BYTES: usize = 8 * 1024 * 1024;
/// Requests of the largest size under way at once.
const UNFINISHED: usize = 64;
/// Bodies that are being unpacked on both processors, with a window of brotli of 16 MiB each.
const UNPACKED_GROWTH_KIB_MAX: u64 = 160 * 1024;
/// The publish queue's limit is 64 MiB; bodies before it should not be allowed many times that.
const UNFINISHED_GROWTH_KIB_MAX: u64 = 256 * 1024;
