//! What operators do to the files of a store.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tl_client::{Client, Draft, Subscribe, TransportKind, Update};
use tl_conformance::{RawSocket, RunningServer, ServerOptions, cargo_built, say, seed};
use tl_model::{Channel, Durability, Event, LoggedEvent, NewEvent, Offset, Position, Selection};
use tl_store::{Batch, LogStore, Read};
use tl_store_disk::{DiskStore, Options};

/// Receipts to wait for before a backup begins.
const RECEIPTS: usize = 2_000;
/// Small, so that even a few events are several batches.
const EVENTS_BATCH: usize = 2;
/// Publishers at once.
const PUBLISHERS: usize = 16;

#[tokio::test]
async fn check_tells_a_sound_store_from_a_damaged_one() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = home.path().join("data");
    log(&data, (0..3).map(|number| event(&number.to_string(), None, Some(b"data"))).collect())
        .await;
    let (status, out, _) = ran(&store("check", &data, &[]));
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("3 events in 1 channels") && out.ends_with("is sound.\n"), "{out}");
    let segment = data.join("journal/00000000000000000001.segment");
    let mut bytes = std::fs::read(&segment).expect("reads");
    bytes[120] ^= 1;
    std::fs::write(&segment, &bytes).expect("writes");
    log_is_refused(&data);
    let (status, out, err) = ran(&store("check", &data, &[]));
    assert_eq!(status, 1, "{out}");
    assert!(out.contains("DAMAGED") && out.contains("byte 48"), "{out}");
    assert!(err.contains("restore it from a backup"), "{err}");
    assert_eq!(std::fs::read(&segment).expect("reads"), bytes, "nothing is written");
}

/// A server refuses a damaged log, and serves what is left of it once it is repaired.
#[tokio::test]
async fn a_repaired_store_is_served_with_a_gap() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = home.path().join("data");
    log(&data, vec![event("1", None, Some(b"data"))]).await;
    log(&data, vec![event("2", None, Some(b"data"))]).await;
    log(&data, vec![event("3", None, Some(b"data"))]).await;
    let segment = data.join("journal/00000000000000000001.segment");
    let mut bytes = std::fs::read(&segment).expect("reads");
    bytes[120] ^= 1;
    std::fs::write(&segment, &bytes).expect("writes");
    let (status, out, err) = ran(&store("repair", &data, &[]));
    assert_eq!(status, 1, "{out}");
    assert!(out.contains("DAMAGED") && err.contains("--accept-loss"), "{out}{err}");
    log_is_refused(&data);
    let (status, out, _) = ran(&store("repair", &data, &["--accept-loss"]));
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("Repaired. The store holds 2 events"), "{out}");
    let (status, out, _) = ran(&store("repair", &data, &["--accept-loss"]));
    assert!(status == 0 && out.contains("nothing to repair"), "{out}");
    assert_eq!(ran(&store("check", &data, &[])).0, 0);
    let options = ServerOptions { data: Some(data), ..ServerOptions::default() };
    let server = RunningServer::start(&options);
    let mut socket = RawSocket::connect(server.port()).await;
    socket.send("GET /v1/events?channel=%3E&after=earliest HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let page = socket.answer().await.expect("an answer").body;
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(page["events"].as_array().map(Vec::len), Some(2), "{page}");
    assert!(page["gap"].is_object(), "{page}");
    for transport in TransportKind::ALL {
        let mut updates = server.client().subscribe(Subscribe::to([">"]).over(transport));
        let mut told = Vec::new();
        for _ in 0..4 {
            told.push(updates.next().await.expect("it goes on").expect("an update"));
        }
        let [Update::Gap { .. }, Update::Event(_), Update::Event(_), Update::CaughtUp(_)] =
            told[..]
        else {
            panic!("{transport:?}: {told:?}")
        };
    }
}

