//! X7, REST2: whoever repeats a request with its key pays once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use tl_client::Client;
use tl_conformance::{RunningServer, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Payments, made by several clients at once.
const PAYMENTS: usize = 400;
const CLIENTS: usize = 8;
/// Before a payment is sent again.
const PAUSE: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_made_once_however_often_it_is_sent() {
    let made = pay_over_a_bad_line(true).await;
    assert_eq!(made.len(), PAYMENTS, "all are made");
    let twice: Vec<_> = made.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// The check of the check: without keys the same payments are made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_the_same_payments_are_made_twice() {
    let made = pay_over_a_bad_line(false).await;
    assert!(made.values().any(|times| *times > 1), "{made:?}");
}

/// Everybody pays until they are told that it is done, while every third answer gets lost, and the
/// server is killed and started anew. Returns how often each payment was made.
async fn pay_over_a_bad_line(with_keys: bool) -> HashMap<String, usize> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let options = ServerOptions { data: Some(home.path().join("data")), ..Default::default() };
    let server = RunningServer::start(&options);
    let line = BadLine::to(server.port()).await;
    let paid = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (address, paid) = (line.address, paid.clone());
        clients.spawn(async move {
            for number in (client..PAYMENTS).step_by(CLIENTS) {
                pay(address, &format!("payment {number}"), with_keys).await;
                paid.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while paid.load(Ordering::Relaxed) < PAYMENTS / 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.kill();
    let server = RunningServer::start(&options);
    line.port.store(server.port(), Ordering::Relaxed);
    let all = tokio::time::timeout(Duration::from_secs(120), clients.join_all()).await;
    all.expect("everybody is told in the end");
    count(&server.client()).await
}

async fn count(client: &Client) -> HashMap<String, usize> {
    let (mut made, mut after) = (HashMap::new(), "earliest".to_owned());
    loop {
        let page = client.page(&["payments".to_owned()], &after, None, None).await;
        let page = page.expect("a page").expect("it is new");
        for event in page.events {
            let data = event.event.data().unwrap_or_default();
            *made.entry(String::from_utf8_lossy(&data).into_owned()).or_default() += 1;
        }
        if page.caught_up {
            return made;
        }
        after = page.next.cursor().to_string();
    }
}

/// Sends a payment again and again until there is an answer.
async fn pay(line: SocketAddr, payment: &str, with_key: bool) {
    loop {
        match send(line, payment, with_key).await {
            Ok(Some(201)) => return,
            // The first request is not done yet, or the line is bad, or the server is down.
            Ok(Some(409 | 503) | None) | Err(_) => tokio::time::sleep(PAUSE).await,
            Ok(Some(other)) => panic!("{other}"),
        }
    }
}

/// Sends a payment once, and returns the status of the answer if one comes.
async fn send(line: SocketAddr, payment: &str, with_key: bool) -> std::io::Result<Option<u16>> {
    let key = match with_key {
        true => format!("Idempotency-Key: \"{payment}\"\r\n"),
        false => String::new(),
    };
    let request = format!(
        "POST /v1/channels/payments/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Content-Type: text/plain\r\n{key}Content-Length: {}\r\n\r\n{payment}",
        payment.len()
    );
    let mut socket = TcpStream::connect(line).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()))
}

/// A proxy that loses every third answer.
struct BadLine {
    address: SocketAddr,
    port: Arc<AtomicU16>,
}

impl BadLine {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let line = Self {
            address: listener.local_addr().expect("an address"),
            port: Arc::new(AtomicU16::new(port)),
        };
        let port = line.port.clone();
        tokio::spawn(async move {
            for number in 0usize.. {
                let Ok((client, _)) = listener.accept().await else { return };
                let port = port.load(Ordering::Relaxed);
                let is_lost = number % 3 == 2;
                tokio::spawn(async move { carry(client, port, is_lost).await });
            }
        });
        line
    }
}

/// Carries one request there, and its answer back.
async fn carry(mut client: TcpStream, port: u16, is_lost: bool) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut answer = Vec::new();
    {
        let (mut from_client, _) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let request = tokio::io::copy(&mut from_client, &mut to_server);
        tokio::select! {
            _ = request => {}
            read = from_server.read_to_end(&mut answer) => { read?; }
        }
    }
    if !is_lost {
        client.write_all(&answer).await?;
    }
    Ok(())
}
