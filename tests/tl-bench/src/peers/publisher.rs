//! Publishers that cost next to nothing, so that the server is what is measured.

use std::net::Ipv4Addr;

use bytes::BytesMut;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection on which each request waits for the answer to the one before.
pub(super) struct Publisher {
    port: u16,
    stream: TcpStream,
    inbox: BytesMut,
}

impl Publisher {
    /// Connects.
    pub(super) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("connects");
        stream.set_nodelay(true).expect("a socket has this option");
        Self { port, stream, inbox: BytesMut::with_capacity(4_096) }
    }

    /// Sends something.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the server takes it");
    }

    /// Sends an HTTP request and waits for its answer, which has to be that it was done.
    pub(super) async fn request(&mut self, request: &str) {
        self.send(request).await;
        let head = text(&self.receive_through("\r\n\r\n").await);
        let len = header(&head, "content-length").and_then(|len| len.parse().ok());
        let len = len.unwrap_or_else(|| panic!("no length is told: {head}"));
        let body = text(&self.receive(len).await);
        let is_done = head.starts_with("HTTP/1.1 20") && !body.starts_with("{\"error\"");
        assert!(is_done, "refused: {head}{body}");
        if header(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            *self = Self::connect(self.port).await;
        }
    }

    /// Receives up to these words and with them.
    pub(super) async fn receive_through(&mut self, words: &str) -> BytesMut {
        loop {
            match memmem::find(&self.inbox, words.as_bytes()) {
                Some(at) => return self.receive(at + words.len()).await,
                None => self.read().await,
            }
        }
    }

    /// Receives so many bytes.
    pub(super) async fn receive(&mut self, bytes: usize) -> BytesMut {
        while self.inbox.len() < bytes {
            self.read().await;
        }
        self.inbox.split_to(bytes)
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.inbox).await.expect("the server answers");
        assert!(read > 0, "the server goes on");
    }
}

/// What was received, to be read or shown.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(its, _)| its.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
