use std::time::Duration;

use tl_client::{Client, Draft};
use tl_model::Position;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::RunningServer;

/// Whether a server is well, and stays so while somebody does it harm: meanwhile somebody else
/// publishes and reads on it without a pause.
#[derive(Debug)]
pub struct Vitals<'a> {
    server: &'a RunningServer,
    client: Client,
    before_kib: u64,
    stop: oneshot::Sender<()>,
    witness: JoinHandle<Witnessed>,
}

/// How somebody else was served meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Witnessed {
    /// Events published and read.
    pub events: usize,
    /// The longest that one took.
    pub slowest: Duration,
}

impl<'a> Vitals<'a> {
    /// Begins to watch.
    pub async fn watch(server: &'a RunningServer) -> Self {
        Self::watch_as(server, server.client()).await
    }

    /// Begins to watch, with this client.
    pub async fn watch_as(server: &'a RunningServer, client: Client) -> Self {
        publish_and_read(&client).await;
        let (stop, stopped) = oneshot::channel();
        let witness = tokio::spawn(witness(client.clone(), stopped));
        Self { server, client, before_kib: status_kib(server, "VmRSS:"), stop, witness }
    }

    /// By how many KiB the server has grown, at its largest.
    pub fn growth_kib(&self) -> u64 {
        status_kib(self.server, "VmHWM:").saturating_sub(self.before_kib)
    }

    /// Ends well only if nothing panicked, others were served all the time, the server lives, and
    /// never took more than this much more memory than before.
    pub async fn are_good(self, growth_kib_max: u64) -> Witnessed {
        let growth = self.growth_kib();
        let Self { server, client, stop, witness, .. } = self;
        // It may have ended with a panic, which the next line shows.
        let _ = stop.send(());
        let witnessed = witness.await.expect("others are served meanwhile");
        publish_and_read(&client).await;
        let live = client.http().get(format!("{}/health/live", server.url())).send().await;
        assert_eq!(live.expect("it lives").status(), 200);
        let log = server.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(growth <= growth_kib_max, "grew by {growth} KiB, not {growth_kib_max}: {log}");
        crate::say(&format!("grew by {growth} KiB; {witnessed:?}"));
        witnessed
    }
}

async fn witness(client: Client, mut stopped: oneshot::Receiver<()>) -> Witnessed {
    let mut witnessed = Witnessed::default();
    loop {
        let begun = Instant::now();
        publish_and_read(&client).await;
        witnessed.events += 1;
        witnessed.slowest = witnessed.slowest.max(begun.elapsed());
        let pause = tokio::time::timeout(PAUSE, &mut stopped);
        if pause.await.is_ok() {
            return witnessed;
        }
    }
}

/// Publishes an event, and reads it.
async fn publish_and_read(client: &Client) {
    let serving = async {
        let receipt = client.publish("vitals", &Draft::default()).await.expect("a receipt");
        let at: Position = receipt.cursor.parse().expect("a cursor");
        let before = Position { offset: at.offset.previous(), ..at };
        let page = client.page(&["vitals".to_owned()], &before.cursor(), None, None).await;
        let page = page.expect("a page").expect("it is new");
        assert_eq!(page.events[0].at, at);
    };
    tokio::time::timeout(PATIENCE, serving).await.expect("others are served in time");
}

/// A figure of the server's process.
fn status_kib(server: &RunningServer, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()));
    let status = status.expect("the server runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("Linux says it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// What others wait at most, on a busy machine and without optimization.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between one event and the next.
const PAUSE: Duration = Duration::from_millis(20);
