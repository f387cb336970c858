//! Publishers that go on until the server is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use tl_client::{Client, ClientError, Draft};
use tl_conformance::{Receipt, RunningServer};

/// Publishers at work.
pub(crate) struct Publishers {
    tasks: JoinSet<Told>,
    refused: Arc<Notify>,
}

/// What publishers were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) receipts: Vec<Receipt>,
    /// How often, by the code of the error.
    pub(crate) refusals: BTreeMap<&'static str, usize>,
}

impl Publishers {
    /// Sets them to work.
    pub(crate) fn start(server: &RunningServer, round: usize) -> Self {
        let refused = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            tasks.spawn(publish(server.client(), round, publisher, refused.clone()));
        }
        Self { tasks, refused }
    }

    /// Waits until one of them is refused something. `false` if that does not happen.
    pub(crate) async fn are_refused(&self) -> bool {
        tokio::time::timeout(REFUSED_WITHIN, self.refused.notified()).await.is_ok()
    }

    /// What they were told, once the server is gone.
    pub(crate) async fn told(self) -> Told {
        let told = tokio::time::timeout(GONE_WITHIN, self.tasks.join_all()).await;
        let told = told.expect("every publisher notices that the server is gone");
        told.into_iter().fold(Told::default(), Told::and)
    }
}

impl Told {
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.receipts.extend(other.receipts);
        for (code, count) in other.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
        self
    }
}

async fn publish(client: Client, round: usize, publisher: usize, refused: Arc<Notify>) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        let id = format!("{round}-{publisher}-{number}");
        let data = Some("x".repeat(publisher * DATA_STEP).into());
        let data_content_type = Some("text/plain".to_owned());
        let draft = Draft { id: Some(id.clone()), data, data_content_type, ..Draft::default() };
        match client.publish(&format!("faults.{}", publisher % 4), &draft).await {
            Ok(receipt) => told.receipts.push((receipt.cursor.parse().expect("a cursor"), id)),
            Err(ClientError::Refused(error)) => {
                *told.refusals.entry(error.code.as_str()).or_default() += 1;
                refused.notify_one();
                // A refusal costs the server nothing; there need not be thousands.
                tokio::time::sleep(REFUSED_WAIT).await;
            }
            // The server is gone: whether this event was logged nobody knows.
            Err(ClientError::Connection(_)) => break,
            Err(error) => panic!("{id}: {error}"),
        }
    }
    told
}

/// Publishers at once.
const PUBLISHERS: usize = 16;
/// Each publishes larger events than the one before it, up to 6,000 bytes.
const DATA_STEP: usize = 400;
/// Some faults are met only when a segment is made, which may not happen.
const REFUSED_WITHIN: Duration = Duration::from_millis(700);
const REFUSED_WAIT: Duration = Duration::from_millis(5);
/// Longer than a killed server's connections can take to break.
const GONE_WITHIN: Duration = Duration::from_secs(30);
