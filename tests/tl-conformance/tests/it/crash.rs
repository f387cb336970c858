//! X3, X6: what has a receipt is there after `kill -9`, once and in order.

use std::time::Duration;

use tl_client::{Client, Draft, Protocol, PublishOptions, Session, TransportKind};
use tl_conformance::{
    Receipt, RunningServer, ServerOptions, check_order, lost, read_on, say, seed,
};
use tl_model::{After, Form, Position};

/// Rounds of publishing, killing and starting anew.
const ROUNDS: usize = 200;
/// Publishers at once, half over HTTP, half over WebSocket.
const PUBLISHERS: usize = 64;
/// Longer than a client waits for an answer. Most learn at once that the server is gone, but hyper can
/// lose a request that is made while its connection ends (hyperium/hyper issue 4122).
const NOTICED_MAX: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_survives_any_kill_once_and_in_order() {
    let mut random = fastrand::Rng::with_seed(seed("crash"));
    let mut log = Log::new("");
    for round in 0..ROUNDS {
        let lost = log.one_round(round, &mut random).await;
        assert_eq!(lost, 0, "round {round} lost events that had receipts");
    }
    say(&format!("{} events with receipts, {} found", log.receipts, log.found));
    assert!(log.receipts > ROUNDS * 10, "the rounds must be worth something");
}

/// The check of the check: without durability the same rounds lose events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_durability_the_same_rounds_lose_events() {
    let mut random = fastrand::Rng::with_seed(seed("crash without durability"));
    let mut log = Log::new("[[rules]]\npattern = \">\"\ndurability = \"memory\"\n");
    let mut lost = 0;
    for round in 0..20 {
        lost += log.one_round(round, &mut random).await;
    }
    assert!(lost > 0, "{} receipts and none was lost", log.receipts);
}

/// One log through many lives of the server.
struct Log {
    home: tempfile::TempDir,
    config: String,
    /// Up to where everything has been checked.
    checked: After,
    receipts: usize,
    found: usize,
}

impl Log {
    fn new(rules: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let config = format!("[store]\nsegment_bytes = \"1MiB\"\n{rules}");
        Self { home, config, checked: After::Earliest, receipts: 0, found: 0 }
    }

    fn start(&self) -> RunningServer {
        let data = Some(self.home.path().join("data"));
        let config = self.config.clone();
        RunningServer::start(&ServerOptions { config, data, ..ServerOptions::default() })
    }

    /// Publishes, kills at a random moment, starts anew, and looks for every receipt. Returns how
    /// many are lost.
    async fn one_round(&mut self, round: usize, random: &mut fastrand::Rng) -> usize {
        let server = self.start();
        let publishers = start_publishers(&server, round).await;
        let alive = Duration::from_micros(random.u64(0..150_000));
        tokio::time::sleep(alive).await;
        server.kill();
        let receipts = tokio::time::timeout(NOTICED_MAX, publishers.join_all()).await;
        let receipts = receipts.expect("every publisher notices that the server is gone").concat();
        let server = self.start();
        let transport = TransportKind::ALL[random.usize(..TransportKind::ALL.len())];
        let (events, checked) = read_on(&server.client(), self.checked, transport).await;
        self.checked = checked;
        server.kill();
        self.receipts += receipts.len();
        self.found += events.len();
        check_order(&events, round);
        lost(&receipts, &events, round)
    }
}

async fn start_publishers(
    server: &RunningServer,
    round: usize,
) -> tokio::task::JoinSet<Vec<Receipt>> {
    let client = server.client();
    let mut publishers = tokio::task::JoinSet::new();
    let sessions = [Form::Json, Form::Protobuf].map(|form| client.session(form));
    let [json, protobuf] = sessions;
    let sessions = [json.await.expect("a session"), protobuf.await.expect("a session")];
    for publisher in 0..PUBLISHERS {
        let (client, session) = (client.clone(), sessions[publisher / 2 % 2].clone());
        publishers.spawn(async move {
            let mut receipts = Vec::new();
            for number in 0.. {
                let id = format!("{round}-{publisher}-{number}");
                let published = publish(&client, &session, publisher, &id).await;
                // The server was killed: whether this event was logged nobody knows.
                let Some(at) = published else { break };
                receipts.push((at, id));
            }
            receipts
        });
    }
    publishers
}

/// Publishes one event, and returns its place if there is a receipt.
async fn publish(
    client: &Client,
    session: &Session,
    publisher: usize,
    id: &str,
) -> Option<Position> {
    let channel = format!("crash.{}", publisher % 8);
    let data = Some("x".repeat(publisher * 20).into());
    let content_type = Some("text/plain".to_owned());
    let id = Some(id.to_owned());
    let draft = Draft { id, data, data_content_type: content_type, ..Draft::default() };
    let receipt = match publisher % 2 {
        0 => {
            let protocol = Protocol::ALL[publisher / 2 % Protocol::ALL.len()];
            client.over(protocol).publish(&channel, &draft).await.ok()?
        }
        _ => {
            let options = PublishOptions::default();
            session.publish(&channel, vec![draft], options).await.ok()?.pop()?
        }
    };
    assert!(receipt.error.is_unset(), "{receipt:?}");
    Some(receipt.cursor.parse().expect("a cursor"))
}