#[tokio::test]
async fn a_store_in_use_is_left_to_its_server() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = home.path().join("data");
    let options = ServerOptions { data: Some(data.clone()), ..ServerOptions::default() };
    let _server = RunningServer::start(&options);
    for command in ["check", "stats", "export", "import"] {
        let (status, _, err) = ran(&store(command, &data, &[]));
        assert_eq!(status, 1, "{command}");
        assert!(err.contains("is in use by another process"), "{command}: {err}");
    }
    let absent = home.path().join("absent");
    for command in ["check", "stats", "export"] {
        let (status, _, err) = ran(&store(command, &absent, &[]));
        assert_eq!(status, 1, "{command}");
        assert!(err.contains("holds no Throughline store"), "{command}: {err}");
    }
    assert!(!absent.exists(), "nothing is made by looking");
}

#[tokio::test]
async fn stats_count_what_a_store_holds() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = home.path().join("data");
    log(&data, (0..30).map(|number| event(&number.to_string(), None, Some(b"1234"))).collect())
        .await;
    let (status, out, _) = ran(&store("stats", &data, &["--json"]));
    let stats: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(status, 0);
    assert_eq!((&stats["events"], &stats["data_bytes"]), (&30.into(), &120.into()));
    assert_eq!(stats["largest_channels"][0]["events"], 30);
    let (_, out, _) = ran(&store("stats", &data, &[]));
    assert!(out.contains("bytes on disk") && out.contains("test.channel"), "{out}");
}

#[tokio::test]
async fn what_is_exported_and_imported_is_the_same_byte_for_byte() {
    let mut random = fastrand::Rng::with_seed(seed("export"));
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| home.path().join(name);
    let events: Vec<_> = (0..1_000).map(|number| any_event(number, &mut random)).collect();
    log(&path("old"), events).await;
    let first = ran(&store("export", &path("old"), &[]));
    let (status, out, err) = ran_with(&store("import", &path("new"), &[]), first.1.as_bytes());
    assert_eq!((status, out.as_str()), (0, "1,000 events imported\n"), "{err}");
    let file = path("again.ndjson");
    let name = file.to_str().expect("text");
    assert_eq!(ran(&store("export", &path("new"), &["--output", name])).0, 0);
    let second = std::fs::read_to_string(&file).expect("reads");
    let without_cursor = |line: &str| line.split_once(',').map(|(_, rest)| rest.to_owned());
    for (old, new) in first.1.lines().zip(second.lines()) {
        assert_eq!(without_cursor(old), without_cursor(new));
    }
    let (old, new) = (read(&path("old")).await, read(&path("new")).await);
    assert_eq!(old.len(), 1_000);
    for (old, new) in old.iter().zip(&new) {
        assert_eq!((&old.channel, &old.event), (&new.channel, &new.event));
    }
    assert_eq!(old.len(), new.len());
    let refused = ran(&store("export", &path("new"), &["--output", name]));
    assert_eq!(refused.0, 1, "no file is written over");
}

#[tokio::test]
async fn an_export_can_begin_anywhere_and_leave_out_channels() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = home.path().join("data");
    log(&data, (0..4).map(|number| event(&number.to_string(), None, None)).collect()).await;
    let epoch = tl_store_disk::epoch(&data).expect("a store");
    let cursor = |offset| Position { epoch, offset: Offset::new(offset) }.cursor().to_string();
    let exported = |arguments: &[&str]| ran(&store("export", &data, arguments));
    assert_eq!(exported(&["--after", &cursor(3)]).1.lines().count(), 1);
    assert_eq!(exported(&["--channel", "test.*"]).1.lines().count(), 4);
    assert_eq!(exported(&["--channel", "other"]).1, "");
    assert!(exported(&["--after", &cursor(5)]).2.contains("ahead of the log"));
    assert!(exported(&["--after", "10000000000000"]).2.contains("another log"));
}

