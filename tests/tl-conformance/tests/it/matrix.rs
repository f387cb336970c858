//! X1: read a part on one transport, drop it, go on with another: nothing lost, nothing twice.

use std::time::Duration;

use tl_client::{Client, Draft, Protocol, PublishOptions, Subscribe, TransportKind};
use tl_conformance::{RunningServer, ServerOptions, seed};
use tl_model::{After, Form, Position};

/// For every ordered pair of transports: concurrent publishers over everything one can publish over, a
/// reader that leaves the first transport at a random event and goes on with the second.
#[tokio::test]
async fn a_reader_can_leave_any_transport_and_go_on_with_any_other() {
    let seed = seed("matrix");
    let server = RunningServer::start(&ServerOptions::default());
    let client = server.client();
    let pairs = TransportKind::ALL
        .iter()
        .flat_map(|first| TransportKind::ALL.iter().map(|second| (*first, *second)));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, pair) in pairs.enumerate() {
        let random = fastrand::Rng::with_seed(seed.wrapping_add(number as u64));
        tasks.spawn(one_pair(client.clone(), format!("matrix.{number}"), pair, random));
    }
    tasks.join_all().await;
}

async fn one_pair(
    client: Client,
    channel: String,
    pair: (TransportKind, TransportKind),
    mut random: fastrand::Rng,
) {
    let publishers = publish(&client, &channel, &mut random).await;
    let leave_after = random.usize(1..EVENTS);
    let read = read(&client, &channel, pair, leave_after);
    let (found, published) = tokio::join!(read, publishers);
    assert_eq!(found, published, "{pair:?} after {leave_after} events");
}

/// A publisher over a session and one over each protocol, all at once; returns the ids of all events in the order of their receipts' cursors.
async fn publish(
    client: &Client,
    channel: &str,
    random: &mut fastrand::Rng,
) -> impl Future<Output = Vec<String>> + use<> {
    let session = client.session(Form::Protobuf).await.expect("a session");
    let mut tasks = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let (client, session, channel) = (client.clone(), session.clone(), channel.to_owned());
        let mut random = random.fork();
        tasks.spawn(async move {
            let mut receipts: Vec<(Position, String)> = Vec::new();
            let mut number = 0;
            while number < EVENTS / PUBLISHERS {
                let count = random.usize(1..6).min(EVENTS / PUBLISHERS - number);
                let drafts: Vec<_> =
                    (number..number + count).map(|n| draft(publisher, n, &mut random)).collect();
                number += count;
                let options = PublishOptions::default();
                let answered = match Protocol::ALL.get(publisher) {
                    Some(protocol) => {
                        client.over(*protocol).publish_batch(&channel, &drafts, options).await
                    }
                    None => session.publish(&channel, drafts, options).await,
                };
                for receipt in answered.expect("receipts") {
                    receipts.push((receipt.cursor.parse().expect("a cursor"), receipt.id));
                }
                if random.bool() {
                    tokio::time::sleep(Duration::from_millis(random.u64(0..4))).await;
                }
            }
            receipts
        });
    }
    async move {
        let mut receipts: Vec<_> = tasks.join_all().await.concat();
        receipts.sort_by_key(|(at, _)| at.offset);
        receipts.into_iter().map(|(_, id)| id).collect()
    }
}

fn draft(publisher: usize, number: usize, random: &mut fastrand::Rng) -> Draft {
    let length = if random.u8(..) < 10 { 40_000 } else { random.usize(0..300) };
    let data: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    Draft {
        id: Some(format!("{publisher}-{number}")),
        data_content_type: Some("application/octet-stream".into()),
        data: Some(data.into()),
        ..Draft::default()
    }
}

/// Reads so many events over the first transport, then the rest over the second.
async fn read(
    client: &Client,
    channel: &str,
    (first, second): (TransportKind, TransportKind),
    leave_after: usize,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = After::Earliest;
    for (transport, until) in [(first, leave_after), (second, EVENTS)] {
        let subscribe = Subscribe::to([channel]).after(after).over(transport);
        let mut subscription = client.subscribe(subscribe);
        while found.len() < until {
            let next = tokio::time::timeout(Duration::from_secs(30), subscription.next_event());
            let event = next.await.expect("an event in time").expect("an event");
            after = After::Position(event.at);
            found.push(event.event.id().to_owned());
        }
    }
    found
}

const PUBLISHERS: usize = Protocol::ALL.len() + 1;
const EVENTS: usize = 120;
