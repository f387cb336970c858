use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tl_client::{Client, Draft, PublishOptions};
use tl_model::Form;

use super::board::Board;
use crate::CliError;

/// Publishes for a while, in turns over plain HTTP and over WebSocket.
pub(super) async fn run(
    client: &Client,
    time: Duration,
    interval: Duration,
    board: &Arc<Board>,
) -> Result<(), CliError> {
    let session = client.session(Form::Protobuf).await?;
    let until = tokio::time::Instant::now() + time;
    let mut ticks = tokio::time::interval(interval);
    for number in 0.. {
        ticks.tick().await;
        if tokio::time::Instant::now() >= until {
            break;
        }
        let draft = draft(number);
        let receipt = match number % 2 {
            0 => client.publish("demo.orders", &draft).await?,
            _ => {
                let options = PublishOptions::default();
                session.publish("demo.chat", vec![draft], options).await?.remove(0)
            }
        };
        let at = receipt.cursor.parse();
        board.published(at.map_err(|_| CliError::Other("an event was refused".into()))?);
    }
    board.published_all();
    Ok(())
}

/// When an event was made, in milliseconds since 1970; readers measure the way from there.
pub(super) fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

fn draft(number: u64) -> Draft {
    let data = format!("{{\"number\":{number},\"sent_ms\":{}}}", now_ms());
    Draft {
        event_type: Some("demo.tick".into()),
        data_content_type: Some("application/json".into()),
        data: Some(data.into()),
        ..Draft::default()
    }
}
