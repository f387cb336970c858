//! Callers that cost next to nothing: frames of HTTP/2 that are made beforehand.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use tl_conformance::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, http2_frame,
};
use tl_model::Form;
use tl_wire::call;
use tl_wire::draft::Draft;
use tl_wire::generated::throughline::v1::{PublishRequest, SubscribeRequest};

use crate::tally::{self, CHANNEL};
use crate::transport;

/// A call as it travels.
#[derive(Clone)]
pub(super) struct Call {
    headers: Vec<u8>,
    body: Vec<u8>,
    /// Where the time stands in an event.
    digits: Option<usize>,
}

impl Call {
    /// Publishes an event of 128 bytes.
    pub(super) fn publish() -> Self {
        let data = Some(tally::data(0).into());
        let data_content_type = Some("application/json".to_owned());
        let event = Draft { data, data_content_type, ..Draft::default() };
        let channel = CHANNEL.to_owned();
        let request = PublishRequest { channel, events: vec![event], ..Default::default() };
        Self::new("/throughline.v1.EventService/Publish", &call::encode(Form::Protobuf, &request))
    }

    /// Has a message given back that is as long.
    pub(super) fn echo() -> Self {
        Self::new("/bench.Echo/Echo", tally::data(0).as_bytes())
    }

    /// Subscribes from the beginning.
    pub(super) fn subscribe() -> Self {
        let channels = vec![CHANNEL.to_owned()];
        let request = SubscribeRequest { channels, ..Default::default() };
        Self::new("/throughline.v1.EventService/Subscribe", &call::encode(Form::Protobuf, &request))
    }

    fn new(path: &str, message: &[u8]) -> Self {
        // :method POST, :scheme http, then names and values that are not kept (RFC 7541 §6.2.2).
        let mut headers = vec![0x83, 0x86];
        for (name, value) in [
            (":authority", "x"),
            (":path", path),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            headers.push(0);
            for text in [name, value] {
                headers.push(u8::try_from(text.len()).expect("short"));
                headers.extend_from_slice(text.as_bytes());
            }
        }
        let mut body = vec![0];
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
        body.extend_from_slice(message);
        let digits = tally::digits_in(&body);
        Self { headers, body, digits }
    }

    /// Adds the call to what is to be sent.
    pub(super) fn put(&mut self, stream: u32, at: u64, out: &mut Vec<u8>) {
        if let Some(digits) = self.digits {
            tally::stamp(&mut self.body[digits..], at);
        }
        out.extend_from_slice(&http2_frame(HEADERS, END_HEADERS, stream, &self.headers));
        out.extend_from_slice(&http2_frame(DATA, END_STREAM, stream, &self.body));
    }
}

/// Connections with calls under way, on this thread.
pub(super) struct Callers {
    poll: Poll,
    connections: Vec<Connection>,
    callers: usize,
    epoch: Instant,
    /// The times of all events that were published, added up.
    pub(super) times: u64,
}

struct Connection {
    stream: mio::net::TcpStream,
    call: Call,
    next: u32,
    inbox: Vec<u8>,
    out: Vec<u8>,
}

impl Callers {
    /// Connects. On each connection there are as many calls under way as there are callers.
    pub(super) fn connect(port: u16, call: &Call, connections: usize, callers: usize) -> Self {
        let poll = Poll::new().expect("the system polls");
        let open = |number| Connection::open(port, call.clone(), &poll, Token(number));
        let connections = (0..connections).map(open).collect();
        Self { poll, connections, callers, epoch: Instant::now(), times: 0 }
    }

    /// The same, whose events carry the time since `epoch`.
    pub(super) fn since(self, epoch: Instant) -> Self {
        Self { epoch, ..self }
    }

    /// Calls for a while, each caller waiting for its answer before it calls again, and for that of the
    /// last call. Returns how many were answered.
    pub(super) fn call_for(&mut self, time: Duration) -> u64 {
        let until = Instant::now() + time;
        self.call(|| Instant::now() < until)
    }

