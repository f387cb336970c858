//! Thousands of readers on one thread that only count, and look at when events were published.
//!
//! They cost next to nothing, so that the server is what is measured: one loop, one buffer for all.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::tally::{self, KEPT_BYTES_MAX, Tally, Times};

/// Readers that count, on a thread of their own. They end with this.
pub(crate) struct Readers {
    commands: Sender<Command>,
    waker: Waker,
    count: usize,
    thread: Option<JoinHandle<()>>,
}

/// What was received since somebody asked last.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Events of all readers.
    pub(crate) events: u64,
    /// Bytes, with everything around the events.
    pub(crate) bytes: u64,
    /// From publishing to receiving, in microseconds, of those events that were looked at.
    pub(crate) latencies: Vec<u32>,
}

enum Command {
    Add(Vec<TcpStream>, u64),
    Pause(Range<usize>),
    Resume(Range<usize>),
    Receive { who: Range<usize>, expected: Tally, answer: Sender<Answer> },
    End,
}

struct Answer {
    received: Received,
    tallies: Vec<Tally>,
}

impl Readers {
    /// Nobody yet. Events carry the time since `epoch`.
    pub(crate) fn start(epoch: Instant) -> Self {
        let poll = Poll::new().expect("the system polls");
        let waker = Waker::new(poll.registry(), WAKE).expect("it can be woken");
        let (commands, obeyed) = channel();
        let reading = Reading::new(poll, obeyed, epoch);
        let thread = Some(std::thread::spawn(move || reading.run()));
        Self { commands, waker, count: 0, thread }
    }

    /// Reads these, too; returns their numbers. Of the events of each, one in so many is looked at for
    /// how late it is; 0 for none.
    pub(crate) fn add(&mut self, streams: Vec<TcpStream>, sampled: u64) -> Range<usize> {
        let who = self.count..self.count + streams.len();
        self.count = who.end;
        self.command(Command::Add(streams, sampled));
        who
    }

    /// Leaves alone whatever comes for these.
    pub(crate) fn pause(&self, who: Range<usize>) {
        self.command(Command::Pause(who));
    }

    /// Reads these again.
    pub(crate) fn resume(&self, who: Range<usize>) {
        self.command(Command::Resume(who));
    }

    /// Waits until each of these has what is expected since its beginning: no event less, none more, and
    /// none twice instead of another.
    pub(crate) fn receive(&self, who: Range<usize>, expected: Tally) -> Received {
        let (answer, answered) = channel();
        self.command(Command::Receive { who: who.clone(), expected, answer });
        let Answer { received, tallies } = answered.recv().expect("readers have not panicked");
        for (number, tally) in who.zip(tallies) {
            assert_eq!(tally, expected, "reader {number} has something else than was published");
        }
        received
    }

