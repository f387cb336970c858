//! Reading what was logged before, over each transport, against reading it in one process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use memchr::memmem;

use tl_conformance::{RunningServer, ServerOptions};
use tl_model::Form;
use tl_store_disk::{DiskStore, Options};

use crate::figures::Figures;
use crate::readers::Readers;
use crate::sessions::{self, Sessions, Shape};
use crate::tally::{self, CHANNEL, Tally, Times};
use crate::transport::{Transport, Wish, connect};
use crate::{Runs, machine, store};

/// One reader reads one channel from the beginning, again and again.
pub(crate) fn run(runs: &Runs) -> Figures {
    let home = tempfile::tempdir().expect("a temporary directory");
    let directory = home.path().join("data");
    let in_process = std::thread::scope(|scope| {
        let filled = scope.spawn(|| fill(&directory));
        filled.join().expect("it does not panic");
        scope.spawn(|| in_process(&directory, runs)).join().expect("it does not panic")
    });
    machine::stay_on(machine::LOAD_CORE);
    // Nothing of what is read is in its memory.
    let server = start(&directory);
    let (mut pages, mut sse, mut web_socket) = Default::default();
    for _ in 0..turns(runs) {
        pages += over_pages(server.port());
        sse += subscribed(server.port(), Transport::Sse);
        web_socket += subscribed(server.port(), Transport::WebSocket);
    }
    let mut figures = Figures::default();
    let rate = |elapsed: Duration| (EVENTS * turns(runs)) as f64 / elapsed.as_secs_f64();
    figures.note("bare: in one process: events/s", rate(in_process));
    for (name, elapsed) in [("pages", pages), ("SSE", sse), ("WebSocket", web_socket)] {
        figures.note(format!("{name}: events/s"), rate(elapsed));
        figures.note(format!("{name}: ratio to one process"), rate(elapsed) / rate(in_process));
    }
    figures
}

fn turns(runs: &Runs) -> u64 {
    runs.seconds
}

fn start(directory: &Path) -> RunningServer {
    let (core, data) = (Some(machine::SERVER_CORE), Some(directory.to_owned()));
    RunningServer::start(&ServerOptions { core, data, ..ServerOptions::default() })
}

fn fill(directory: &Path) {
    machine::stay_on(machine::LOAD_CORE);
    let server = start(directory);
    let shape = Shape { form: Form::Protobuf, events: EVENTS_OF_A_FRAME };
    let frames = EVENTS / EVENTS_OF_A_FRAME as u64;
    Sessions::open(server.port(), 1, shape).publish_frames(frames);
    server.stop();
}

/// On the server's core.
fn in_process(directory: &Path, runs: &Runs) -> Duration {
    machine::stay_on(machine::SERVER_CORE);
    let store = DiskStore::open(&Options::new(directory)).expect("the store opens");
    let read = |_| {
        let (events, elapsed) = store::read_all(&store, CHANNEL);
        assert_eq!(events as u64, EVENTS);
        elapsed
    };
    read(0);
    (0..turns(runs)).map(read).sum()
}

/// All events, by a reader that goes on as far as its connection allows.
fn subscribed(port: u16, transport: Transport) -> Duration {
    let begun = Instant::now();
    let mut readers = Readers::start(begun);
    let mut stream = connect(port);
    let wish = Wish { channels: &[CHANNEL], after: "earliest" };
    transport.ask(wish, &mut stream).expect("the server takes it");
    let who = readers.add(vec![stream], 0);
    readers.receive(who, all());
    begun.elapsed()
}

/// All events, in pages as large as there are.
fn over_pages(port: u16) -> Duration {
    let (begun, mut stream, mut inbox) = (Instant::now(), connect(port), Vec::new());
    let (mut tally, mut cursor, finder) =
        (Tally::default(), "earliest".to_owned(), tally::finder());
    while tally.events < EVENTS {
        let request = format!(
            "GET /v1/channels/{CHANNEL}/events?after={cursor}&limit=1000 HTTP/1.1\r\n\
             Host: localhost\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the server takes it");
        let body = read_body(&mut stream, &mut inbox);
        let page: Tally = Times::new(body, &finder).map(Tally::one).sum();
        assert!(page.events > 0, "the log has more");
        tally += page;
        cursor = cursor_of(body);
    }
    assert_eq!(tally, all());
    begun.elapsed()
}

/// Where the next page begins.
fn cursor_of(page: &[u8]) -> String {
    let rest = page.strip_prefix(b"{\"cursor\":\"").expect("a page begins so");
    let end = memchr::memchr(b'"', rest).expect("a text ends");
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

/// Reads an answer, and returns its body.
fn read_body<'a>(stream: &mut TcpStream, inbox: &'a mut Vec<u8>) -> &'a [u8] {
    inbox.clear();
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        let read = stream.read(&mut buffer).expect("the server answers");
        assert!(read > 0, "the server goes on");
        inbox.extend_from_slice(&buffer[..read]);
        let Some(head) = memmem::find(inbox, b"\r\n\r\n").map(|end| end + 4) else { continue };
        if inbox.len() >= head + len_of_body(&inbox[..head]) {
            return &inbox[head..];
        }
    }
}

fn len_of_body(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).expect("a head is text");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (_, rest) = head.split_once("content-length: ").expect("a length is told");
    rest.lines().next().and_then(|len| len.parse().ok()).expect("a number")
}

fn all() -> Tally {
    Tally::one(sessions::AT).times(EVENTS)
}

const EVENTS: u64 = 100_000;
const EVENTS_OF_A_FRAME: usize = 16;
const BUFFER_BYTES: usize = 64 * 1024;
