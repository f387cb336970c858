//! What users measure their server with.

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tl_client::{Subscribe, TransportKind};
use tl_conformance::{RunningServer, ServerOptions, cargo_built, free_port};

/// Events of a run over each transport.
const EVENTS: u64 = 300;
/// Ways to publish, with the number of publishers and the events each has under way.
const WAYS: [(&str, &str, &str); 6] = [
    ("http", "3", "4"),
    ("websocket", "2", "32"),
    ("websocket-protobuf", "1", "1"),
    ("grpc", "2", "8"),
    ("grpc-web", "2", "4"),
    ("connect", "3", "1"),
];

#[test]
fn a_bench_counts_exactly_what_is_published_and_delivered() {
    let server = RunningServer::start(&ServerOptions::default());
    let ran = ended(bench(server.url(), &["--seconds", "1", "--rate", "200", "--json"]));
    let report = report(&ran);
    let receipts = report["published"]["receipts"].as_u64().expect("a count");
    assert!(receipts > 0, "{report}");
    check(&server, &report, receipts, 4);
}

#[test]
fn a_bench_loses_nothing_over_any_transport() {
    let server = RunningServer::start(&ServerOptions::default());
    let events = EVENTS.to_string();
    for (transport, way) in TransportKind::ALL.into_iter().zip(WAYS.into_iter().cycle()) {
        let (publish_over, publishers, in_flight) = way;
        let ran = ended(bench(
            server.url(),
            &[
                "--json",
                "--events",
                &events,
                "--subscribers",
                "3",
                "--subscribe-over",
                transport.as_str(),
                "--publish-over",
                publish_over,
                "--publishers",
                publishers,
                "--in-flight",
                in_flight,
            ],
        ));
        check(&server, &report(&ran), EVENTS, 3);
    }
}

#[tokio::test]
async fn a_bench_that_is_interrupted_tells_what_it_has_counted() {
    let server = RunningServer::start(&ServerOptions::default());
    let mut events = server.client().subscribe(Subscribe::to(["bench.>"]));
    let running = bench(server.url(), &["--seconds", "3600", "--rate", "100"]);
    events.next_event().await.expect("it publishes");
    let id = running.id().to_string();
    let asked = Command::new("kill").args(["-INT", &id]).status().expect("kill runs");
    assert!(asked.success());
    let (status, out, err) = ended(running);
    assert_eq!(status, 0, "{err}");
    let figures: Vec<_> = out.lines().map(|line| line.split_whitespace().next()).collect();
    for name in ["receipts", "deliveries", "lost", "duplicates", "receipt", "delivery"] {
        assert!(figures.contains(&Some(name)), "{name}: {out}");
    }
}

#[test]
fn a_bench_without_a_server_says_what_to_do() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let (status, out, err) = ended(bench(&url, &[]));
    assert_eq!((status, out.as_str()), (1, ""), "{err}");
    for part in [url.as_str(), "cannot be reached", "throughline serve", "--server"] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn a_bench_tells_what_the_server_refuses() {
    let server = RunningServer::start(&ServerOptions::default());
    let (status, out, err) = ended(bench(server.url(), &["--channel", "$sys.bench"]));
    assert_eq!((status, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("$sys.bench"), "{err}");
}

/// Checks a report against itself and against the log.
fn check(server: &RunningServer, report: &Value, receipts: u64, subscribers: u64) {
    let (published, delivered) = (&report["published"], &report["delivered"]);
    assert_eq!(published["receipts"], receipts, "{report}");
    assert_eq!(published["refused"], 0, "{report}");
    assert_eq!(delivered["deliveries"], receipts * subscribers, "{report}");
    assert_eq!(delivered["lost"], 0, "{report}");
    assert_eq!(delivered["duplicates"], 0, "{report}");
    for side in [published, delivered] {
        let latency = |name: &str| side["latency_us"][name].as_u64().expect("a latency");
        let rising = ["p50", "p90", "p99", "max"].map(latency);
        assert!(rising.is_sorted(), "{report}");
    }
    let channel = report["channel"].as_str().expect("a name");
    // The last one ends the run.
    assert_eq!(logged(server, channel), receipts + 1, "{report}");
}

/// How many events the log has of a channel.
fn logged(server: &RunningServer, channel: &str) -> u64 {
    let arguments = ["--no-follow", "--output", "cursor", channel];
    let (status, out, err) = ended(start("subscribe", server.url(), &arguments));
    assert_eq!(status, 0, "{err}");
    out.lines().count() as u64
}

fn report((status, out, err): &(i32, String, String)) -> Value {
    assert_eq!(*status, 0, "{out}{err}");
    serde_json::from_str(out).expect("JSON")
}

fn bench(url: &str, arguments: &[&str]) -> std::process::Child {
    start("bench", url, arguments)
}

fn start(command: &str, url: &str, arguments: &[&str]) -> std::process::Child {
    Command::new(cargo_built("throughline"))
        .args([command, "--server", url])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// How it ends and what it says.
fn ended(child: std::process::Child) -> (i32, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}
