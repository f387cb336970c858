//! A subscriber that only counts, and looks at when each event was published.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use tl_conformance::web_socket::{FINAL, HANDSHAKE, TEXT, frame, handshake};

use crate::http::CHANNEL;

/// How it subscribes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// Server-Sent Events.
    Sse,
    /// A session in JSON.
    WebSocket,
}

/// What all subscribers together have received.
#[derive(Clone, Debug)]
pub(crate) struct Deliveries {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    epoch: Instant,
    received: RefCell<Received>,
    has_ended: Cell<bool>,
    changed: Notify,
}

/// Counts since somebody looked last.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Events.
    pub(crate) events: usize,
    /// Bytes, with everything around the events.
    pub(crate) bytes: usize,
    /// From publishing to receiving, in microseconds.
    pub(crate) latencies: Vec<u32>,
}

impl Deliveries {
    /// Nothing yet. Events carry the time since `epoch`.
    pub(crate) fn new(epoch: Instant) -> Self {
        let (received, changed) = (RefCell::default(), Notify::new());
        let shared = Shared { epoch, received, has_ended: Cell::new(false), changed };
        Self { shared: Rc::new(shared) }
    }

    /// Waits until so many events have come, and takes the counts.
    pub(crate) async fn take(&self, events: usize) -> Received {
        while self.shared.received.borrow().events < events {
            assert!(!self.shared.has_ended.get(), "a connection has ended too early");
            self.shared.changed.notified().await;
        }
        self.shared.received.take()
    }

    /// Subscribes from the beginning, on this thread, for as long as the runtime lives.
    pub(crate) async fn subscribe(&self, port: u16, transport: Transport) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        match transport {
            Transport::Sse => {
                let request = format!(
                    "GET /v1/channels/{CHANNEL}/events?after=earliest HTTP/1.1\r\n\
                     Host: localhost\r\nAccept: text/event-stream\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).await.expect("the server takes it");
            }
            Transport::WebSocket => {
                let protocol = "Sec-WebSocket-Protocol: throughline.v1.json\r\n";
                let mut said = handshake("GET", "HTTP/1.1", &[HANDSHAKE, protocol].concat());
                stream.write_all(said.as_bytes()).await.expect("the server takes it");
                said = format!(
                    "{{\"subscribe\":{{\"subscription\":1,\"channels\":[\"{CHANNEL}\"],\
                     \"after\":\"earliest\"}}}}"
                );
                let said = frame(FINAL | TEXT, said.as_bytes());
                stream.write_all(&said).await.expect("the server takes it");
            }
        }
        tokio::task::spawn_local(count(stream, self.clone()));
    }

    /// Counts whatever a port sends by itself.
    pub(crate) async fn connect(&self, port: u16) {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        tokio::task::spawn_local(count(stream, self.clone()));
    }
}

async fn count(mut stream: TcpStream, deliveries: Deliveries) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut kept = 0;
    loop {
        let read = stream.read(&mut buffer[kept..]).await.expect("the connection holds");
        if read == 0 {
            deliveries.shared.has_ended.set(true);
            deliveries.shared.changed.notify_one();
            return;
        }
        let filled = kept + read;
        let now = deliveries.shared.epoch.elapsed().as_micros() as u64;
        let mut received = deliveries.shared.received.borrow_mut();
        received.bytes += read;
        let mut done = filled.saturating_sub(MARK.len() + AT_DIGITS);
        for found in memmem::find_iter(&buffer[..filled], MARK) {
            let digits = found + MARK.len();
            let Some(at) = buffer[..filled].get(digits..digits + AT_DIGITS) else { break };
            done = done.max(digits + AT_DIGITS);
            received.events += 1;
            received.latencies.push(now.saturating_sub(number(at)) as u32);
        }
        drop(received);
        deliveries.shared.changed.notify_one();
        buffer.copy_within(done..filled, 0);
        kept = filled - done;
    }
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// What comes before the time in the data of every event.
const MARK: &[u8] = b"\"at\":\"";
/// Digits of the time.
const AT_DIGITS: usize = 12;
/// As much as a socket holds when the server is far ahead.
const BUFFER_BYTES: usize = 64 * 1024;
