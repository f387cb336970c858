//! A publisher over HTTP that costs next to nothing, so that the server is what is measured.

use std::time::Instant;

use bytes::{Buf, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that publishes one event after the other to one channel.
pub(crate) struct Publisher {
    stream: TcpStream,
    inbox: BytesMut,
    epoch: Instant,
}

impl Publisher {
    /// Connects. Events carry the time since `epoch`.
    pub(crate) async fn connect(port: u16, epoch: Instant) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        stream.set_nodelay(true).expect("a socket has this option");
        Self { stream, inbox: BytesMut::with_capacity(4_096), epoch }
    }

    /// Publishes an event that says when, and waits for its receipt.
    pub(crate) async fn publish(&mut self) {
        let at = self.epoch.elapsed().as_micros();
        let body = format!("{{\"at\":\"{at:012}\",\"padding\":\"{:096}\"}}", 0);
        let request = format!(
            "POST /v1/channels/{CHANNEL}/events HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("the server takes it");
        self.receive().await;
    }

    async fn receive(&mut self) {
        let head = loop {
            match memmem::find(&self.inbox, b"\r\n\r\n") {
                Some(end) => break self.inbox.split_to(end + 4),
                None => self.read().await,
            }
        };
        assert!(head.starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&head));
        let head = String::from_utf8_lossy(&head);
        let (_, rest) = head.split_once("content-length: ").expect("a length is told");
        let len: usize = rest.lines().next().and_then(|len| len.parse().ok()).expect("a number");
        while self.inbox.len() < len {
            self.read().await;
        }
        self.inbox.advance(len);
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.inbox).await.expect("the server answers");
        assert!(read > 0, "the server goes on");
    }
}

/// Where all that is measured goes.
pub(crate) const CHANNEL: &str = "bench";
/// The data of one event.
pub(crate) const DATA_BYTES: usize = 128;
