use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

/// A connection on which a test says whatever it wants, legal or not, and sees what comes back.
#[derive(Debug)]
pub struct RawSocket<S = TcpStream> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    inbox: BytesMut,
    has_ended: bool,
}

/// A response of HTTP/1.1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body, if its length was told.
    pub body: String,
}

impl RawSocket {
    /// Connects to a port of this machine.
    pub async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("connects");
        stream.set_nodelay(true).expect("a socket has this option");
        Self::new(stream)
    }

    /// Connects, and has room for only a little of what the server sends.
    pub async fn connect_with_little_room(port: u16) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("a socket has this option");
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Self::new(socket.connect(address).await.expect("connects"))
    }
}

impl<S: AsyncRead + AsyncWrite> RawSocket<S> {
    /// Speaks on this stream.
    pub fn new(stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, writer, inbox: BytesMut::new(), has_ended: false }
    }

    /// Sends, and reads meanwhile, so that neither side waits for the other. What a server that has
    /// hung up does not take is lost.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() && !self.has_ended {
            let step = async {
                tokio::select! {
                    written = self.writer.write(rest) => match written {
                        Ok(count) => rest.advance(count),
                        Err(_) => self.has_ended = true,
                    },
                    read = self.reader.read_buf(&mut self.inbox) => {
                        self.has_ended = !matches!(read, Ok(1..));
                    }
                }
            };
            tokio::time::timeout(PATIENCE, step).await.expect("the server neither takes nor gives");
        }
        // Whether it arrives shows in what comes back.
        let _ = self.writer.flush().await;
    }

    /// Sends without reading anything, until the server has taken nothing for a second. Returns how
    /// many bytes it took.
    pub async fn push(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let writing = self.writer.write(rest);
            match tokio::time::timeout(Duration::from_secs(1), writing).await {
                Ok(Ok(count)) => rest.advance(count),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        bytes.len() - rest.len()
    }

    /// Says that no more comes, and goes on listening.
    pub async fn end(&mut self) {
        // The server may have been quicker.
        let _ = self.writer.shutdown().await;
    }

    /// The next response; `None` if the server hangs up instead.
    pub async fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        let length = answer.header("content-length").and_then(|text| text.parse().ok());
        if let Some(length) = length {
            answer.body = String::from_utf8_lossy(&self.read(length).await?).into_owned();
        }
        Some(answer)
    }

    /// The head of the next response, which is all of it if a `HEAD` was asked; `None` if the server
    /// hangs up instead.
    pub async fn head(&mut self) -> Option<Answer> {
        let len = loop {
            match self.inbox.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(len) => break len + 4,
                None if self.read_more().await => {}
                None => return None,
            }
        };
        let head = String::from_utf8_lossy(&self.inbox.split_to(len)).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok())?;
        Some(Answer { status, head, body: String::new() })
    }

    /// Reads until this text has come, and takes all up to its end; `false` if the server hangs up
    /// before.
    pub async fn read_until(&mut self, text: &str) -> bool {
        loop {
            let found = self.inbox.windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(place) = found {
                self.inbox.advance(place + text.len());
                return true;
            }
            if !self.read_more().await {
                return false;
            }
        }
    }

    /// Reads so many bytes; `None` if the server hangs up before.
    pub async fn read(&mut self, count: usize) -> Option<BytesMut> {
        while self.inbox.len() < count {
            if !self.read_more().await {
                return None;
            }
        }
        Some(self.inbox.split_to(count))
    }

    /// Everything that comes until the server hangs up; `None` if it has not after this time.
    pub async fn rest(&mut self, within: Duration) -> Option<BytesMut> {
        let until = Instant::now() + within;
        while !self.has_ended {
            let reading = self.reader.read_buf(&mut self.inbox);
            match tokio::time::timeout_at(until, reading).await {
                Ok(read) => self.has_ended = !matches!(read, Ok(1..)),
                Err(_) => return None,
            }
        }
        Some(std::mem::take(&mut self.inbox))
    }

    /// Reads what comes; `false` if nothing comes any more. A connection that breaks has ended too.
    async fn read_more(&mut self) -> bool {
        if !self.has_ended {
            let reading = self.reader.read_buf(&mut self.inbox);
            let read = tokio::time::timeout(PATIENCE, reading).await;
            let read = read.expect("the server neither answers nor hangs up");
            self.has_ended = !matches!(read, Ok(1..));
        }
        !self.has_ended
    }
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut of_name = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        of_name.next().map(|(_, value)| value.trim())
    }

    /// The stable code of a problem; `None` if this is none.
    pub fn problem_code(&self) -> Option<String> {
        if self.header("content-type") != Some("application/problem+json") {
            return None;
        }
        let problem: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        let is_consistent = problem["status"] == self.status;
        problem["code"].as_str().filter(|_| is_consistent).map(str::to_owned)
    }
}

/// Longer than the server ever leaves a client without a word.
const PATIENCE: Duration = Duration::from_secs(60);
