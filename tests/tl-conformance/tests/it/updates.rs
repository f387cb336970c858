//! X8, REST3: of writers who saw the same state, one succeeds.

use std::time::Duration;

use tl_conformance::{RunningServer, ServerOptions};

/// Writers of one document.
const WRITERS: u64 = 64;
/// Updates of the document, by all of them together.
const UPDATES: u64 = 10_000;
const PAUSE_MS_MIN: u64 = 20;
const PAUSE_MS_MAX: u64 = 640;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_updates_are_never_lost() {
    let server = server();
    let counter = Counter::made_on(&server).await;
    let attempts = counter.count_up(UPDATES, true).await;
    assert_eq!(counter.read().await.1, UPDATES, "{attempts} attempts");
    tl_conformance::say(&format!("{UPDATES} updates took {attempts} attempts"));
}

/// The check of the check: without a condition the same updates are lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_conditions_the_same_updates_are_lost() {
    let server = server();
    let counter = Counter::made_on(&server).await;
    let updates = UPDATES / 10;
    counter.count_up(updates, false).await;
    let (_, count) = counter.read().await;
    assert!(count < updates, "{count} of {updates} are left");
}

fn server() -> RunningServer {
    RunningServer::start(&ServerOptions {
        config: "[[rules]]\npattern = \">\"\ndurability = \"memory\"\n".to_owned(),
        ..ServerOptions::default()
    })
}

/// A document that is a number.
#[derive(Clone)]
struct Counter {
    http: reqwest::Client,
    url: String,
}

impl Counter {
    async fn made_on(server: &RunningServer) -> Self {
        let http = server.client().http().clone();
        let counter = Self { http, url: format!("{}/v1/channels/count/state", server.url()) };
        let made = counter.http.put(&counter.url).header("if-none-match", "*").body("0");
        assert_eq!(made.send().await.expect("an answer").status(), 201);
        counter
    }

    /// The document's tag and value.
    async fn read(&self) -> (String, u64) {
        let answer = self.http.get(&self.url).send().await.expect("an answer");
        let tag = tag(&answer);
        (tag, answer.text().await.expect("a body").parse().expect("a number"))
    }

    /// Everybody reads the number and writes the next, until all have done so often enough. Returns
    /// how often they tried.
    async fn count_up(&self, updates: u64, with_condition: bool) -> u64 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let share = updates / WRITERS + u64::from(writer < updates % WRITERS);
            let counter = self.clone();
            writers.spawn(async move { counter.write(share, with_condition).await });
        }
        writers.join_all().await.into_iter().sum()
    }

    async fn write(&self, updates: u64, with_condition: bool) -> u64 {
        let (mut done, mut attempts, mut pause_ms) = (0, 0, PAUSE_MS_MIN);
        while done < updates {
            let (seen, count) = self.read().await;
            let mut put = self.http.put(&self.url).body((count + 1).to_string());
            if with_condition {
                put = put.header("if-match", &seen);
            }
            attempts += 1;
            match put.send().await.expect("an answer").status().as_u16() {
                200 => (done, pause_ms) = (done + 1, PAUSE_MS_MIN),
                412 => {
                    // Whoever loses a race lets others go first, and longer if it loses again.
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..pause_ms))).await;
                    pause_ms = PAUSE_MS_MAX.min(pause_ms * 2);
                }
                other => panic!("{other}"),
            }
        }
        attempts
    }
}

fn tag(answer: &reqwest::Response) -> String {
    answer.headers()["etag"].to_str().expect("text").to_owned()
}
