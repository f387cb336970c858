//! Streams and long polls through a real nginx that nobody has configured for them.

use std::time::{Duration, Instant};

use tl_client::{
    Client, ClientBuilder, Draft, Page, Subscribe, Subscription, TransportKind, Update,
};
use tl_conformance::{Nginx, RunningServer, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Proxied {
    server: RunningServer,
    nginx: Nginx,
    client: Client,
}

impl Proxied {
    fn start() -> Self {
        let server = RunningServer::start(&ServerOptions::default());
        let nginx = Nginx::start(server.port());
        let client = ClientBuilder::new(nginx.url()).build().expect("the address is legal");
        Self { server, nginx, client }
    }

    async fn publish(&self, id: &str) {
        let draft = Draft { id: Some(id.into()), data: Some("x".into()), ..Draft::default() };
        self.client.publish(CHANNEL, &draft).await.expect("a receipt");
    }

    /// A stream that is live, and ends with its connection.
    async fn stream(&self, transport: TransportKind) -> Subscription {
        let subscribe = Subscribe::to([CHANNEL]).over(transport).without_reconnect();
        let mut stream = self.client.subscribe(subscribe);
        let first = in_time(stream.next()).await;
        assert!(matches!(first, Some(Ok(Update::CaughtUp(_)))), "{first:?}");
        stream
    }

    async fn poll(&self, after: &str, wait: Duration) -> Page {
        let page = self.client.page(&[CHANNEL.into()], after, Some(wait), None).await;
        page.expect("a page").expect("a page that has changed")
    }
}

#[tokio::test]
async fn nginx_passes_every_event_on_at_once() {
    for transport in STREAMS {
        let proxied = Proxied::start();
        let mut stream = proxied.stream(transport).await;
        for number in 0..20 {
            let id = number.to_string();
            proxied.publish(&id).await;
            let event = in_time(stream.next_event()).await.expect("an event");
            assert_eq!(event.event.id(), id, "{transport:?}");
        }
    }
}

#[tokio::test]
async fn an_idle_stream_stays_open_through_nginx() {
    let proxied = Proxied::start();
    let mut idle = tokio::task::JoinSet::new();
    for transport in STREAMS {
        let mut stream = proxied.stream(transport).await;
        idle.spawn(async move {
            let idle = tokio::time::timeout(IDLE, stream.next()).await;
            assert!(idle.is_err(), "{transport:?}: {idle:?}");
            stream
        });
    }
    let streams = idle.join_all().await;
    proxied.publish("late").await;
    for mut stream in streams {
        assert_eq!(in_time(stream.next_event()).await.expect("an event").event.id(), "late");
    }
}

#[tokio::test]
async fn a_long_poll_through_nginx_is_answered_by_the_next_event() {
    let proxied = Proxied::start();
    let mut after = "earliest".to_owned();
    for number in 0..5 {
        let id = number.to_string();
        // The poll is sent first; which of the two arrives first does not matter.
        let poll = in_time(proxied.poll(&after, WAIT));
        let (page, ()) = tokio::join!(biased; poll, proxied.publish(&id));
        let found: Vec<_> = page.events.iter().map(|it| it.event.id()).collect();
        assert_eq!(found, [id]);
        after = page.next.cursor().to_string();
    }
}

#[tokio::test]
async fn a_long_poll_through_nginx_may_wait_in_vain() {
    let proxied = Proxied::start();
    let started = Instant::now();
    let page = proxied.poll("earliest", WAIT).await;
    assert!(page.events.is_empty() && page.caught_up, "{page:?}");
    let waited = started.elapsed();
    assert!((WAIT..WAIT + Duration::from_secs(5)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn a_stream_tells_proxies_what_to_do_with_it() {
    let proxied = Proxied::start();
    let direct = head(proxied.server.url()).await;
    assert!(direct.contains("\r\nx-accel-buffering: no\r\n"), "{direct}");
    let through = head(&proxied.nginx.url()).await;
    assert!(!through.contains("x-accel"), "nginx takes it as meant for itself: {through}");
    for head in [direct, through] {
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: text/event-stream\r\n"), "{head}");
        assert!(head.contains("\r\ncache-control: no-cache\r\n"), "{head}");
        assert!(head.contains("\r\nvary: accept\r\n"), "{head}");
    }
}

/// The head of a stream as it comes over the wire, in lower case.
async fn head(url: &str) -> String {
    let host = url.strip_prefix("http://").expect("an address");
    let mut connection = TcpStream::connect(host).await.expect("connects");
    let request = format!(
        "GET /v1/channels/{CHANNEL}/events HTTP/1.1\r\nHost: {host}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.expect("writes");
    let mut read = Vec::new();
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = in_time(connection.read_buf(&mut read)).await.expect("reads");
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&read));
    }
    String::from_utf8_lossy(&read).to_lowercase()
}

/// Waits no longer than something that comes at once may take.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_ONCE, what).await.expect("it comes at once")
}

const CHANNEL: &str = "orders";
/// What streams over HTTP/1.1, which is all that such an nginx speaks to a server.
const STREAMS: [TransportKind; 3] =
    [TransportKind::Sse, TransportKind::GrpcWeb, TransportKind::Connect];
/// Far less than the time after which a proxy that buffers gives something out.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Less than the 60 s of silence after which nginx gives up a server.
const WAIT: Duration = Duration::from_secs(20);
/// Twice the silence after which nginx gives up a server.
const IDLE: Duration = Duration::from_secs(120);
