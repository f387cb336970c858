//! What subscribers and publishers get whatever they speak, and what calls get by HTTP/2 and TLS.

use std::time::Duration;

use tl_client::{
    Client, ClientBuilder, ClientError, Draft, Protocol, PublishOptions, Subscribe, Subscription,
    TransportKind, Update,
};
use tl_conformance::{Certificate, RunningServer, ServerOptions, free_port};
use tl_model::ErrorCode;
use tl_model::limits::BATCH_EVENTS_MAX;

/// With certificates that only the client's file makes trusted, and over HTTP/2 alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_over_both_versions_of_http_with_and_without_tls() {
    let certificate = Certificate::new();
    let (plain, secure) = (start(""), start(&certificate.config()));
    for server in [&plain, &secure] {
        let client = || ClientBuilder::new(server.url()).ca_file(certificate.path());
        for client in [client().build(), client().http2_only().build()] {
            let client = client.expect("an address and a certificate");
            for (protocol, transport) in Protocol::ALL.into_iter().skip(1).zip(CALLS) {
                let mut subscription = live(&client, "calls", transport).await;
                let id = publish(&client.over(protocol), "calls", b"").await;
                let event = in_time(subscription.next_event()).await.expect("an event");
                assert_eq!(event.event.id(), id, "{protocol:?} at {}", server.url());
            }
        }
    }
}

/// Every reader has what its window holds, and the publisher needs the same connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_take_nothing_hold_up_nobody_on_their_connection_and_lose_nothing() {
    let server = start("");
    let client = ClientBuilder::new(server.url()).http2_only().build().expect("an address");
    let mut readers = Vec::new();
    for transport in CALLS.into_iter().cycle().take(STOPPED_READERS) {
        readers.push((transport, live(&client, "slow", transport).await));
    }
    let publisher = client.over(Protocol::Grpc);
    let mut published = Vec::new();
    for _ in 0..EVENTS {
        published.push(in_time(publish(&publisher, "slow", &[7; EVENT_BYTES])).await);
    }
    for (transport, mut reader) in readers {
        for id in &published {
            let event = in_time(reader.next_event()).await.expect("an event");
            assert_eq!(event.event.id(), id, "{transport:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_a_server_that_stops_go_on_with_the_next() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let options = ServerOptions {
        config: "[drain]\nreconnect_within = \"100ms\"\n".to_owned(),
        data: Some(home.path().join("data")),
        port: free_port(),
        ..ServerOptions::default()
    };
    let server = RunningServer::start(&options);
    let client = server.client();
    let mut readers = Vec::new();
    for transport in TransportKind::ALL {
        readers.push((transport, live(&client, "drained", transport).await));
    }
    let before = publish(&client, "drained", b"").await;
    for (transport, reader) in &mut readers {
        let event = in_time(reader.next_event()).await.expect("an event");
        assert_eq!(event.event.id(), before, "{transport:?}");
    }
    server.stop();
    let server = RunningServer::start(&options);
    let after = publish(&server.client(), "drained", b"").await;
    for (transport, reader) in &mut readers {
        let mut reasons = Vec::new();
        let event = loop {
            match in_time(reader.next()).await.expect("it goes on").expect("it goes on") {
                Update::Disconnected { reason, .. } => reasons.push(reason),
                Update::Event(event) => break event,
                Update::CaughtUp(_) => {}
                Update::Gap { .. } => panic!("{transport:?}: nothing is missing"),
            }
        };
        assert_eq!(event.event.id(), after, "{transport:?}");
        if CALLS.contains(transport) {
            assert!(reasons[0].contains("about to stop"), "{transport:?}: {reasons:?}");
        }
    }
}

/// The same error as over plain HTTP, with all that it says.
#[tokio::test]
async fn a_refused_call_tells_what_plain_http_tells() {
    let server = start("");
    for protocol in Protocol::ALL {
        let client = server.client().over(protocol);
        let refused = client.publish("$sys.mine", &Draft::default()).await;
        let Err(ClientError::Refused(error)) = refused else { panic!("{protocol:?}: {refused:?}") };
        assert_eq!(error.code, ErrorCode::ChannelReserved, "{protocol:?}");
    }
    let all = TransportKind::ALL.map(|transport| (transport, "a..b".to_owned()));
    // The refusal names the channel, and gRPC tells it in headers.
    let long = CALLS.map(|transport| (transport, "ü".repeat(100_000)));
    for (transport, channel) in all.into_iter().chain(long) {
        let mut subscription = server.client().subscribe(Subscribe::to([channel]).over(transport));
        let refused = in_time(subscription.next()).await;
        let Some(Err(ClientError::Refused(error))) = refused else {
            panic!("{transport:?}: {refused:?}")
        };
        assert_eq!(error.code, ErrorCode::SelectionInvalid, "{transport:?}");
    }
}

/// Of a batch of which nothing is published a call tells one reason, and of another all of them.
#[tokio::test]
async fn a_batch_is_answered_event_by_event_over_every_protocol() {
    let server = start("");
    let draft = |id: &str| Draft { id: Some(id.into()), ..Draft::default() };
    let batch = [draft("good"), draft(""), draft("good too")];
    for protocol in Protocol::ALL {
        let client = server.client().over(protocol);
        let receipts = client.publish_batch("batch", &batch, PublishOptions::default()).await;
        let receipts = receipts.expect("receipts");
        let refused: Vec<_> = receipts.iter().map(|it| it.error.is_set()).collect();
        assert_eq!(refused, [false, true, false], "{protocol:?}");
        let options = PublishOptions { atomic: true, ..PublishOptions::default() };
        for batch in [batch.to_vec(), vec![draft(""); BATCH_EVENTS_MAX]] {
            let refused = client.publish_batch("batch", &batch, options.clone()).await;
            let Err(ClientError::Refused(error)) = refused else {
                panic!("{protocol:?}: {refused:?}")
            };
            assert_eq!(error.code, ErrorCode::EventInvalid, "{protocol:?}");
        }
    }
}

/// A subscription that has read all there was.
async fn live(client: &Client, channel: &str, transport: TransportKind) -> Subscription {
    let subscribe = Subscribe::to([channel]).after(tl_model::After::Latest).over(transport);
    let mut subscription = client.subscribe(subscribe);
    let first = in_time(subscription.next()).await;
    assert!(matches!(first, Some(Ok(Update::CaughtUp(_)))), "{transport:?}: {first:?}");
    subscription
}

/// Publishes an event, and returns its id.
async fn publish(client: &Client, channel: &str, data: &'static [u8]) -> String {
    let draft = Draft { data: Some(data.into()), ..Draft::default() };
    client.publish(channel, &draft).await.expect("a receipt").id
}

fn start(config: &str) -> RunningServer {
    RunningServer::start(&ServerOptions { config: config.to_owned(), ..ServerOptions::default() })
}

/// Waits no longer than anything here may take.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it comes in time")
}

/// What reads over calls, in the order of the protocols.
const CALLS: [TransportKind; 3] =
    [TransportKind::Grpc, TransportKind::GrpcWeb, TransportKind::Connect];
/// Many more than would fill the usual window of a connection.
const STOPPED_READERS: usize = 18;
/// More than a subscription reads ahead, and a stream's window besides.
const EVENTS: usize = 200;
const EVENT_BYTES: usize = 16 * 1024;