#[tokio::test]
async fn an_import_tells_the_lines_that_are_no_events() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = home.path().join("data");
    let sound =
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",\"channel\":\"a\"}";
    let lines = format!("{sound}\n\nnonsense\n{{\"id\":\"1\"}}\n{sound}");
    let (status, out, err) = ran_with(&store("import", &data, &[]), lines.as_bytes());
    assert_eq!((status, out.as_str()), (1, "2 events imported\n"));
    assert!(err.contains("line 3 refused") && err.contains("line 4 refused"), "{err}");
    let reserved = sound.replace("\"a\"", "\"$a\"");
    let (status, _, err) = ran_with(&store("import", &data, &[]), reserved.as_bytes());
    assert!(status == 1 && err.contains("belongs to the server"), "{err}");
    let (status, ..) = ran_with(&store("import", &data, &["--channel", "b"]), reserved.as_bytes());
    assert_eq!(status, 0);
    let channels: Vec<_> = read(&data).await.into_iter().map(|it| it.channel).collect();
    assert_eq!(channels, ["a", "a", "b"].map(|name| Channel::parse(name).expect("channel")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_every_receipt_from_before_it() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (data, copy) = (home.path().join("data"), home.path().join("copy"));
    let config = "[store]\nsegment_bytes = \"1MiB\"\n".to_owned();
    let data = Some(data);
    let options = ServerOptions { config, data, ..ServerOptions::default() };
    let server = RunningServer::start(&options);
    let mut receipts = start_publishers(&server.client());
    let mut before = Vec::new();
    for round in 0..2 {
        while before.len() < RECEIPTS * (round + 1) {
            let receipt = tokio::time::timeout(Duration::from_secs(60), receipts.recv()).await;
            before.push(receipt.expect("in time").expect("publishers go on"));
        }
        let directory = options.data.clone().expect("it is named");
        let to = copy.to_str().expect("text").to_owned();
        let backup = move || ran(&store("backup", &directory, &["--to", &to]));
        let (status, out, err) = tokio::task::spawn_blocking(backup).await.expect("it ends");
        assert_eq!(status, 0, "{out}{err}");
        say(&out);
        let kept = !out.contains(" 0 kept");
        assert_eq!(kept, round == 1, "whole segments are copied once: {out}");
    }
    server.kill();
    assert_eq!(ran(&store("check", &copy, &[])).0, 0);
    let served = RunningServer::start(&ServerOptions { data: Some(copy), ..options });
    let mut subscription = served.client().subscribe(Subscribe::to(["backup"]));
    let mut missing: std::collections::HashSet<_> = before.into_iter().collect();
    while !missing.is_empty() {
        let received = tokio::time::timeout(Duration::from_secs(30), subscription.next_event());
        let received = received.await.expect("every receipt is there").expect("an event");
        missing.remove(&(received.at, received.event.id().to_owned()));
    }
}

type Receipts = tokio::sync::mpsc::UnboundedReceiver<(Position, String)>;

/// Publishers that go on until the server is gone.
fn start_publishers(client: &Client) -> Receipts {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    for publisher in 0..PUBLISHERS {
        let (client, sender) = (client.clone(), sender.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let id = format!("{publisher}-{number}");
                let data = Some(vec![b'x'; 1_000].into());
                let draft = Draft { id: Some(id.clone()), data, ..Draft::default() };
                let Ok(receipt) = client.publish("backup", &draft).await else { return };
                let at = receipt.cursor.parse().expect("a cursor");
                if sender.send((at, id)).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// `throughline store …`.
fn store(command: &str, data: &Path, arguments: &[&str]) -> Vec<String> {
    let data = data.to_str().expect("text");
    let arguments = ["store", command, "--data", data].into_iter().chain(arguments.iter().copied());
    arguments.map(str::to_owned).collect()
}

/// How it ends and what it says.
fn ran(arguments: &[String]) -> (i32, String, String) {
    ran_with(arguments, b"")
}

fn ran_with(arguments: &[String], input: &[u8]) -> (i32, String, String) {
    let program: PathBuf = cargo_built("throughline");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // A program that has refused to begin reads nothing.
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    writing.join().expect("writing does not panic");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

fn log_is_refused(data: &Path) {
    assert!(DiskStore::open(&Options::new(data)).is_err(), "a server would refuse it, too");
}

async fn log(data: &Path, events: Vec<NewEvent>) {
    let store = DiskStore::open(&Options { segment_bytes: 1 << 20, ..Options::new(data) });
    let store = store.expect("opens");
    let few = |events: &[NewEvent]| Batch {
        durability: Durability::Fsync,
        logged_at_ms: 1_000,
        events: events.to_vec(),
    };
    for events in events.chunks(EVENTS_BATCH) {
        store.append(few(events)).await.expect("appends");
    }
}

async fn read(data: &Path) -> Vec<LoggedEvent> {
    let store = DiskStore::open(&Options::new(data)).expect("opens");
    let selection = Selection::parse([">"]).expect("selection");
    let (events_max, bytes_max) = (usize::MAX, usize::MAX);
    let read = Read { selection, after: Offset::START, events_max, bytes_max };
    store.read(read).await.expect("reads").events
}

fn event(id: &str, content_type: Option<&str>, data: Option<&[u8]>) -> NewEvent {
    let mut event = Event::builder(id, "/test", "test");
    if let Some(content_type) = content_type {
        event = event.data_content_type(content_type);
    }
    if let Some(data) = data {
        event = event.data(data);
    }
    let channel = Channel::parse("test.channel").expect("channel");
    NewEvent { channel, event: event.build().expect("legal") }
}

/// Binary data, empty data and none, JSON with white space and without, text, and what is said to
/// be one and is another.
fn any_event(number: usize, random: &mut fastrand::Rng) -> NewEvent {
    let types = ["application/json", "text/plain", "application/octet-stream", "x/y+json"];
    let content_type = (random.u8(..4) > 0).then(|| types[random.usize(..types.len())]);
    let length = random.usize(..600);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    let text: String = std::iter::repeat_with(|| random.char(..)).take(length / 10).collect();
    let data: Option<Vec<u8>> = match random.u8(..7) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(bytes),
        3 => Some(text.into_bytes()),
        4 => Some(b"{\r\n\t\"a\": [1,\r2 ],  \"b\\n\": 1.50}\r\n".to_vec()),
        5 => Some(b" null ".to_vec()),
        _ => Some(format!("[{number},{{\"x\":\"\\u00e9\"}}]").into_bytes()),
    };
    event(&number.to_string(), content_type, data.as_deref())
}

/// What fits into the segment that is being filled is still taken; then publishing is refused, reading
/// goes on, and once there is room so does publishing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_met_before_its_reserve_is_taken() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let start = |reserve: &str| {
        let config = format!("[store]\nsegment_bytes = \"1MiB\"\nreserve_bytes = \"{reserve}\"\n");
        let data = Some(home.path().join("data"));
        RunningServer::start(&ServerOptions { config, data, ..ServerOptions::default() })
    };
    let draft = Draft { data: Some(vec![b'x'; 300_000].into()), ..Draft::default() };
    let server = start("0B");
    server.client().publish("a", &draft).await.expect("there is room");
    server.stop();
    // More than any disk has.
    let server = start("1EiB");
    let client = server.client();
    let mut taken = 1;
    let refusal = loop {
        match client.publish("a", &draft).await {
            Ok(_) => taken += 1,
            Err(error) => break error.to_string(),
        }
        assert!(taken < 10, "no new segment is begun");
    };
    assert!(refusal.contains("store_full"), "{refusal}");
    let page = client.page(&["a".to_owned()], "earliest", None, None).await.expect("a page");
    assert_eq!(page.expect("it is new").events.len(), taken);
    server.stop();
    let server = start("0B");
    server.client().publish("a", &draft).await.expect("there is room again");
}
