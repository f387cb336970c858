//! What a connection costs on which nothing happens.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use tl_conformance::{Certificate, RunningServer, ServerOptions};

use crate::figures::Figures;
use crate::tally::CHANNEL;
use crate::transport::{Transport, Wish, connect};
use crate::{Runs, machine};

/// Memory and processor time of the server for a connection, for each transport, without TLS and with
/// it. How long is measured is decided by the heartbeat.
pub(crate) fn run(_: &Runs) -> Figures {
    machine::stay_on(machine::LOAD_CORE);
    let mut figures = Figures::default();
    for (name, transport, channels) in [
        ("WebSocket", Transport::WebSocket, Channels::One),
        ("SSE", Transport::Sse, Channels::One),
        ("SSE, a channel each", Transport::Sse, Channels::OneEach),
        ("long poll", Transport::LongPoll, Channels::One),
    ] {
        let crowd = Crowd { transport, channels, tls: None, count: PLAIN };
        crowd.measure(name, &mut figures);
    }
    let certificate = Certificate::new();
    for (name, transport) in [
        ("WebSocket, TLS", Transport::WebSocket),
        ("SSE, TLS", Transport::Sse),
        ("long poll, TLS", Transport::LongPoll),
    ] {
        let tls = Some(&certificate);
        let crowd = Crowd { transport, channels: Channels::One, tls, count: ENCRYPTED };
        crowd.measure(name, &mut figures);
    }
    figures
}

/// Connections of one kind.
struct Crowd<'a> {
    transport: Transport,
    channels: Channels,
    tls: Option<&'a Certificate>,
    count: usize,
}

#[derive(Clone, Copy)]
enum Channels {
    /// Everybody reads the same.
    One,
    /// Everybody reads something else.
    OneEach,
}

impl Crowd<'_> {
    fn measure(&self, name: &str, figures: &mut Figures) {
        let config = self.tls.map(Certificate::config).unwrap_or_default();
        let core = Some(machine::SERVER_CORE);
        let server = RunningServer::start(&ServerOptions { core, config, ..Default::default() });
        // What the first one needs is not counted.
        let first = self.open(&server, 1);
        std::thread::sleep(SETTLED_WITHIN);
        let before = machine::memory_of_process(server.id());
        let mut streams = self.open(&server, self.count);
        std::thread::sleep(SETTLED_WITHIN);
        let memory = machine::memory_of_process(server.id()) - before;
        let spent_before = machine::time_of_process(server.id());
        std::thread::sleep(IDLE);
        let spent = machine::time_of_process(server.id()) - spent_before;
        let waiting = streams.iter_mut().filter_map(|stream| stream.is_open().then_some(()));
        assert_eq!(waiting.count(), self.count, "{name}: nobody has been answered or cut off");
        drop(first);
        figures.note(format!("{name}: bytes a connection"), memory as f64 / self.count as f64);
        let micros = spent.as_secs_f64() * 1e6 / self.count as f64;
        figures.note(format!("{name}: processor time of 15 idle seconds, µs"), micros);
    }

    fn open(&self, server: &RunningServer, count: usize) -> Vec<Stream> {
        let config = self.tls.map(|it| Arc::new(it.client_config(rustls::ALL_VERSIONS, &[])));
        let files = machine::open_files(server.id());
        let mut streams = Vec::with_capacity(count);
        for number in 0..count {
            let mut stream = Stream::connect(server.port(), config.clone());
            let channel = match self.channels {
                Channels::One => CHANNEL.to_owned(),
                Channels::OneEach => format!("{CHANNEL}.{number}"),
            };
            let wish = Wish { channels: &[&channel], after: "latest" };
            self.transport.ask(wish, &mut stream).expect("the server takes it");
            stream.flush().expect("the server takes it");
            streams.push(stream);
            if streams.len().is_multiple_of(OPENED_TOGETHER) || streams.len() == count {
                while machine::open_files(server.id()) < files + streams.len() {
                    std::thread::sleep(PAUSE);
                }
            }
        }
        if let Some(ready) = self.transport.ready() {
            streams.iter_mut().for_each(|stream| stream.read_until(ready));
        }
        streams
    }
}

/// A client's end.
enum Stream {
    Plain(TcpStream),
    Encrypted(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn connect(port: u16, config: Option<Arc<ClientConfig>>) -> Self {
        let stream = connect(port);
        let Some(config) = config else { return Self::Plain(stream) };
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(config, name).expect("a configuration");
        Self::Encrypted(Box::new(StreamOwned::new(connection, stream)))
    }

    fn read_until(&mut self, awaited: &[u8]) {
        let (mut inbox, mut buffer) = (Vec::new(), [0; 4 * 1024]);
        while memmem::find(&inbox, awaited).is_none() {
            let read = self.read(&mut buffer).expect("the server answers");
            assert!(read > 0, "the server goes on");
            inbox.extend_from_slice(&buffer[..read]);
        }
    }

    /// Whether the server has neither hung up nor answered a request that was to wait. Heartbeats are
    /// no answers.
    fn is_open(&mut self) -> bool {
        let socket = match self {
            Self::Plain(stream) => &*stream,
            Self::Encrypted(stream) => stream.get_ref(),
        };
        socket.set_nonblocking(true).expect("a socket has this option");
        let mut buffer = [0; 4 * 1024];
        match self.read(&mut buffer) {
            Ok(read) => read > 0 && !buffer.starts_with(b"HTTP/1.1 "),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Encrypted(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Encrypted(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Encrypted(stream) => stream.flush(),
        }
    }
}

const PLAIN: usize = 15_000;
/// Fewer, as a handshake costs a thousand times what comes after it.
const ENCRYPTED: usize = 5_000;
/// Each has had exactly one heartbeat, whenever it began.
const IDLE: Duration = Duration::from_secs(15);
/// What opening leaves to do is done.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);
/// Fewer than a server's socket keeps waiting.
const OPENED_TOGETHER: usize = 500;
/// Until the server has accepted some more.
const PAUSE: Duration = Duration::from_millis(1);
