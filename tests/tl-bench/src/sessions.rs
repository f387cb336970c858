//! WebSocket sessions that publish without waiting, and cost next to nothing.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use memchr::memmem;
use mio::{Events, Interest, Poll, Token};

use tl_conformance::web_socket::{BINARY, FINAL, HANDSHAKE, TEXT, frame, handshake};
use tl_model::Form;
use tl_wire::draft::Draft;
use tl_wire::frame::write_client;
use tl_wire::generated::throughline::v1 as contract;

use crate::tally::{self, CHANNEL};
use crate::transport;

/// Sessions that publish at the same time, on this thread.
pub(crate) struct Sessions {
    poll: Poll,
    sessions: Vec<Session>,
}

/// What a frame is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) form: Form,
    /// Events in each frame.
    pub(crate) events: usize,
}

impl Sessions {
    /// Opens so many, each of which has up to [`UNDER_WAY_MAX`] frames under way.
    pub(crate) fn open(port: u16, count: usize, shape: Shape) -> Self {
        let poll = Poll::new().expect("the system polls");
        let ring = Ring::new(shape);
        let open = |number| Session::open(port, &poll, Token(number), shape.form, ring.clone());
        let sessions = (0..count).map(open).collect();
        Self { poll, sessions }
    }

    /// All publish for a while, then wait for their receipts. Returns how many frames.
    pub(crate) fn publish_for(&mut self, time: Duration) -> u64 {
        self.publish(Some(Instant::now() + time), u64::MAX)
    }

    /// Each publishes so many frames, and waits for its receipts.
    pub(crate) fn publish_frames(&mut self, frames: u64) -> u64 {
        self.publish(None, frames)
    }

    fn publish(&mut self, mut until: Option<Instant>, frames: u64) -> u64 {
        let before: u64 = self.sessions.iter().map(|session| session.answered).sum();
        for session in &mut self.sessions {
            session.last = session.answered.saturating_add(frames);
            session.write();
        }
        let mut events = Events::with_capacity(1_024);
        while self.sessions.iter().any(|session| session.answered < session.last) {
            self.poll.poll(&mut events, Some(PATIENCE)).expect("the system polls");
            assert!(!events.is_empty(), "receipts come in time");
            for event in &events {
                let session = &mut self.sessions[event.token().0];
                session.read();
                session.write();
            }
            if until.take_if(|until| Instant::now() >= *until).is_some() {
                self.sessions.iter_mut().for_each(Session::come_to_an_end);
            }
        }
        self.sessions.iter().map(|session| session.answered).sum::<u64>() - before
    }
}

/// As many different frames as may be under way, one behind the other as they travel: receipts come in
/// order, so the number of a request can be used again when its turn comes.
#[derive(Clone)]
struct Ring {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Ring {
    fn new(shape: Shape) -> Self {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for request in 1..=UNDER_WAY_MAX as u32 {
            starts.push(bytes.len());
            bytes.extend_from_slice(&publish_frame(request, shape));
        }
        Self { bytes, starts }
    }

    /// Where a frame begins, counted from the first byte of the first round.
    fn start_of(&self, frame: u64) -> u64 {
        let (round, place) = (frame / UNDER_WAY_MAX, frame % UNDER_WAY_MAX);
        round * self.bytes.len() as u64 + self.starts[place as usize] as u64
    }

    /// Of so many bytes, how many frames have begun.
    fn begun(&self, bytes: u64) -> u64 {
        let len = self.bytes.len() as u64;
        let (round, rest) = (bytes / len, (bytes % len) as usize);
        round * UNDER_WAY_MAX + self.starts.partition_point(|start| *start < rest) as u64
    }
}

struct Session {
    stream: mio::net::TcpStream,
    form: Form,
    ring: Ring,
    written: u64,
    answered: u64,
    /// How many frames there are to be.
    last: u64,
    inbox: Vec<u8>,
    buffer: Vec<u8>,
}

impl Session {
    fn open(port: u16, poll: &Poll, token: Token, form: Form, ring: Ring) -> Self {
        let mut stream = transport::connect(port);
        let inbox = shake_hands(&mut stream, form);
        stream.set_nonblocking(true).expect("a socket has this option");
        let mut stream = mio::net::TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, token, interest).expect("it can be polled");
        let buffer = vec![0; BUFFER_BYTES];
        Self { stream, form, ring, written: 0, answered: 0, last: 0, inbox, buffer }
    }

