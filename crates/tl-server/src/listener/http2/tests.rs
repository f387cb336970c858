use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use tl_engine::Environment;
use tl_model::Epoch;
use tl_store::MemoryStore;
use tl_transport::HttpService;
use tl_transport::http::types::{Request, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::Config;
use crate::config::HumanDuration;
use crate::listener::ListenOptions;
use crate::server;

/// The least, the middle and the most that chance can be, in turn.
#[derive(Default)]
struct Chances(AtomicUsize);

impl Environment for Chances {
    fn now_ms(&self) -> u64 {
        1_800_000_000_000
    }

    fn random(&self) -> u64 {
        [0, u64::MAX / 2, u64::MAX][self.0.fetch_add(1, Ordering::Relaxed) % 3]
    }
}

/// A server of which the test is the only client.
struct Kit {
    engine: Engine,
    options: Arc<ListenOptions>,
    service: HttpService,
}

/// Both ends of a connection.
struct Connected {
    requests: SendRequest<Bytes>,
    /// How it ended for the client.
    left: JoinHandle<Result<(), h2::Error>>,
    /// How it ended for the server.
    served: JoinHandle<Result<(), ConnectionError>>,
}

impl Kit {
    fn new(config: &ConnectionsConfig) -> Self {
        let store = Arc::new(MemoryStore::new(Epoch::from_random(1 << 40)));
        let engine = Engine::start(store, Arc::new(Chances::default()), Default::default());
        let config = Config { connections: *config, ..Config::default() };
        let options = ListenOptions::new(&config, &engine).expect("there is no certificate");
        let service = server::host(&config, &engine).into_service();
        Self { engine, options: Arc::new(options), service }
    }

    async fn connect(&self, client: &h2::client::Builder) -> Connected {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let permit = self.options.permits.clone().try_acquire_owned().expect("there is room");
        let connection = Connection {
            options: self.options.clone(),
            service: self.service.clone(),
            stopping: CancellationToken::new(),
            connections: TaskTracker::new(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            permit,
        };
        let served = tokio::spawn(connection.sniff(far));
        let (requests, connection) = client.handshake(near).await.expect("HTTP/2 is spoken");
        Connected { requests, left: tokio::spawn(connection), served }
    }
}

impl Connected {
    async fn get(&self, path: &str, accept: &str) -> RecvStream {
        let uri = format!("http://localhost{path}");
        let request = Request::get(uri).header("accept", accept).body(()).expect("a request");
        let mut requests = self.requests.clone().ready().await.expect("the connection is alive");
        let (response, _) = requests.send_request(request, true).expect("it is sent");
        let response = response.await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    }

    async fn stream(&self) -> RecvStream {
        self.get("/v1/channels/a/events", "text/event-stream").await
    }
}

async fn text_of(mut body: RecvStream) -> String {
    let mut text = String::new();
    while let Some(data) = body.data().await {
        let data = data.expect("it ends in order");
        body.flow_control().release_capacity(data.len()).expect("it was taken");
        text.push_str(std::str::from_utf8(&data).expect("text"));
    }
    text
}

fn aging(age_max: u64) -> ConnectionsConfig {
    let age_max = Some(HumanDuration(Duration::from_secs(age_max)));
    ConnectionsConfig { age_max, ..ConnectionsConfig::default() }
}

/// In seconds, rounded.
fn seconds(since: Instant) -> u64 {
    since.elapsed().as_millis().div_ceil(1_000) as u64
}

#[tokio::test(start_paused = true)]
async fn an_aged_connection_sends_its_streams_elsewhere_and_ends() {
    let (kit, begun) = (Kit::new(&aging(100)), Instant::now());
    let connected = kit.connect(&h2::client::Builder::new()).await;
    let told = text_of(connected.stream().await).await;
    assert_eq!(seconds(begun), 90);
    assert!(told.ends_with("retry: 1000\n\n"), "{told}");
    let mut requests = connected.requests.clone();
    std::future::poll_fn(|cx| requests.poll_ready(cx)).await.expect_err("no more is taken");
    connected.left.await.expect("no panic").expect("an end in order");
    connected.served.await.expect("no panic").expect("an end in order");
    assert_eq!(seconds(begun), 90);
}

#[tokio::test(start_paused = true)]
async fn an_aged_connection_answers_its_polls_early() {
    let (kit, begun) = (Kit::new(&aging(20)), Instant::now());
    let connected = kit.connect(&h2::client::Builder::new()).await;
    let page = text_of(connected.get("/v1/channels/a/events?wait=60", "*/*").await).await;
    assert_eq!(seconds(begun), 18);
    assert!(page.starts_with("{\"cursor\":"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_an_aged_connection_is_cut_off_after_the_grace() {
    let (kit, begun) = (Kit::new(&aging(100)), Instant::now());
    // A client that takes nothing of what it has asked for cannot be told that this ends.
    let mut stalling = h2::client::Builder::new();
    let connected = kit.connect(stalling.initial_window_size(0)).await;
    let mut stream = connected.stream().await;
    let cut = stream.data().await.expect("it does not end in order");
    cut.expect_err("it is cut off");
    assert_eq!(seconds(begun), 90 + 30);
    let ended = connected.served.await.expect("no panic");
    assert!(matches!(ended, Err(ConnectionError::Aged)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_that_begin_together_do_not_end_together() {
    let (kit, begun) = (Kit::new(&aging(100)), Instant::now());
    let client = h2::client::Builder::new();
    let mut connected = Vec::new();
    for _ in 0..3 {
        connected.push(kit.connect(&client).await);
    }
    let mut ages = Vec::new();
    for Connected { left, requests, .. } in connected {
        left.await.expect("no panic").expect("an end in order");
        ages.push(seconds(begun));
        drop(requests);
    }
    assert_eq!(ages, [90, 100, 110]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_reaches_the_streams_of_every_connection() {
    let kit = Kit::new(&ConnectionsConfig::default());
    let connected = kit.connect(&h2::client::Builder::new()).await;
    let stream = connected.stream().await;
    kit.engine.drain();
    let told = text_of(stream).await;
    assert_eq!(told.matches("retry: ").count(), 2, "at the beginning and at the end: {told}");
}

#[test]
fn an_age_is_a_tenth_more_or_less() {
    let hour = Duration::from_secs(3_600);
    assert_eq!(age(hour, 0), hour * 9 / 10);
    assert_eq!(age(hour, u64::MAX), hour * 11 / 10);
}
