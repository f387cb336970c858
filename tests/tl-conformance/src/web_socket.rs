//! WebSocket frames as a client sends them, legal or not.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::raw::{Answer, RawSocket};

/// A client's end of a WebSocket that sends any frame, legal or not.
#[derive(Debug)]
pub struct RawWebSocket<S = TcpStream> {
    /// What lies below.
    pub socket: RawSocket<S>,
}

/// What a server's frame says. It never sends fragments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawFrame {
    /// Text, binary, close, ping or pong.
    pub opcode: u8,
    /// What it carries.
    pub payload: Bytes,
}

impl RawWebSocket {
    /// Opens a session with frames in JSON.
    pub async fn open(port: u16) -> Self {
        Self::open_on(RawSocket::connect(port).await, "throughline.v1.json").await
    }

    /// Opens a session with frames in protobuf.
    pub async fn open_protobuf(port: u16) -> Self {
        Self::open_on(RawSocket::connect(port).await, "throughline.v1.protobuf").await
    }
}

impl<S: AsyncRead + AsyncWrite> RawWebSocket<S> {
    /// Opens a session by an upgrade.
    pub async fn open_on(mut socket: RawSocket<S>, subprotocol: &str) -> Self {
        let subprotocol = format!("Sec-WebSocket-Protocol: {subprotocol}\r\n");
        socket.send(handshake("GET", "HTTP/1.1", &[HANDSHAKE, &subprotocol].concat())).await;
        let answer: Option<Answer> = socket.answer().await;
        assert!(answer.as_ref().is_some_and(|it| it.status == 101), "{answer:?}");
        Self { socket }
    }

    /// Speaks on a stream after whatever handshake it had.
    pub fn over(stream: S) -> Self {
        Self { socket: RawSocket::new(stream) }
    }

    /// Says something in JSON.
    pub async fn say(&mut self, frame: &Value) {
        self.send(TEXT, frame.to_string().as_bytes()).await;
    }

    /// Sends a whole message, or a control frame.
    pub async fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.socket.send(frame(FINAL | opcode, payload)).await;
    }

    /// The next frame; `None` if the connection ends.
    pub async fn next(&mut self) -> Option<RawFrame> {
        let head = self.socket.read(2).await?;
        assert!(head[0] & FINAL != 0 && head[1] & MASKED == 0, "a server's frame: {head:?}");
        let len = match head[1] {
            126 => self.socket.read(2).await?.get_u16().into(),
            127 => self.socket.read(8).await?.get_u64(),
            len => len.into(),
        };
        let len = usize::try_from(len).expect("a length");
        let payload = self.socket.read(len).await?.freeze();
        Some(RawFrame { opcode: head[0] & 0xf, payload })
    }

    /// The next that is said in JSON, but for heartbeats; pings are answered on the way.
    pub async fn hear(&mut self) -> Value {
        loop {
            let frame = self.next().await.expect("the session goes on");
            match frame.opcode {
                TEXT => {
                    let value: Value = serde_json::from_slice(&frame.payload).expect("JSON");
                    if value.get("heartbeat").is_none() {
                        return value;
                    }
                }
                PING => self.send(PONG, &frame.payload).await,
                PONG => {}
                _ => panic!("the session goes on, without {frame:?}"),
            }
        }
    }

    /// Hears until something of this name is said, and returns what.
    pub async fn hear_of(&mut self, name: &str) -> Value {
        loop {
            let mut value = self.hear().await;
            if let Some(said) = value.get_mut(name) {
                return said.take();
            }
        }
    }

    /// Whether the session answers a ping; other frames are passed over.
    pub async fn is_alive(&mut self, nonce: u32) -> bool {
        self.say(&json!({"ping": {"nonce": nonce}})).await;
        self.hear_of("pong").await["nonce"] == nonce
    }

    /// The code the server closes with, after which the connection ends; `None` if it ends without.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            let frame = self.next().await?;
            if frame.opcode == CLOSE {
                let rest = self.socket.rest(CLOSE_TIMEOUT).await.expect("the connection ends too");
                assert!(rest.is_empty(), "nothing comes after the close frame, not {rest:?}");
                return (frame.payload.len() >= 2).then(|| frame.payload.slice(..2).get_u16());
            }
        }
    }
}

/// A request that asks for a session, with these headers.
pub fn handshake(method: &str, version: &str, headers: &str) -> String {
    format!("{method} /v1/session {version}\r\nHost: localhost\r\n{headers}\r\n")
}

/// A client's frame: masked. The first byte says what it is.
pub fn frame(first: u8, payload: &[u8]) -> BytesMut {
    let mut frame = frame_head(first, payload.len() as u64);
    frame.reserve(payload.len());
    let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    frame.extend(masked);
    frame
}

/// What a client's frame begins with.
pub fn frame_head(first: u8, len: u64) -> BytesMut {
    let mut head = BytesMut::from(&[first][..]);
    match len {
        0..126 => head.extend_from_slice(&[MASKED | len as u8]),
        126..0x1_0000 => {
            head.extend_from_slice(&[MASKED | 126]);
            head.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            head.extend_from_slice(&[MASKED | 127]);
            head.extend_from_slice(&len.to_be_bytes());
        }
    }
    head.extend_from_slice(&MASK);
    head
}

/// The headers of a good handshake.
pub const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// This frame is the last of its message.
pub const FINAL: u8 = 0x80;
/// A part of a message that is not its first.
pub const CONTINUATION: u8 = 0x0;
/// A message in text.
pub const TEXT: u8 = 0x1;
/// A message in bytes.
pub const BINARY: u8 = 0x2;
/// The end.
pub const CLOSE: u8 = 0x8;
/// To be answered.
pub const PING: u8 = 0x9;
/// The answer.
pub const PONG: u8 = 0xa;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
