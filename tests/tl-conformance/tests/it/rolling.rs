//! Restarts under load: every stream goes elsewhere, and nobody misses anything.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use tl_client::{Client, Draft, PublishOptions, Subscribe, TransportKind};
use tl_conformance::{RunningServer, ServerOptions, free_port};
use tl_model::IdempotencyKey;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_go_through_rolling_restarts_and_miss_nothing() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let options = ServerOptions {
        config: "[drain]\nreconnect_within = \"1s\"\n".to_owned(),
        data: Some(home.path().join("data")),
        port: free_port(),
        ..ServerOptions::default()
    };
    let mut server = RunningServer::start(&options);
    let client = server.client();
    let mut readers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let connection = client.apart().expect("one more connection");
        for _ in 0..STREAMS {
            let subscribe = Subscribe::to(["rolling"]).over(TransportKind::Grpc);
            readers.spawn(read_all(connection.subscribe(subscribe)));
        }
    }
    let (progress, mut published) = watch::channel(0);
    let publishing = tokio::spawn(publish_all(client, progress));
    for restart in 1..=RESTARTS {
        let some = EVENTS * restart / (RESTARTS + 1);
        published.wait_for(|count| *count >= some).await.expect("the publisher goes on");
        server.stop();
        server = RunningServer::start(&options);
    }
    publishing.await.expect("it publishes");
    let expected: Vec<_> = (0..EVENTS).map(|number| number.to_string()).collect();
    while let Some(read) = readers.join_next().await {
        assert_eq!(read.expect("it reads"), expected, "everything, once and in order");
    }
}

/// Publishes one event after the other, again and again until it has the receipt.
async fn publish_all(client: Client, progress: watch::Sender<usize>) {
    for number in 0..EVENTS {
        let key = IdempotencyKey::parse(&format!("rolling-{number}")).expect("a key");
        let options = PublishOptions { idempotency_key: Some(key), ..PublishOptions::default() };
        let draft = Draft { id: Some(number.to_string()), ..Draft::default() };
        let again = Duration::from_millis(50);
        while client
            .publish_batch("rolling", std::slice::from_ref(&draft), options.clone())
            .await
            .is_err()
        {
            tokio::time::sleep(again).await;
        }
        progress.send_replace(number + 1);
    }
}

/// The ids of all events.
async fn read_all(mut subscription: tl_client::Subscription) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < EVENTS {
        let event = tokio::time::timeout(TIMEOUT, subscription.next_event()).await;
        let event = event.expect("it comes in time").expect("the subscription goes on");
        ids.push(event.event.id().to_owned());
    }
    ids
}

const CONNECTIONS: usize = 10;
/// On each connection.
const STREAMS: usize = 100;
const RESTARTS: usize = 2;
const EVENTS: usize = 300;
/// Much longer than a restart takes.
const TIMEOUT: Duration = Duration::from_secs(120);
