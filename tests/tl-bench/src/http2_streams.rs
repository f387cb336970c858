//! 100,000 streams on 100 connections: what each takes, and how long one event needs to all of them.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tl_conformance::http2::{
    END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, header_block, http2_frame,
};
use tl_conformance::{RunningServer, ServerOptions};

use crate::figures::Figures;
use crate::publishers::Publisher;
use crate::readers::Readers;
use crate::tally::CHANNEL;
use crate::transport::connect;
use crate::{Runs, machine};

/// Streams of Server-Sent Events over HTTP/2.
pub(crate) fn run(_: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let server = RunningServer::start(&ServerOptions {
        core: Some(machine::SERVER_CORE),
        // Nobody here answers pings.
        config: "[connections]\nheartbeat = \"1h\"\n".to_owned(),
        ..Default::default()
    });
    let epoch = Instant::now();
    let mut publisher = Publisher::connect(server.port(), epoch);
    let mut published = publisher.publish();
    let (mut readers, before) = (Readers::start(epoch), machine::memory_of_process(server.id()));
    let opening = Instant::now();
    let mut all = readers.add(Vec::new(), SAMPLED);
    for _ in 0..CONNECTIONS {
        let who = readers.add(vec![open(server.port())], SAMPLED);
        readers.receive(who.clone(), published.times(STREAMS.into()));
        all.end = who.end;
    }
    let opened_in = opening.elapsed();
    std::thread::sleep(SETTLED_WITHIN);
    let memory = machine::memory_of_process(server.id()) - before;
    let mut figures = Figures::default();
    let streams = (CONNECTIONS * u64::from(STREAMS)) as f64;
    figures.note("bytes a stream", memory as f64 / streams);
    figures.note("streams opened in a second", streams / opened_in.as_secs_f64());
    let (begun, spent) = (Instant::now(), machine::time_of_process(server.id()));
    published += publisher.publish();
    let received = readers.receive(all, published.times(STREAMS.into()));
    figures.note("one event until all have it, ms", begun.elapsed().as_secs_f64() * 1e3);
    let spent = machine::time_of_process(server.id()) - spent;
    figures.note("processor time for a delivery, µs", spent.as_secs_f64() * 1e6 / streams);
    figures.note_latencies("one event from publishing to receiving", received.latencies);
    figures
}

/// A connection with as many streams as it may have, all from the beginning.
fn open(port: u16) -> TcpStream {
    let mut said = PREFACE.to_vec();
    said.extend_from_slice(&http2_frame(SETTINGS, 0, 0, b""));
    said.extend_from_slice(&http2_frame(WINDOW_UPDATE, 0, 0, &CONNECTION_WINDOW.to_be_bytes()));
    let block = request();
    for number in 0..STREAMS {
        let stream = 2 * number + 1;
        said.extend_from_slice(&http2_frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
    }
    let mut stream = connect(port);
    stream.write_all(&said).expect("the server takes it");
    stream
}

fn request() -> Vec<u8> {
    let mut block = header_block(&format!("/v1/channels/{CHANNEL}/events"));
    // `accept`, number 19 of RFC 7541's static table, not to be kept.
    block.extend_from_slice(&[0x0f, 0x04, ACCEPT.len() as u8]);
    block.extend_from_slice(ACCEPT);
    block
}

const CONNECTIONS: u64 = 100;
/// As many as one connection may have.
const STREAMS: u32 = 1_000;
const ACCEPT: &[u8] = b"text/event-stream";
/// All that may be added to the window of a connection, which nobody here widens later.
const CONNECTION_WINDOW: u32 = 0x7fff_ffff - 0xffff;
/// One event in so many is looked at for how late it is.
const SAMPLED: u64 = 16;
/// What opening leaves to do is done.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);
