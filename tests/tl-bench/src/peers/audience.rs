//! Subscribers that only count, whatever the transport, and look at when each event was published.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use tl_conformance::web_socket::{FINAL, TEXT, frame};

use super::contender::Opening;

/// All subscribers together.
#[derive(Clone)]
pub(super) struct Audience {
    shared: Rc<Shared>,
}

struct Shared {
    epoch: Instant,
    /// Since the beginning.
    events: Cell<usize>,
    /// Since they were taken last, in microseconds.
    latencies: RefCell<Vec<u32>>,
    last: Cell<Instant>,
    cut_off: Cell<usize>,
    changed: Notify,
}

impl Audience {
    /// Nobody yet. Events carry the time since `epoch`.
    pub(super) fn new(epoch: Instant) -> Self {
        let shared = Shared {
            epoch,
            events: Cell::default(),
            latencies: RefCell::default(),
            last: Cell::new(epoch),
            cut_off: Cell::default(),
            changed: Notify::new(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Somebody more, counting on this thread for as long as the runtime lives.
    pub(super) async fn join(&self, port: u16, opening: &Opening) {
        let stream = open(port, opening).await;
        tokio::task::spawn_local(count(stream, self.clone()));
    }

    /// How many events all together have received since the beginning.
    pub(super) fn events(&self) -> usize {
        self.shared.events.get()
    }

    /// When the last of them came.
    pub(super) fn last_received(&self) -> Instant {
        self.shared.last.get()
    }

    /// How many connections the server has ended.
    pub(super) fn cut_off(&self) -> usize {
        self.shared.cut_off.get()
    }

    /// The time from publishing to receiving of all events since this was asked last.
    pub(super) fn take_latencies(&self) -> Vec<u32> {
        self.shared.latencies.take()
    }

    /// Waits until so many events have come since the beginning; gives up when none comes any more.
    /// Returns whether they have come.
    pub(super) async fn has_received(&self, events: usize) -> bool {
        while self.events() < events {
            if timeout(PATIENCE, self.shared.changed.notified()).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Opens a subscriber's connection and waits until it subscribes.
pub(super) async fn open(port: u16, opening: &Opening) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("connects");
    let mut stream = Opened { stream, heard: Vec::new() };
    stream.stream.write_all(opening.request.as_bytes()).await.expect("the server takes it");
    stream.hear("\r\n\r\n").await;
    for (message, until) in &opening.messages {
        let message = frame(FINAL | TEXT, message.as_bytes());
        stream.stream.write_all(&message).await.expect("the server takes it");
        stream.hear(until).await;
    }
    stream.stream
}

struct Opened {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Opened {
    async fn hear(&mut self, words: &str) {
        while memmem::find(&self.heard, words.as_bytes()).is_none() {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.heard)).await;
            let read = read.unwrap_or_else(|_| panic!("no `{words}` comes"));
            let heard = String::from_utf8_lossy(&self.heard);
            assert!(read.expect("the connection holds") > 0, "refused: {heard}");
        }
        let head = String::from_utf8_lossy(&self.heard);
        let is_refused = head.starts_with("HTTP/1.1 4") || head.starts_with("HTTP/1.1 5");
        assert!(!is_refused, "refused: {head}");
    }
}

async fn count(mut stream: TcpStream, audience: Audience) {
    let shared = audience.shared;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut kept = 0;
    // A server that cuts a subscriber off may do it with a reset.
    while let Ok(read @ 1..) = stream.read(&mut buffer[kept..]).await {
        let filled = kept + read;
        let now = Instant::now();
        let since_epoch = now.duration_since(shared.epoch).as_micros() as u64;
        let mut done = filled.saturating_sub(MARK.len() + DIGITS);
        let mut latencies = shared.latencies.borrow_mut();
        let before = latencies.len();
        for found in memmem::find_iter(&buffer[..filled], MARK) {
            let digits = found + MARK.len();
            let Some(at) = buffer[..filled].get(digits..digits + DIGITS) else { break };
            done = done.max(digits + DIGITS);
            latencies.push(since_epoch.saturating_sub(number(at)) as u32);
        }
        shared.events.set(shared.events.get() + latencies.len() - before);
        drop(latencies);
        shared.last.set(now);
        shared.changed.notify_waiters();
        buffer.copy_within(done..filled, 0);
        kept = filled - done;
    }
    shared.cut_off.set(shared.cut_off.get() + 1);
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit.wrapping_sub(b'0')))
}

/// An event's data, 128 bytes of JSON that say when it was published. Nothing in the mark is changed by
/// any server's way of quoting.
pub(super) fn data_at(epoch: Instant) -> String {
    let at = epoch.elapsed().as_micros();
    format!("{{\"data\":\"sent-at-{at:012}-{:096}\"}}", 0)
}

/// What comes before the time in the data of every event.
const MARK: &[u8] = b"sent-at-";
/// Digits of the time.
const DIGITS: usize = 12;
/// As much as a socket holds when the server is far ahead.
const BUFFER_BYTES: usize = 64 * 1024;
/// After so long without an event the rest is taken for lost.
const PATIENCE: Duration = Duration::from_secs(3);
