//! Programs of the command line. They turn JSON into messages themselves.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use tl_conformance::{RunningServer, ServerOptions, tools};

use super::library::{list, texts};
use super::{of, publish};

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_asks_the_server_what_there_is_and_calls_it() {
    let config = "[rpc]\nreflection = true\n".to_owned();
    let server = RunningServer::start(&ServerOptions { config, ..ServerOptions::default() });
    let address = server.url().trim_start_matches("http://");
    let services = said(grpcurl(&["-plaintext", address, "list"]));
    assert!(services.lines().any(|line| line == SERVICE), "{services}");
    let described = said(grpcurl(&["-plaintext", address, "describe", SERVICE]));
    assert!(described.contains("rpc Subscribe"), "{described}");
    publishes_reads_and_subscribes(|method, message| {
        let method = format!("{SERVICE}/{method}");
        grpcurl(&["-plaintext", "-d", message, address, &method])
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_calls_over_every_protocol() {
    for protocol in ["grpc", "grpcweb", "connect"] {
        let server = RunningServer::start(&ServerOptions::default());
        publishes_reads_and_subscribes(|method, message| {
            let url = format!("{}/{SERVICE}/{method}", server.url());
            let mut buf = buf(&["curl", "--protocol", protocol, "--data", message, &url]);
            if protocol == "grpc" {
                buf.arg("--http2-prior-knowledge");
            }
            buf
        });
    }
}

#[test]
fn the_contract_keeps_to_the_rules_of_buf_and_breaks_nobody() {
    let contract = tests().join("../crates/tl-wire/proto");
    let released = contract.join("released.binpb");
    for args in [&["lint"][..], &["breaking", "--against", &released.to_string_lossy()]] {
        let program = tests().join("node/node_modules/.bin/buf");
        said(within_time(program, &[args, &[&contract.to_string_lossy()]].concat()));
    }
}

/// The command sends a message to a method.
fn publishes_reads_and_subscribes(command: impl Fn(&str, &str) -> Command) {
    let call = |method, messages: Value| command(method, &messages[0].to_string());
    let answer = |command| serde_json::from_str::<Value>(&said(command)).expect("JSON");
    let published = answer(call("Publish", publish("a", &["1", "2"])));
    let receipts: Vec<_> = list(&published["receipts"]).iter().collect();
    assert_eq!(texts(&receipts, "id"), ["1", "2"]);
    let page = answer(call("Read", of("a")));
    let events: Vec<_> = list(&page["events"]).iter().collect();
    assert_eq!(texts(&events, "cursor"), texts(&receipts, "cursor"));
    let behind = json!([{"channels": ["a"], "after": receipts[0]["cursor"]}]);
    let second = receipts[1]["cursor"].as_str().expect("a cursor");
    assert!(says(call("Subscribe", behind), second), "the second event is delivered");
    let refused = call("Read", json!([{"channels": ["a"], "after": "nowhere"}])).output();
    let Output { status, stderr, .. } = refused.expect("it runs");
    let complaint = String::from_utf8_lossy(&stderr);
    assert!(!status.success() && complaint.contains("this is not a cursor"), "{complaint}");
}

/// What a command says until it ends.
fn said(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    assert!(status.success(), "{command:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

/// Whether a command says this before its time is up; then it is ended.
fn says(mut command: Command, text: &str) -> bool {
    let mut process = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let output = process.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let is_said = lines.any(|line| line.contains(text));
    // `timeout` passes it on.
    let ended = Command::new("kill").arg(process.id().to_string()).status().expect("kill runs");
    process.wait().expect("it ends");
    is_said && ended.success()
}

fn grpcurl(args: &[&str]) -> Command {
    within_time(tools().join("bin/grpcurl"), args)
}

/// It is told the contract, so that it need not ask the server.
fn buf(args: &[&str]) -> Command {
    let program = tests().join("node/node_modules/.bin/buf");
    let mut buf = within_time(program, args);
    buf.arg("--schema").arg(tests().join("../crates/tl-wire/proto"));
    buf
}

fn within_time(program: PathBuf, args: &[&str]) -> Command {
    assert!(program.exists(), "{program:?} is missing; `cargo xtask test` installs it");
    let mut command = Command::new("timeout");
    command.arg(TIMEOUT_SECONDS).arg(program).args(args);
    command
}

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

const SERVICE: &str = "throughline.v1.EventService";
/// Much longer than any command takes.
const TIMEOUT_SECONDS: &str = "60";
