//! A client that reads pages over one connection.

use std::io::{Read, Write};
use std::net::TcpStream;

use memchr::memmem;

use crate::tally::CHANNEL;
use crate::transport::connect;

/// Asks for one page after the other.
pub(crate) struct Pages {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Pages {
    pub(crate) fn connect(port: u16) -> Self {
        Self { stream: connect(port), inbox: Vec::new() }
    }

    /// The body of the page behind a cursor.
    pub(crate) fn read(&mut self, after: &str, limit: usize) -> &[u8] {
        let request = format!(
            "GET /v1/channels/{CHANNEL}/events?after={after}&limit={limit} HTTP/1.1\r\n\
             Host: localhost\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).expect("the server takes it");
        self.inbox.clear();
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            let read = self.stream.read(&mut buffer).expect("the server answers");
            assert!(read > 0, "the server goes on");
            self.inbox.extend_from_slice(&buffer[..read]);
            let head = memmem::find(&self.inbox, b"\r\n\r\n").map(|end| end + 4);
            let Some(head) = head else { continue };
            if self.inbox.len() >= head + len_of_body(&self.inbox[..head]) {
                return &self.inbox[head..];
            }
        }
    }
}

/// Where the next page begins.
pub(crate) fn cursor_of(page: &[u8]) -> String {
    let rest = page.strip_prefix(b"{\"cursor\":\"").expect("a page begins so");
    let end = memchr::memchr(b'"', rest).expect("a text ends");
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

fn len_of_body(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).expect("a head is text");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (_, rest) = head.split_once("content-length: ").expect("a length is told");
    rest.lines().next().and_then(|len| len.parse().ok()).expect("a number")
}

const BUFFER_BYTES: usize = 64 * 1024;
