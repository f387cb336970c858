//! Publishers over HTTP/1.1 that cost next to nothing, so that the server is what is measured.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use memchr::memmem;
use mio::{Events, Interest, Poll, Token};

use crate::tally::{self, CHANNEL, Tally};
use crate::transport;

/// A connection that publishes one event after the other.
pub(crate) struct Publisher {
    stream: TcpStream,
    request: Request,
    epoch: Instant,
    inbox: Vec<u8>,
}

impl Publisher {
    /// Connects. Events carry the time since `epoch`.
    pub(crate) fn connect(port: u16, epoch: Instant) -> Self {
        let (stream, request) = (transport::connect(port), Request::to(CHANNEL));
        Self { stream, request, epoch, inbox: Vec::new() }
    }

    /// Publishes an event that says when, and waits for its receipt.
    pub(crate) fn publish(&mut self) -> Tally {
        let request = self.request.at(self.epoch);
        self.stream.write_all(request).expect("the server takes it");
        self.receive();
        self.request.published()
    }

    /// Publishes something large to another channel.
    pub(crate) fn publish_to(&mut self, channel: &str, body: &[u8]) {
        let head = head(channel, body.len());
        self.stream.write_all(&[head.as_bytes(), body].concat()).expect("the server takes it");
        self.receive();
    }

    fn receive(&mut self) {
        self.inbox.clear();
        let mut buffer = [0; ANSWER_BYTES_MAX];
        while !is_receipt(&self.inbox) {
            let read = self.stream.read(&mut buffer).expect("the server answers");
            assert!(read > 0, "the server goes on");
            self.inbox.extend_from_slice(&buffer[..read]);
        }
    }
}

/// Connections that publish at the same time, on this thread.
pub(crate) struct Publishers {
    poll: Poll,
    connections: Vec<Connection>,
    epoch: Instant,
}

struct Connection {
    stream: mio::net::TcpStream,
    request: Request,
    inbox: Vec<u8>,
}

impl Publishers {
    /// Connects so many.
    pub(crate) fn connect(port: u16, count: usize, epoch: Instant) -> Self {
        let poll = Poll::new().expect("the system polls");
        let connect = |number| Connection::open(port, &poll, Token(number));
        let connections = (0..count).map(connect).collect();
        Self { poll, connections, epoch }
    }

    /// All publish for a while, each waiting for its receipt before it publishes again, and for that of
    /// the last one.
    pub(crate) fn publish_for(&mut self, time: Duration) -> Tally {
        let (until, mut published) = (Instant::now() + time, Tally::default());
        self.connections.iter_mut().for_each(|connection| connection.publish(self.epoch));
        let (mut events, mut under_way) = (Events::with_capacity(1_024), self.connections.len());
        while under_way > 0 {
            self.poll.poll(&mut events, None).expect("the system polls");
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if !connection.has_receipt() {
                    continue;
                }
                published += connection.request.published();
                match Instant::now() < until {
                    true => connection.publish(self.epoch),
                    false => under_way -= 1,
                }
            }
        }
        published
    }
}

impl Connection {
    fn open(port: u16, poll: &Poll, token: Token) -> Self {
        let stream = transport::connect(port);
        stream.set_nonblocking(true).expect("a socket has this option");
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, token, Interest::READABLE).expect("it can be polled");
        let inbox = Vec::with_capacity(ANSWER_BYTES_MAX);
        Self { stream, request: Request::to(CHANNEL), inbox }
    }

    fn publish(&mut self, epoch: Instant) {
        let request = self.request.at(epoch);
        let written = self.stream.write(request).expect("the server takes it");
        assert_eq!(written, request.len(), "a socket without anything under way has room");
    }

    /// Reads what there is; returns whether the answer is whole.
    fn has_receipt(&mut self) -> bool {
        let mut buffer = [0; ANSWER_BYTES_MAX];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the server goes on"),
            Ok(read) => self.inbox.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the server answers: {error}"),
        }
        let is_whole = is_receipt(&self.inbox);
        if is_whole {
            self.inbox.clear();
        }
        is_whole
    }
}

/// A request that is written once, and gets another time whenever it is sent.
struct Request {
    bytes: Vec<u8>,
    digits: usize,
    at: u64,
}

impl Request {
    fn to(channel: &str) -> Self {
        let body = tally::data(0);
        let bytes = [head(channel, body.len()), body].concat().into_bytes();
        let digits = tally::digits_in(&bytes).expect("the data has a time");
        Self { bytes, digits, at: 0 }
    }

    fn at(&mut self, epoch: Instant) -> &[u8] {
        self.at = epoch.elapsed().as_micros() as u64;
        tally::stamp(&mut self.bytes[self.digits..], self.at);
        &self.bytes
    }

    fn published(&self) -> Tally {
        Tally::one(self.at)
    }
}

fn head(channel: &str, len: usize) -> String {
    format!(
        "POST /v1/channels/{channel}/events HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nContent-Length: {len}\r\n\r\n"
    )
}

/// Whether this is a whole answer. Any but a receipt is a mistake.
fn is_receipt(answer: &[u8]) -> bool {
    let Some(end) = memmem::find(answer, b"\r\n\r\n") else { return false };
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    let (_, rest) = head.split_once("content-length: ").expect("a length is told");
    let len: usize = rest.lines().next().and_then(|len| len.parse().ok()).expect("a number");
    answer.len() >= end + 4 + len
}

/// More than a receipt takes.
const ANSWER_BYTES_MAX: usize = 4 * 1024;
