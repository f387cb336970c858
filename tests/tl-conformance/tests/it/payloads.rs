//! X2: what was published is what is read, byte for byte, on every transport.
//!
//! The input is real: all example payloads of GitHub's webhooks (npm `@octokit/webhooks-examples`),
//! as the package has them, with their line breaks, and also on one line; and data no JSON carries.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use serde_json::value::RawValue;

use tl_client::{Client, Draft, Protocol, PublishOptions, Subscribe, TransportKind};
use tl_conformance::{RunningServer, ServerOptions, say};
use tl_model::Form;

/// Something to publish.
#[derive(Clone)]
struct Payload {
    id: String,
    content_type: &'static str,
    data: Bytes,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_payload_is_the_same_on_every_transport() {
    let payloads: Vec<_> = github_payloads().into_iter().chain(other_payloads()).collect();
    assert!(payloads.len() > 400, "only {} payloads", payloads.len());
    let server = RunningServer::start(&ServerOptions::default());
    let client = server.client();
    publish_in_every_way(&client, &payloads).await;
    let published: HashMap<_, _> = payloads.iter().map(|it| (it.id.as_str(), it)).collect();
    for transport in TransportKind::ALL {
        let mut subscription = client.subscribe(Subscribe::to([CHANNEL]).over(transport));
        for _ in 0..payloads.len() {
            let received = subscription.next_event().await.expect("an event");
            let payload = published[received.event.id()];
            let data = received.event.data().expect("data");
            assert_eq!(data, payload.data, "{} over {transport:?}", payload.id);
            assert_eq!(received.event.data_content_type(), Some(payload.content_type));
        }
    }
    same_by_http_alone(&server, &client, &published).await;
    say(&format!("{} payloads over {} transports", payloads.len(), TransportKind::ALL.len() + 3));
}

/// A page of lines, a batch, and every event on its own, read without our client.
async fn same_by_http_alone(
    server: &RunningServer,
    client: &Client,
    published: &HashMap<&str, &Payload>,
) {
    let http = client.http();
    let mut after = "earliest".to_owned();
    loop {
        let page = client.page(&[CHANNEL.to_owned()], &after, None, None).await.expect("a page");
        let page = page.expect("changed");
        for received in &page.events {
            let url = format!("{}/v1/events/{}", server.url(), received.at.cursor());
            let response = http.get(url).send().await.expect("an answer");
            let data = response.bytes().await.expect("a body");
            let payload = published[received.event.id()];
            assert_eq!(data, payload.data, "{} by its cursor", payload.id);
        }
        let url = format!("{}/v1/channels/{CHANNEL}/events?after={after}", server.url());
        let get = async |accept: &str| {
            let response = http.get(&url).header("accept", accept).send().await.expect("an answer");
            response.bytes().await.expect("a body")
        };
        let lines = get("application/x-ndjson").await;
        let batch = get("application/cloudevents-batch+json").await;
        for drafts in [
            tl_wire::batch::read_lines(&lines).expect("lines"),
            tl_wire::batch::read_array(&batch).expect("an array"),
        ] {
            assert_eq!(drafts.len(), page.events.len());
            for draft in drafts {
                let draft = draft.expect("an event");
                let payload = published[draft.id.as_deref().expect("an id")];
                assert_eq!(draft.data, Some(payload.data.clone()), "{}", payload.id);
            }
        }
        if page.caught_up {
            return;
        }
        after = page.next.cursor().to_string();
    }
}

/// One over plain HTTP with the data as body, one over each protocol, one over each form of a session,
/// and so on.
async fn publish_in_every_way(client: &Client, payloads: &[Payload]) {
    let sessions = [client.session(Form::Json).await, client.session(Form::Protobuf).await];
    let sessions = sessions.map(|session| session.expect("a session"));
    for (number, payload) in payloads.iter().enumerate() {
        let draft = Draft {
            id: Some(payload.id.clone()),
            data_content_type: Some(payload.content_type.to_owned()),
            data: Some(payload.data.clone()),
            ..Draft::default()
        };
        let options = PublishOptions::default();
        let way = number % (1 + sessions.len() + Protocol::ALL.len());
        let receipt = match (way, sessions.get(way.wrapping_sub(1))) {
            (0, _) => {
                client
                    .publish_raw(CHANNEL, &payload.id, payload.content_type, payload.data.clone())
                    .await
            }
            (_, Some(session)) => {
                let receipts = session.publish(CHANNEL, vec![draft], options).await;
                receipts.map(|mut receipts| receipts.remove(0))
            }
            (way, None) => {
                let protocol = Protocol::ALL[way - 1 - sessions.len()];
                client.over(protocol).publish(CHANNEL, &draft).await
            }
        };
        let receipt = receipt.unwrap_or_else(|error| panic!("{}: {error}", payload.id));
        assert!(receipt.error.is_unset(), "{}: {receipt:?}", payload.id);
    }
}

/// All payloads of the collection, as they stand in its file and on one line.
fn github_payloads() -> Vec<Payload> {
    #[derive(serde::Deserialize)]
    struct Hook<'a> {
        name: String,
        #[serde(borrow)]
        examples: Vec<&'a RawValue>,
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../node/node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask test`", file.display()));
    let hooks: Vec<Hook<'_>> = serde_json::from_str(&text).expect("the collection is JSON");
    let mut payloads = Vec::new();
    for hook in &hooks {
        for (number, example) in hook.examples.iter().enumerate() {
            let compact: serde_json::Value = serde_json::from_str(example.get()).expect("JSON");
            let compact = serde_json::to_vec(&compact).expect("JSON");
            let spaced = example.get().as_bytes().to_vec();
            let with_newline = [spaced.as_slice(), b"\n"].concat();
            for (form, data) in [("file", spaced), ("newline", with_newline), ("line", compact)] {
                let id = format!("{}-{number}-{form}", hook.name);
                let data = Bytes::from(data);
                payloads.push(Payload { id, content_type: "application/json", data });
            }
        }
    }
    payloads
}

/// Data that is large, empty, not text, or not easy.
fn other_payloads() -> Vec<Payload> {
    let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(1024 * 1024).collect();
    let payload = |id: &str, content_type, data: Vec<u8>| Payload {
        id: id.to_owned(),
        content_type,
        data: data.into(),
    };
    vec![
        payload("1 MiB", "application/octet-stream", random),
        payload("empty", "application/octet-stream", Vec::new()),
        payload("empty text", "text/plain", Vec::new()),
        payload("all bytes", "image/png", (0..=255).collect()),
        payload("crlf", "application/json", b"{\r\n\t\"a\": [1,\r2 ]}\r\n".to_vec()),
        payload("text", "text/html; charset=utf-8", "<p>über\r\n\0€</p>\n".into()),
        payload("latin", "text/plain; charset=iso-8859-1", b"\xfcber".to_vec()),
        payload("surrogate", "application/json", br#""\ud800""#.to_vec()),
        payload("number", "application/json", b"1.0000000000000000000001e400".to_vec()),
        payload("deep", "application/json", [vec![b'['; 5_000], vec![b']'; 5_000]].concat()),
        payload("duplicate", "application/json", br#"{"a":1,"a":2}"#.to_vec()),
        payload("null", "application/json", b"null".to_vec()),
    ]
}

const CHANNEL: &str = "payloads";
