use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tl_client::{Client, Received, Subscribe, TransportKind, Update};
use tl_model::After;

use super::board::{Board, State};
use super::publisher::now_ms;
use crate::CliError;

/// Reads over one transport after the other until everything published has been read.
pub(super) async fn run(client: Client, number: usize, board: Arc<Board>) -> Result<(), CliError> {
    let mut after = After::Earliest;
    for turn in number.. {
        let transport = TransportKind::ALL[turn % TransportKind::ALL.len()];
        board.change(number, transport, State::Connecting);
        let subscribe = Subscribe::to(["demo.>"]).after(after).over(transport);
        let mut updates = client.subscribe(subscribe);
        // Readers are cut off one after the other, not all at once.
        let first = if turn == number {
            Duration::from_millis(900 * number as u64)
        } else {
            Duration::ZERO
        };
        let reading = read(&mut updates, number, &mut after, &board);
        if tokio::time::timeout(TURN + first, reading).await.is_ok_and(|read| read.is_ok()) {
            board.change(number, transport, State::Done);
            return Ok(());
        }
        drop(updates);
        board.change(number, transport, State::Cut);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Ends well once nothing more is to come.
async fn read(
    updates: &mut tl_client::Subscription,
    number: usize,
    after: &mut After,
    board: &Board,
) -> Result<(), CliError> {
    while !board.has_all(number) {
        let next = tokio::time::timeout(LOOK_AGAIN, updates.next()).await;
        let Ok(update) = next else { continue };
        match update.ok_or_else(|| CliError::Other("a subscription has ended".into()))?? {
            Update::CaughtUp(_) => board.live(number),
            Update::Event(event) => {
                *after = After::Position(event.at);
                board.received(number, event.at, latency_ms(&event));
            }
            Update::Disconnected { .. } | Update::Gap { .. } => {}
        }
    }
    Ok(())
}

fn latency_ms(received: &Received) -> u64 {
    #[derive(Deserialize)]
    struct Tick {
        sent_ms: u128,
    }
    let data = received.event.data().unwrap_or_default();
    let tick: Option<Tick> = serde_json::from_slice(&data).ok();
    tick.map_or(0, |tick| now_ms().saturating_sub(tick.sent_ms) as u64)
}

/// How long a reader keeps a transport.
const TURN: Duration = Duration::from_secs(4);
/// How long it is away.
const PAUSE: Duration = Duration::from_millis(800);
/// How soon it notices that publishing has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