    /// Calls once, with each caller.
    pub(super) fn call_once(&mut self) -> u64 {
        self.call(|| false)
    }

    fn call(&mut self, goes_on: impl Fn() -> bool) -> u64 {
        let mut under_way = 0;
        for connection in &mut self.connections {
            for _ in 0..self.callers {
                self.times += connection.call(self.epoch);
            }
            connection.flush();
            under_way += self.callers;
        }
        let (mut answered, mut events) = (0, Events::with_capacity(1_024));
        while under_way > 0 {
            self.poll.poll(&mut events, None).expect("the system polls");
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                let ended = connection.receive();
                answered += ended as u64;
                if goes_on() {
                    (0..ended).for_each(|_| self.times += connection.call(self.epoch));
                } else {
                    under_way -= ended;
                }
                connection.flush();
            }
        }
        answered
    }
}

impl Connection {
    fn open(port: u16, call: Call, poll: &Poll, token: Token) -> Self {
        let stream = open(port);
        stream.set_nonblocking(true).expect("a socket has this option");
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, token, Interest::READABLE).expect("it can be polled");
        Self { stream, call, next: 1, inbox: Vec::new(), out: Vec::new() }
    }

    /// Returns the time that the event carries.
    fn call(&mut self, epoch: Instant) -> u64 {
        let at = epoch.elapsed().as_micros() as u64;
        self.call.put(self.next, at, &mut self.out);
        self.next += 2;
        at
    }

    fn flush(&mut self) {
        if !self.out.is_empty() {
            let written = self.stream.write(&self.out).expect("the server takes it");
            assert_eq!(written, self.out.len(), "a socket with so little under way has room");
            self.out.clear();
        }
    }

    /// Reads what there is; returns how many calls have ended.
    fn receive(&mut self) -> usize {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the server goes on"),
                Ok(read) => self.inbox.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the server goes on: {error}"),
            }
        }
        let (mut at, mut ended, mut answers) = (0, 0, 0);
        while let Some((head, rest)) = self.inbox[at..].split_at_checked(HEAD_BYTES) {
            let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some(payload) = rest.get(..len) else { break };
            let (kind, flags) = (head[3], head[4]);
            match kind {
                DATA if len > ENVELOPE_BYTES => answers += 1,
                SETTINGS if flags & ACK == 0 => {
                    self.out.extend_from_slice(&http2_frame(SETTINGS, ACK, 0, b""));
                }
                PING if flags & ACK == 0 => {
                    self.out.extend_from_slice(&http2_frame(PING, ACK, 0, payload));
                }
                _ => {}
            }
            let is_last = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
            ended += usize::from(is_last);
            at += HEAD_BYTES + len;
        }
        self.inbox.drain(..at);
        assert!(answers >= ended || !self.inbox.is_empty(), "every call has an answer");
        ended
    }
}

/// A connection of HTTP/2 on which the server may send as much as it likes.
pub(super) fn open(port: u16) -> TcpStream {
    let mut said = PREFACE.to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE
    let window = [&[0, 4][..], &STREAM_WINDOW.to_be_bytes()].concat();
    said.extend_from_slice(&http2_frame(SETTINGS, 0, 0, &window));
    said.extend_from_slice(&http2_frame(WINDOW_UPDATE, 0, 0, &CONNECTION_WINDOW.to_be_bytes()));
    let mut stream = transport::connect(port);
    stream.write_all(&said).expect("the server takes it");
    stream
}

const HEAD_BYTES: usize = 9;
/// What is around a message.
const ENVELOPE_BYTES: usize = 5;
const ACK: u8 = 1;
const STREAM_WINDOW: u32 = 0x7fff_ffff;
/// All that may be added to the window of a connection, which nobody here widens later.
const CONNECTION_WINDOW: u32 = 0x7fff_ffff - 0xffff;
