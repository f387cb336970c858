//! Streams and sessions in a real browser, and streams in a client for node that others wrote.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use tl_client::{Client, Draft, PublishOptions};
use tl_conformance::{Program, RunningServer, ServerOptions, free_port};
use tl_model::Position;

#[tokio::test(flavor = "multi_thread")]
async fn the_event_source_of_a_browser_resumes_by_itself_after_a_crash() {
    resumes_after_crashes(browser()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_source_of_node_resumes_by_itself_after_a_crash() {
    resumes_after_crashes(Program::node("node.js")).await;
}

/// Events are published all the time, small and large; the server is killed in the middle, twice.
async fn resumes_after_crashes(mut reader: Program) {
    let home = Home::for_pages_of(&reader);
    let mut server = home.start();
    let publisher = Publisher::start(server.client());
    reader.call("read", json!([home.url("/v1/channels/orders/events")]));
    let mut seen = 0;
    for _ in 0..2 {
        seen = count(&reader.call("events", json!([seen + 50])));
        server.kill();
        server = home.start();
    }
    reader.call("events", json!([seen + 50]));
    let receipts = publisher.stop().await;
    let logged = logged(&server.client(), "orders").await;
    let acknowledged: Vec<_> = logged.iter().filter(|id| receipts.contains(id)).collect();
    assert_eq!(acknowledged, receipts.iter().collect::<Vec<_>>());
    let events = reader.call("events", json!([logged.len()]));
    assert_eq!(texts(&events, "id"), logged);
    assert_eq!(texts(&events, "lastEventId"), texts(&events, "cursor"));
    assert!(reader.call("partsMax", json!([])).as_u64() > Some(1));
    let resumes = reader.call("resumes", json!([]));
    assert!(count(&resumes) > 2 && resumes[0].is_null() && resumes[1].is_string(), "{resumes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_wakes_no_page_but_moves_it_on() {
    let mut browser = browser();
    let mut home = Home::for_pages_of(&browser);
    home.options.config += "[connections]\nheartbeat = \"1s\"\n";
    let server = home.start();
    let client = server.client();
    browser.call("read", json!([home.url("/v1/channels/orders/events")]));
    browser.call("names", json!([1]));
    publish(&client, "orders", &["1"]).await;
    browser.call("events", json!([1]));
    let passed = publish(&client, "others", &["2", "3", "4"]).await;
    let beat = browser.call("heartbeat", json!([passed]));
    let dispatched = browser.call("dispatched", json!([]));
    assert_eq!(dispatched, json!(["caught-up", "message"]));
    server.kill();
    let _server = home.start();
    publish(&client, "orders", &["5"]).await;
    let events = browser.call("events", json!([2]));
    assert_eq!(texts(&events, "id"), ["1", "5"]);
    let resumed = browser.call("resumes", json!([]));
    let resumed = resumed.as_array().expect("a list").last().and_then(Value::as_str);
    assert!(position(resumed) >= position(beat.as_str()), "{resumed:?} {beat}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_reaches_a_page_in_parts() {
    let mut browser = browser();
    let home = Home::for_pages_of(&browser);
    let server = home.start();
    let text = "\"line\"\nü€😀 ".repeat(LARGE_BYTES / 16);
    let draft = Draft { data: Some(text.clone().into()), ..draft("1") };
    server.client().publish("orders", &draft).await.expect("a receipt");
    browser.call("read", json!([home.url("/v1/channels/orders/events")]));
    browser.call("events", json!([1]));
    let data = browser.call("data", json!([0]));
    assert!(data == text.as_str(), "the parts do not make the event");
    assert!(browser.call("partsMax", json!([])).as_u64() > Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_publishes_and_subscribes_over_a_websocket() {
    let mut browser = browser();
    let home = Home::for_pages_of(&browser);
    let _server = home.start();
    let url = home.websocket();
    let opened = browser.call("connect", json!([url, "throughline.v1.json"]));
    assert_eq!(opened, json!({"isOpen": true, "protocol": "throughline.v1.json"}));
    let subscribe = json!({"subscription": 1, "channels": ["orders.>"]});
    browser.call("say", json!([{"subscribe": subscribe}]));
    let events = json!([{"id": "1", "data": {"price": 5}}, {"id": "2", "channel": "others"}]);
    let publish = json!({"request": 7, "channel": "orders.eu", "events": events});
    browser.call("say", json!([{"publish": publish}]));
    let receipts = heard(&mut browser, "receipts");
    assert_eq!(receipts["request"], 7);
    assert_eq!(texts(&receipts["receipts"], "id"), ["1", "2"]);
    let events = heard(&mut browser, "events")["events"].take();
    assert_eq!(count(&events), 1);
    assert_eq!(events[0]["data"], json!({"price": 5}));
    assert_eq!(events[0]["cursor"], receipts["receipts"][0]["cursor"]);
    browser.call("say", json!([{"ping": {"nonce": 3}}]));
    assert_eq!(heard(&mut browser, "pong")["nonce"], 3);
    assert_eq!(browser.call("close", json!([])), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_use_the_server_only_if_its_origin_is_listed() {
    let mut browser = browser();
    let home = Home::for_pages_of(&browser);
    let server = home.start();
    let url = home.url("/v1/channels/orders/events");
    let headers = json!({"content-type": "application/json"});
    let event = json!({"method": "POST", "body": "5", "headers": headers});
    let published = browser.call("request", json!([url, event]));
    assert_eq!(published["status"], 201, "{published}");
    let page = browser.call("request", json!([url]));
    assert!(page["etag"].is_string(), "{page}");

    let unlisted = browser.greeting()["origins"][1].clone();
    browser.call("open", json!([unlisted]));
    let refused = json!({"error": "TypeError"});
    assert_eq!(browser.call("request", json!([url])), refused);
    assert_eq!(browser.call("request", json!([url, event])), refused);
    let mut unasked = event;
    unasked["mode"] = json!("no-cors");
    assert_eq!(browser.call("request", json!([url, unasked]))["type"], "opaque");
    assert_eq!(browser.call("read", json!([url])), json!({"isOpen": false}));
    let opened = browser.call("connect", json!([home.websocket(), "throughline.v1.json"]));
    assert_eq!(opened["isOpen"], false);
    let logged = logged(&server.client(), "orders").await;
    assert_eq!(logged.len(), 1, "what the browser sends without asking is refused too");
}

/// A browser that shows the page which the servers here know.
fn browser() -> Program {
    let mut browser = Program::node("browser.js");
    let listed = browser.greeting()["origins"][0].clone();
    browser.call("open", json!([listed]));
    browser
}

/// Where a server comes back after it was killed.
struct Home {
    options: ServerOptions,
    _data: TempDir,
}

impl Home {
    /// Of a server that the pages of the first origin may use.
    fn for_pages_of(program: &Program) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let origins = program.greeting()["origins"].as_array().expect("a list");
        let listed: Vec<_> = origins.iter().take(1).collect();
        let config = format!("[listen]\norigins = {}\n", json!(listed));
        let (port, path) = (free_port(), Some(data.path().join("log")));
        Self {
            options: ServerOptions { config, port, data: path, ..ServerOptions::default() },
            _data: data,
        }
    }

    fn start(&self) -> RunningServer {
        RunningServer::start(&self.options)
    }

    fn url(&self, path: &str) -> Value {
        json!(format!("http://127.0.0.1:{}{path}", self.options.port))
    }

    fn websocket(&self) -> Value {
        json!(format!("ws://127.0.0.1:{}/v1/session", self.options.port))
    }
}

/// Publishes one event after the other, whether the server is there or not.
struct Publisher {
    is_over: Arc<AtomicBool>,
    receipts: tokio::task::JoinHandle<Vec<String>>,
}

impl Publisher {
    fn start(client: Client) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let receipts = tokio::spawn(publish_on(client, is_over.clone()));
        Self { is_over, receipts }
    }

    /// Stops; returns the ids of all events there are receipts for.
    async fn stop(self) -> Vec<String> {
        self.is_over.store(true, Ordering::Relaxed);
        self.receipts.await.expect("it does not panic")
    }
}

async fn publish_on(client: Client, is_over: Arc<AtomicBool>) -> Vec<String> {
    let mut receipts = Vec::new();
    for number in 0u32.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let mut draft = draft(&number.to_string());
        if number % 10 == 0 {
            draft.data = Some("x".repeat(LARGE_BYTES).into());
        }
        if let Ok(receipt) = client.publish("orders", &draft).await {
            receipts.push(receipt.id);
        }
        tokio::time::sleep(PACE).await;
    }
    receipts
}

/// Publishes events; returns the cursor of the last.
async fn publish(client: &Client, channel: &str, ids: &[&str]) -> String {
    let drafts: Vec<_> = ids.iter().copied().map(draft).collect();
    let receipts = client.publish_batch(channel, &drafts, PublishOptions::default()).await;
    receipts.expect("receipts").pop().expect("a receipt").cursor
}

fn draft(id: &str) -> Draft {
    let content_type = Some("text/plain".into());
    let data = Some("x".into());
    Draft { id: Some(id.into()), data_content_type: content_type, data, ..Draft::default() }
}

/// The ids of all events of a channel, in order.
async fn logged(client: &Client, channel: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = "earliest".to_owned();
    loop {
        let page = client.page(&[channel.into()], &after, None, None).await;
        let page = page.expect("a page").expect("a page that has changed");
        ids.extend(page.events.iter().map(|event| event.event.id().to_owned()));
        if page.caught_up {
            return ids;
        }
        after = page.next.cursor().to_string();
    }
}

/// The first frame of this kind that the page gets.
fn heard(browser: &mut Program, kind: &str) -> Value {
    let frames = browser.call("frames", json!([kind]));
    let mut found = frames.as_array().into_iter().flatten().filter_map(|frame| frame.get(kind));
    found.next().cloned().unwrap_or_else(|| panic!("no {kind} among {frames}"))
}

fn texts(list: &Value, field: &str) -> Vec<String> {
    let items = list.as_array().expect("a list").iter();
    items.map(|item| item[field].as_str().expect("a text").to_owned()).collect()
}

fn count(list: &Value) -> usize {
    list.as_array().expect("a list").len()
}

fn position(cursor: Option<&str>) -> u64 {
    let position: Position = cursor.and_then(|text| text.parse().ok()).expect("a cursor");
    position.offset.get()
}

/// Several times what one block of a stream holds.
const LARGE_BYTES: usize = 200_000;
/// Fast enough that a killed server leaves events behind, slow enough to read them all.
const PACE: Duration = Duration::from_millis(5);