    /// Writes as much as may be under way and the socket takes.
    fn write(&mut self) {
        let frames = self.last.min(self.answered + UNDER_WAY_MAX);
        let until = self.ring.start_of(frames);
        while self.written < until {
            let begin = (self.written % self.ring.bytes.len() as u64) as usize;
            let end = self.ring.bytes.len().min(begin + (until - self.written) as usize);
            match self.stream.write(&self.ring.bytes[begin..end]) {
                Ok(written) => self.written += written as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the server takes it: {error}"),
            }
        }
    }

    /// What has begun is the last.
    fn come_to_an_end(&mut self) {
        self.last = self.ring.begun(self.written);
    }

    fn read(&mut self) {
        loop {
            match self.stream.read(&mut self.buffer) {
                Ok(0) => panic!("the server goes on"),
                Ok(read) => self.inbox.extend_from_slice(&self.buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the server answers: {error}"),
            }
        }
        let mut rest = &self.inbox[..];
        while let Some((payload, after)) = split_frame(rest) {
            self.answered += u64::from(is_receipt(self.form, payload));
            rest = after;
        }
        let done = self.inbox.len() - rest.len();
        self.inbox.drain(..done);
    }
}

/// Opens a session; returns what has come behind the answer.
fn shake_hands(stream: &mut (impl Read + Write), form: Form) -> Vec<u8> {
    let subprotocol = match form {
        Form::Json => "Sec-WebSocket-Protocol: throughline.v1.json\r\n",
        Form::Protobuf => "Sec-WebSocket-Protocol: throughline.v1.protobuf\r\n",
    };
    let asked = handshake("GET", "HTTP/1.1", &[HANDSHAKE, subprotocol].concat());
    stream.write_all(asked.as_bytes()).expect("the server takes it");
    let (mut inbox, mut buffer) = (Vec::new(), [0; 4 * 1024]);
    loop {
        let read = stream.read(&mut buffer).expect("the server answers");
        assert!(read > 0, "the server goes on");
        inbox.extend_from_slice(&buffer[..read]);
        if let Some(end) = memmem::find(&inbox, b"\r\n\r\n") {
            assert!(inbox.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&inbox));
            return inbox.split_off(end + 4);
        }
    }
}

/// What a server's frame carries, and what comes behind it; `None` if it has not all come.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, head) = match *bytes.get(1)? {
        126 => (u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into(), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        len => (usize::from(len), 2),
    };
    bytes.get(head..)?.split_at_checked(len)
}

/// Whether this answers a publish. Anything but that and a greeting is a mistake; whether an event of it
/// was refused shows in how many were logged.
fn is_receipt(form: Form, payload: &[u8]) -> bool {
    let (receipts, error): (&[u8], &[u8]) = match form {
        Form::Json => (b"{\"receipts\"", b"{\"error\""),
        // Fields 7 and 11.
        Form::Protobuf => (b"\x3a", b"\x5a"),
    };
    assert!(!payload.starts_with(error), "{}", String::from_utf8_lossy(payload));
    payload.starts_with(receipts)
}

fn publish_frame(request: u32, shape: Shape) -> Vec<u8> {
    let draft = Draft { data: Some(tally::data(AT).into()), ..Draft::default() };
    let publish = contract::Publish {
        request,
        channel: CHANNEL.to_owned(),
        events: vec![draft; shape.events],
        ..contract::Publish::default()
    };
    let message = write_client(shape.form, &contract::ClientFrame { frame: Some(publish.into()) });
    let opcode = match shape.form {
        Form::Json => TEXT,
        Form::Protobuf => BINARY,
    };
    frame(FINAL | opcode, &message).to_vec()
}

/// Half of what a session may have.
pub(crate) const UNDER_WAY_MAX: u64 = 512;
/// What every event says of when it was published: they are made before.
pub(crate) const AT: u64 = 1;
const BUFFER_BYTES: usize = 64 * 1024;
/// What does not come within this has been lost.
const PATIENCE: Duration = Duration::from_secs(60);
