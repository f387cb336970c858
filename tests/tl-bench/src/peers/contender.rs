use super::server::Server;

/// A server, and how one subscribes and publishes to it.
pub(super) struct Contender {
    /// The server's name and the transport's.
    pub(super) name: &'static str,
    /// Starts it, alone on its core.
    pub(super) start: fn() -> Server,
    /// How a subscriber opens its connection.
    pub(super) opening: fn() -> Opening,
    /// The request that publishes this data.
    pub(super) publication: fn(data: &str) -> String,
}

/// How a subscriber opens its connection.
pub(super) struct Opening {
    /// The HTTP request.
    pub(super) request: String,
    /// What it says after that in WebSocket messages, and what tells that each has been heeded.
    pub(super) messages: Vec<(String, &'static str)>,
}

impl Opening {
    /// A request for Server-Sent Events.
    pub(super) fn sse(path: &str) -> Self {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n");
        Self { request, messages: Vec::new() }
    }

    /// A WebSocket's handshake; the protocol may be empty.
    pub(super) fn web_socket(path: &str, protocol: &str) -> Self {
        let protocol = match protocol {
            "" => String::new(),
            name => format!("Sec-WebSocket-Protocol: {name}\r\n"),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {protocol}\r\n"
        );
        Self { request, messages: Vec::new() }
    }

    /// Then says this, and waits for an answer that holds these words.
    pub(super) fn then(mut self, message: impl Into<String>, until: &'static str) -> Self {
        self.messages.push((message.into(), until));
        self
    }
}

/// A request that posts a body.
pub(super) fn post(path: &str, content_type: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The channel that all is published to.
pub(super) const CHANNEL: &str = "bench";
