use std::collections::HashMap;

use tl_client::{Client, Subscribe, TransportKind, Update};
use tl_model::{After, Offset, Position};

/// An event that a publisher has a receipt for: its place and its id, `ROUND-PUBLISHER-NUMBER`.
pub type Receipt = (Position, String);

/// An event that was read.
pub type Found = (Offset, String);

/// All events of a log behind a place, and where reading goes on.
pub async fn read_on(
    client: &Client,
    after: After,
    transport: TransportKind,
) -> (Vec<Found>, After) {
    let subscribe = Subscribe::to([">"]).after(after).over(transport);
    let mut subscription = client.subscribe(subscribe.without_reconnect());
    let mut events = Vec::new();
    loop {
        match subscription.next().await.expect("the end is told").expect("an update") {
            Update::Event(event) => events.push((event.at.offset, event.event.id().to_owned())),
            Update::CaughtUp(at) => return (events, After::Position(at)),
            other => panic!("{other:?}"),
        }
    }
}

/// Offsets rise, and the events of one publisher are in the order in which it published them.
pub fn check_order(events: &[Found], round: usize) {
    assert!(events.is_sorted_by(|a, b| a.0 < b.0), "round {round}");
    let mut last: HashMap<(&str, &str), usize> = HashMap::new();
    for (_, id) in events {
        let mut parts = id.split('-');
        let mut part = || parts.next().expect("three parts");
        let (of_round, publisher, number) = (part(), part(), part().parse().expect("a number"));
        let before = last.insert((of_round, publisher), number);
        assert!(before.is_none_or(|before| before < number), "round {round}: {id} comes late");
    }
}

/// How many receipts have no event. Those that have one have it once, at the place they name.
pub fn lost(receipts: &[Receipt], events: &[Found], round: usize) -> usize {
    let mut places: HashMap<&str, Vec<Offset>> = HashMap::new();
    for (offset, id) in events {
        places.entry(id).or_default().push(*offset);
    }
    let is_lost = |(at, id): &&Receipt| match places.get(id.as_str()).map(Vec::as_slice) {
        None => true,
        Some(found) => {
            assert_eq!(found, [at.offset], "round {round}: {id}");
            false
        }
    };
    receipts.iter().filter(is_lost).count()
}
