//! PostgreSQL: what it takes when each event is a row with a commit of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::{Buf, BufMut};

use super::contender::CHANNEL;
use super::publisher::{Publisher, text};
use super::server::{Server, of_debian};

/// Starts it with commits that wait for the disk, which is the default, and no checkpoint in between.
pub(super) fn start() -> Server {
    let setpriv = of_debian("/usr/bin/setpriv");
    let postgres = of_debian(&format!("{PROGRAMS}/postgres")).display().to_string();
    Server::start(&setpriv, |home, port| {
        let data = make_database(home);
        let port = port.to_string();
        let settings = SETTINGS.iter().flat_map(|setting| ["-c", setting]);
        let args = [&postgres, "-D", &data, "-h", "127.0.0.1", "-p", &port];
        let args = AS_ITS_USER.into_iter().chain(args).chain(settings);
        Ok(args.map(str::to_owned).collect())
    })
}

/// An empty database in this directory. The server refuses to run as root, so another user has it.
fn make_database(home: &Path) -> String {
    let data = home.join("data").display().to_string();
    let initdb = format!("{PROGRAMS}/initdb");
    run(Command::new("chmod").arg("755").arg(home));
    run(Command::new("install").args(["-d", "-m", "700", "-o", USER, "-g", USER, &data]));
    let args = [&initdb, "-D", &data, "-U", USER, "--auth", "trust", "--no-sync"];
    run(Command::new("setpriv").args(AS_ITS_USER).args(args).current_dir(home));
    data
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("it is part of Debian");
    assert!(status.success(), "{command:?} ended with {status}; it has to be run by root");
}

/// A connection that inserts one event after the other.
pub(super) struct RowPublisher(Publisher);

impl RowPublisher {
    /// Connects, and makes the table if it is not there.
    pub(super) async fn connect(port: u16) -> Self {
        let mut this = Self(Publisher::connect(port).await);
        let mut startup = Vec::new();
        startup.put_u32(PROTOCOL_VERSION);
        startup.put_slice(format!("user\0{USER}\0database\0{USER}\0\0").as_bytes());
        while this.heed(with_length(&startup)).await.is_err_and(|why| why.contains(STARTING_UP)) {
            tokio::time::sleep(LOOK_INTERVAL).await;
            this = Self(Publisher::connect(port).await);
        }
        this.ask(&[(b'Q', TABLE.as_bytes())]).await;
        let parameters = [0, 0];
        this.ask(&[(b'P', &[INSERT.as_bytes(), &parameters].concat()), SYNC]).await;
        this
    }

    /// Inserts, and waits for the commit.
    pub(super) async fn publish(&mut self, data: &str) {
        let mut bind = b"\0insert\0\0\0\0\x02".to_vec();
        for value in [CHANNEL, data] {
            // Unlike a message's, a value's length does not count itself.
            bind.put_u32(value.len() as u32);
            bind.put_slice(value.as_bytes());
        }
        bind.put_u16(0);
        let execute = b"\0\0\0\0\0";
        self.ask(&[(b'B', &bind), (b'E', execute), SYNC]).await;
    }

    async fn ask(&mut self, messages: &[(u8, &[u8])]) {
        let mut said = Vec::new();
        for (kind, body) in messages {
            said.push(*kind);
            said.extend(with_length(body));
        }
        self.heed(said).await.unwrap_or_else(|why| panic!("refused: {why}"));
    }

    /// Says something and waits until it has been heeded, or refused.
    async fn heed(&mut self, said: Vec<u8>) -> Result<(), String> {
        self.0.send(&said).await;
        loop {
            let mut head = self.0.receive(5).await;
            let (kind, len) = (head.get_u8(), head.get_u32() as usize);
            let body = self.0.receive(len - 4).await;
            match kind {
                b'Z' => return Ok(()),
                b'E' => return Err(text(&body)),
                _ => {}
            }
        }
    }
}

/// A message with its length before it, which counts itself.
fn with_length(body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(body.len() + 4);
    message.put_u32(body.len() as u32 + 4);
    message.put_slice(body);
    message
}

/// It listens before it serves.
const STARTING_UP: &str = "57P03";
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Debian's.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const USER: &str = "postgres";
const AS_ITS_USER: [&str; 5] = ["--reuid", USER, "--regid", USER, "--clear-groups"];
const SETTINGS: &[&str] = &[
    "checkpoint_timeout=1h",
    "max_wal_size=8GB",
    "shared_buffers=256MB",
    "unix_socket_directories=",
    "synchronous_commit=on",
];
const PROTOCOL_VERSION: u32 = 3 << 16;
const TABLE: &str = "CREATE TABLE IF NOT EXISTS events \
    (id bigserial PRIMARY KEY, channel text NOT NULL, data text NOT NULL)\0";
const INSERT: &str = "insert\0INSERT INTO events (channel, data) VALUES ($1, $2)\0";
const SYNC: (u8, &[u8]) = (b'S', b"");