    fn command(&self, command: Command) {
        self.commands.send(command).expect("readers have not panicked");
        self.waker.wake().expect("it can be woken");
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // A thread that has panicked has said why.
        let _ = self.commands.send(Command::End);
        let _ = self.waker.wake();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The thread.
struct Reading {
    poll: Poll,
    commands: Receiver<Command>,
    readers: Vec<Reader>,
    received: Received,
    awaited: Option<Awaited>,
    epoch: Instant,
    buffer: Vec<u8>,
    finder: Finder<'static>,
}

struct Reader {
    stream: mio::net::TcpStream,
    number: u64,
    sampled: u64,
    tally: Tally,
    is_paused: bool,
    has_ended: bool,
    /// The beginning of something of which the rest has not come.
    kept: [u8; KEPT_BYTES_MAX],
    kept_len: usize,
}

struct Awaited {
    who: Range<usize>,
    expected: Tally,
    behind: usize,
    until: Instant,
    answer: Sender<Answer>,
}

impl Reading {
    fn new(poll: Poll, commands: Receiver<Command>, epoch: Instant) -> Self {
        let (received, buffer) = (Received::default(), vec![0; BUFFER_BYTES]);
        let (readers, awaited, finder) = (Vec::new(), None, tally::finder());
        Self { poll, commands, readers, received, awaited, epoch, buffer, finder }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            self.poll.poll(&mut events, Some(PATIENCE)).expect("the system polls");
            for event in &events {
                match event.token() {
                    WAKE if self.obey() => return,
                    WAKE => {}
                    Token(number) => self.read(number),
                }
            }
            self.answer();
        }
    }

    /// Returns whether to end.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Add(streams, sampled) => {
                    streams.into_iter().for_each(|stream| self.add(stream, sampled));
                }
                Command::Pause(who) => self.pause(who, true),
                Command::Resume(who) => self.pause(who, false),
                Command::Receive { who, expected, answer } => {
                    let is_behind = |reader: &&Reader| reader.tally.events < expected.events;
                    let behind = self.readers[who.clone()].iter().filter(is_behind).count();
                    let until = Instant::now() + PATIENCE;
                    self.awaited = Some(Awaited { who, expected, behind, until, answer });
                }
                Command::End => return true,
            }
        }
        false
    }

    fn add(&mut self, stream: TcpStream, sampled: u64) {
        let mut reader = Reader::new(stream, self.readers.len(), sampled);
        reader.register(self.poll.registry());
        self.readers.push(reader);
    }

    fn pause(&mut self, who: Range<usize>, is_paused: bool) {
        for number in who {
            let reader = &mut self.readers[number];
            reader.is_paused = is_paused;
            match is_paused {
                true => self.poll.registry().deregister(&mut reader.stream).expect("it is polled"),
                // Tells at once if anything has come meanwhile.
                false => reader.register(self.poll.registry()),
            }
        }
    }

    /// Reads all there is.
    fn read(&mut self, number: usize) {
        let reader = &mut self.readers[number];
        if reader.is_paused {
            return;
        }
        loop {
            let kept = reader.kept_len;
            self.buffer[..kept].copy_from_slice(&reader.kept[..kept]);
            let read = match reader.stream.read(&mut self.buffer[kept..]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => return self.end(number),
                Ok(read) => read,
            };
            let before = reader.tally.events;
            let bytes = &self.buffer[..kept + read];
            let now = self.epoch.elapsed().as_micros() as u64;
            reader.count(Times::new(bytes, &self.finder), bytes, now, &mut self.received);
            self.received.bytes += read as u64;
            if let Some(awaited) = &mut self.awaited {
                awaited.see(number, before, reader.tally.events);
            }
            // A socket that gives less than it could is empty, and polling tells of what comes next.
            if kept + read < self.buffer.len() {
                return;
            }
        }
    }

    fn end(&mut self, number: usize) {
        self.readers[number].has_ended = true;
        self.answer();
    }

    /// Answers if everybody has what is awaited, or if it will not come any more.
    fn answer(&mut self) {
        let Some(awaited) = &self.awaited else { return };
        let readers = &self.readers[awaited.who.clone()];
        let is_over = awaited.behind == 0
            || Instant::now() >= awaited.until
            || readers.iter().any(|reader| reader.has_ended);
        if is_over && let Some(awaited) = self.awaited.take() {
            let tallies = readers.iter().map(|reader| reader.tally).collect();
            let received = std::mem::take(&mut self.received);
            // Whoever asked may have panicked.
            let _ = awaited.answer.send(Answer { received, tallies });
        }
    }
}

impl Reader {
    fn new(stream: TcpStream, number: usize, sampled: u64) -> Self {
        stream.set_nonblocking(true).expect("a socket has this option");
        let stream = mio::net::TcpStream::from_std(stream);
        let (tally, kept, number) = (Tally::default(), [0; KEPT_BYTES_MAX], number as u64);
        let (is_paused, has_ended, kept_len) = (false, false, 0);
        Self { stream, number, sampled, tally, is_paused, has_ended, kept, kept_len }
    }

    fn register(&mut self, registry: &Registry) {
        let token = Token(self.number as usize);
        registry.register(&mut self.stream, token, Interest::READABLE).expect("it can be polled");
    }

    fn count(&mut self, mut times: Times<'_>, bytes: &[u8], now: u64, received: &mut Received) {
        let before = self.tally.events;
        for at in &mut times {
            self.tally += Tally::one(at);
            // Not all readers look at the same event.
            if (self.tally.events + self.number).is_multiple_of(self.sampled) {
                received.latencies.push(now.saturating_sub(at) as u32);
            }
        }
        received.events += self.tally.events - before;
        let kept = &bytes[times.done()..];
        self.kept[..kept.len()].copy_from_slice(kept);
        self.kept_len = kept.len();
    }
}

impl Awaited {
    fn see(&mut self, number: usize, before: u64, now: u64) {
        let is_there = before < self.expected.events && now >= self.expected.events;
        if is_there && self.who.contains(&number) {
            self.behind -= 1;
        }
    }
}

const WAKE: Token = Token(usize::MAX);
/// Sockets looked at before anything else.
const EVENTS_MAX: usize = 1_024;
/// Small enough to stay in the processor's cache, large enough for what a socket holds.
const BUFFER_BYTES: usize = 256 * 1024;
/// What does not come within this has been lost.
const PATIENCE: Duration = Duration::from_secs(60);
