use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Stands before a server and counts the bytes that pass.
#[derive(Debug)]
pub struct Meter {
    port: u16,
    passed: Arc<Passed>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Passed {
    up: AtomicU64,
    down: AtomicU64,
}

impl Meter {
    /// Before the server on a port.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let passed = Arc::new(Passed::default());
        let counted = passed.clone();
        let task = tokio::spawn(async move {
            let mut passing = tokio::task::JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.expect("accepts");
                passing.spawn(pass(client, server, counted.clone()));
            }
        });
        Self { port, passed, _task: AbortOnDropHandle::new(task) }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Bytes that clients have sent.
    pub fn up(&self) -> u64 {
        self.passed.up.load(Ordering::Relaxed)
    }

    /// Bytes that the server has sent.
    pub fn down(&self) -> u64 {
        self.passed.down.load(Ordering::Relaxed)
    }
}

async fn pass(client: TcpStream, server: u16, passed: Arc<Passed>) {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await;
    let (from_server, to_server) = server.expect("the server is there").into_split();
    let (from_client, to_client) = client.into_split();
    tokio::select! {
        () = count(from_client, to_server, &passed.up) => {}
        () = count(from_server, to_client, &passed.down) => {}
    }
}

/// Ends when either side does.
async fn count(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counter: &AtomicU64,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        counter.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
