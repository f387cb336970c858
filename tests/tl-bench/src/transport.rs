//! How a reader asks, on a plain socket.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use tl_conformance::web_socket::{FINAL, HANDSHAKE, TEXT, frame, handshake};

/// How it reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// Server-Sent Events.
    Sse,
    /// A session in JSON, with one subscription.
    WebSocket,
    /// A page that waits until there is an event.
    LongPoll,
}

/// What it reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// Channels.
    pub(crate) channels: &'a [&'a str],
    /// A cursor, `earliest` or `latest`.
    pub(crate) after: &'a str,
}

impl Transport {
    /// Asks.
    pub(crate) fn ask(self, wish: Wish<'_>, stream: &mut impl Write) -> io::Result<()> {
        stream.write_all(&self.request(wish))
    }

    /// What the last thing holds that comes before events do, if anything comes.
    pub(crate) fn ready(self) -> Option<&'static [u8]> {
        match self {
            Self::Sse => Some(b"event: caught-up"),
            Self::WebSocket => Some(b"\"caughtUp\""),
            Self::LongPoll => None,
        }
    }

    /// All that it says, at once: nobody has to wait for an answer in between.
    fn request(self, wish: Wish<'_>) -> Vec<u8> {
        let path = wish.path();
        match self {
            Self::Sse => format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
            )
            .into_bytes(),
            Self::LongPoll => {
                format!("GET {path}&wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
            }
            Self::WebSocket => {
                let protocol = "Sec-WebSocket-Protocol: throughline.v1.json\r\n";
                let handshake = handshake("GET", "HTTP/1.1", &[HANDSHAKE, protocol].concat());
                [handshake.as_bytes(), &frame(FINAL | TEXT, wish.subscribe().as_bytes())].concat()
            }
        }
    }
}

impl Wish<'_> {
    fn path(&self) -> String {
        let after = self.after;
        match self.channels {
            [channel] => format!("/v1/channels/{channel}/events?after={after}"),
            channels => {
                let channels = channels.iter().map(|channel| format!("&channel={channel}"));
                format!("/v1/events?after={after}{}", channels.collect::<String>())
            }
        }
    }

    fn subscribe(&self) -> String {
        let Self { channels, after } = self;
        format!(
            "{{\"subscribe\":{{\"subscription\":1,\"channels\":{channels:?},\"after\":\"{after}\"}}}}"
        )
    }
}

/// Connects to a port of this machine.
pub(crate) fn connect(port: u16) -> TcpStream {
    connect_with(port, |_| Ok(()))
}

/// Connects with as little room for what comes as the system allows, and with segments as small as
/// those of a real network: the system gives a sender to this very machine room for megabytes.
pub(crate) fn connect_with_little_room(port: u16) -> TcpStream {
    connect_with(port, |socket| {
        socket.set_recv_buffer_size(LITTLE_ROOM)?;
        socket.set_tcp_mss(ETHERNET_SEGMENT)
    })
}

fn connect_with(port: u16, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("files are left");
    prepare(&socket).expect("a socket has these options");
    socket.set_tcp_nodelay(true).expect("a socket has this option");
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).expect("connects");
    socket.into()
}

/// Bytes a socket keeps for its reader; the system doubles it.
pub(crate) const LITTLE_ROOM: usize = 4 * 1024;
/// What fits into a packet of 1,500 bytes.
const ETHERNET_SEGMENT: u32 = 1_460;
