//! NATS JetStream: a stream in files, on one node.

use std::fs;

use super::contender::CHANNEL;
use super::publisher::{Publisher, text};
use super::server::{Server, installed};

/// Starts it so that each event is synced before its receipt, as our durability `fsync` is.
pub(super) fn start_syncing_always() -> Server {
    start("always")
}

/// Starts it with its default: synced every two minutes.
pub(super) fn start_syncing_seldom() -> Server {
    start("2m")
}

fn start(sync_interval: &str) -> Server {
    Server::start(&installed("nats-server"), |home, port| {
        let config = home.join("nats.conf").display().to_string();
        let store = home.join("store").display().to_string();
        let settings = format!(
            "listen: 127.0.0.1:{port}\n\
             jetstream {{ store_dir: \"{store}\", sync_interval: {sync_interval} }}\n"
        );
        fs::write(&config, settings)?;
        Ok(["-c", &config].map(str::to_owned).into())
    })
}

/// A connection that publishes one event after the other to a stream.
pub(super) struct StreamPublisher {
    publisher: Publisher,
    inbox: String,
}

impl StreamPublisher {
    /// Connects, as the one of this number, and makes the stream if it is not there.
    pub(super) async fn connect(port: u16, number: usize) -> Self {
        let publisher = Publisher::connect(port).await;
        let mut this = Self { publisher, inbox: format!("_INBOX.{number}") };
        let hello = "CONNECT {\"verbose\":false,\"pedantic\":false}";
        this.publisher.send(&format!("{hello}\r\nSUB {} 1\r\n", this.inbox)).await;
        let stream = format!(
            "{{\"name\":\"{STREAM}\",\"subjects\":[\"{CHANNEL}\"],\"storage\":\"file\",\
             \"retention\":\"limits\",\"num_replicas\":1}}"
        );
        let answer = this.ask(&format!("$JS.API.STREAM.CREATE.{STREAM}"), &stream).await;
        assert!(!answer.contains("\"error\""), "refused: {answer}");
        this
    }

    /// Publishes and waits for the receipt.
    pub(super) async fn publish(&mut self, data: &str) {
        let receipt = self.ask(CHANNEL, data).await;
        assert!(receipt.contains("\"seq\":"), "refused: {receipt}");
    }

    async fn ask(&mut self, subject: &str, body: &str) -> String {
        let len = body.len();
        let request = format!("PUB {subject} {} {len}\r\n{body}\r\n", self.inbox);
        self.publisher.send(&request).await;
        loop {
            let line = text(&self.publisher.receive_through("\r\n").await);
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["MSG", .., len] => {
                    let len: usize = len.parse().expect("a length");
                    return text(&self.publisher.receive(len + 2).await);
                }
                ["PING"] => self.publisher.send("PONG\r\n").await,
                ["INFO", ..] | ["PONG"] => {}
                _ => panic!("refused: {line}"),
            }
        }
    }
}

const STREAM: &str = "BENCH";
