//! Streams, long polls and calls through a real nginx, which knows of nothing but where the server is.

use std::time::{Duration, Instant};

use tl_client::{
    Client, ClientBuilder, ClientError, Draft, Page, Protocol, Subscribe, Subscription,
    TransportKind, Update,
};
use tl_conformance::{Nginx, RunningServer, ServerOptions, free_port};
use tl_model::ErrorCode;
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

    /// gRPC, which nginx is to be told of.
    fn start_grpc() -> Self {
        Self::behind_grpc(RunningServer::start(&ServerOptions::default()))
    }

    fn behind_grpc(server: RunningServer) -> Self {
        let nginx = Nginx::start_grpc(server.port());
        let client = ClientBuilder::new(nginx.url()).http2_only().build();
        let client = client.expect("the address is legal").over(Protocol::Grpc);
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
    let streams = STREAMS.map(|transport| (Proxied::start(), transport));
    let calls = CALLS.map(|transport| (Proxied::start_grpc(), transport));
    for (proxied, transport) in streams.into_iter().chain(calls) {
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
    let (proxied, grpc) = (Proxied::start(), Proxied::start_grpc());
    let mut idle = tokio::task::JoinSet::new();
    let streams = STREAMS.map(|transport| (&proxied, transport));
    for (proxied, transport) in streams.into_iter().chain(CALLS.map(|transport| (&grpc, transport)))
    {
        let mut stream = proxied.stream(transport).await;
        idle.spawn(async move {
            let idle = tokio::time::timeout(IDLE, stream.next()).await;
            assert!(idle.is_err(), "{transport:?}: {idle:?}");
            stream
        });
    }
    let streams = idle.join_all().await;
    proxied.publish("late").await;
    grpc.publish("late").await;
    for mut stream in streams {
        assert_eq!(in_time(stream.next_event()).await.expect("an event").event.id(), "late");
    }
}

#[tokio::test]
async fn a_call_that_is_refused_says_why_through_nginx() {
    let proxied = Proxied::start_grpc();
    for protocol in [Protocol::Grpc, Protocol::GrpcWeb, Protocol::Connect] {
        let refused = proxied.client.over(protocol).publish("$sys.mine", &Draft::default()).await;
        let Err(ClientError::Refused(error)) = refused else { panic!("{protocol:?}: {refused:?}") };
        assert_eq!(error.code, ErrorCode::ChannelReserved, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_page_behind_nginx_may_call_its_own_origin() {
    let proxied = Proxied::start_grpc();
    let url = format!("{}/throughline.v1.EventService/Publish", proxied.nginx.url());
    for (origin, status) in [(proxied.nginx.url(), 200), ("http://elsewhere".into(), 403)] {
        let call = proxied.client.http().post(&url).header("origin", &origin);
        let call = call.header("content-type", "application/json");
        let answer = call.body(r#"{"channel": "a", "events": [{}]}"#).send().await;
        assert_eq!(answer.expect("an answer").status(), status, "{origin}");
    }
}

#[tokio::test]
async fn a_subscriber_behind_nginx_goes_on_with_the_next_server() {
    for transport in CALLS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (port, data) = (free_port(), Some(home.path().join("data")));
        let options = ServerOptions { port, data, ..ServerOptions::default() };
        let proxied = Proxied::behind_grpc(RunningServer::start(&options));
        let subscribe = Subscribe::to([CHANNEL]).over(transport);
        let mut stream = proxied.client.subscribe(subscribe);
        proxied.publish("1").await;
        assert_eq!(stream.next_event().await.expect("an event").event.id(), "1", "{transport:?}");
        proxied.server.stop();
        let proxied = Proxied { server: RunningServer::start(&options), ..proxied };
        proxied.publish("2").await;
        let event = tokio::time::timeout(Duration::from_secs(60), stream.next_event()).await;
        let event = event.expect("it comes").expect("an event");
        assert_eq!(event.event.id(), "2", "{transport:?}");
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
/// What streams over HTTP/2, which such an nginx speaks to a server of gRPC.
const CALLS: [TransportKind; 3] =
    [TransportKind::Grpc, TransportKind::GrpcWeb, TransportKind::Connect];
/// Far less than the time after which a proxy that buffers gives something out.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Less than the 60 s of silence after which nginx gives up a server.
const WAIT: Duration = Duration::from_secs(20);
/// Twice the silence after which nginx gives up a server.
const IDLE: Duration = Duration::from_secs(120);
