//! The state of channels, as the client and the command line show it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tl_client::{ChangeOptions, ClientError, Condition, Draft};
use tl_conformance::{RunningServer, ServerOptions, cargo_built};
use tl_model::ErrorCode;

#[tokio::test]
async fn a_document_is_read_as_it_was_put() {
    let server = RunningServer::start(&ServerOptions::default());
    let client = server.client();
    let any = ChangeOptions::default();
    assert_eq!(client.state("a").await.expect("an answer"), None);
    let bytes: &[u8] = &[0, 255, 34, 92];
    for (content_type, data) in [("application/json", &b"{\"a\" : 1.10}"[..]), ("x/y", bytes)] {
        let document = Draft {
            event_type: Some("order.state".into()),
            subject: Some("50 % \u{fc}ber".into()),
            data_content_type: Some(content_type.into()),
            data: Some(data.to_vec().into()),
            ..Draft::default()
        };
        let receipt = client.put_state("a", &document, &any).await.expect("a receipt");
        let read = client.state("a").await.expect("an answer").expect("a document");
        assert_eq!(read.at.cursor().to_string(), receipt.cursor);
        assert_eq!(read.event.data().as_deref(), Some(data));
        assert_eq!(read.event.data_content_type(), Some(content_type));
        assert_eq!(read.event.subject(), document.subject.as_deref());
        assert_eq!((read.event.event_type(), read.channel.as_str()), ("order.state", "a"));
    }
    let refused = client.patch_state("a", "{}", &any).await;
    assert_eq!(code(refused), ErrorCode::StateInvalid);
    client.delete_state("a", &any).await.expect("a receipt");
    assert_eq!(client.state("a").await.expect("an answer"), None);
    assert_eq!(code(client.delete_state("a", &any).await), ErrorCode::StateDeleted);
    assert_eq!(code(client.state("a/events").await), ErrorCode::ChannelInvalid);
}

#[tokio::test]
async fn of_two_changes_to_what_both_have_seen_one_is_refused() {
    let server = RunningServer::start(&ServerOptions::default());
    let client = server.client();
    let document = |data: &'static str| Draft { data: Some(data.into()), ..Draft::default() };
    let on = |condition| ChangeOptions { condition, ..ChangeOptions::default() };
    let absent = on(Condition::Absent);
    client.put_state("a", &document("1"), &absent).await.expect("the first");
    assert_eq!(
        code(client.put_state("a", &document("1"), &absent).await),
        ErrorCode::ConditionFailed
    );
    let seen = client.state("a").await.expect("an answer").expect("a document");
    let seen = on(Condition::Last(seen.at));
    client.put_state("a", &document("2"), &seen).await.expect("nobody came between");
    assert_eq!(
        code(client.put_state("a", &document("3"), &seen).await),
        ErrorCode::ConditionFailed
    );
    assert_eq!(code(client.patch_state("a", "4", &seen).await), ErrorCode::ConditionFailed);
    assert_eq!(code(client.delete_state("a", &seen).await), ErrorCode::ConditionFailed);
    let left = client.state("a").await.expect("an answer").expect("a document");
    assert_eq!(left.event.data().as_deref(), Some(&b"2"[..]));
}

#[tokio::test]
async fn documents_come_page_by_page() {
    let server = RunningServer::start(&ServerOptions::default());
    let client = server.client();
    for name in ["a.1", "b", "a.2", "a.3", "a.1"] {
        let document = Draft { data: Some(name.into()), ..Draft::default() };
        client.put_state(name, &document, &ChangeOptions::default()).await.expect("a receipt");
    }
    let channels = ["a.*".to_owned()];
    let (mut after, mut found) = ("earliest".to_owned(), Vec::new());
    loop {
        let page = client.documents(&channels, &after, Some(1)).await.expect("a page");
        assert!(page.events.len() <= 1);
        found.extend(page.events.iter().map(|document| document.channel.to_string()));
        if page.caught_up {
            break;
        }
        after = page.next.cursor().to_string();
    }
    assert_eq!(found, ["a.2", "a.3", "a.1"], "in the order of their last changes");
}

#[test]
fn the_command_line_reads_and_changes_a_document() {
    let server = RunningServer::start(&ServerOptions::default());
    let done = |arguments: &[&str]| {
        let (status, out, err) = ran(&server, arguments, "");
        assert_eq!(status, 0, "{arguments:?}: {err}");
        out.trim_end().to_owned()
    };
    let refused = |arguments: &[&str], parts: &[&str]| {
        let (status, out, err) = ran(&server, arguments, "");
        assert_eq!((status, out.as_str()), (1, ""), "{arguments:?}: {err}");
        parts.iter().for_each(|part| assert!(err.contains(part), "{part}: {err}"));
    };
    refused(&["state", "get", "a"], &["a has no document", "throughline state put a"]);
    refused(&["state", "patch", "a", "{}"], &["not_found", "throughline state put a"]);
    let first = done(&["state", "put", "a", "{\"a\": 1.10}", "--if-absent"]);
    refused(&["state", "put", "a", "2", "--if-absent"], &["condition_failed", "state get a"]);
    let (_, out, err) = ran(&server, &["state", "get", "a"], "");
    assert_eq!(out, "{\"a\": 1.10}\n");
    assert!(err.contains(&format!("--if-match {first}")), "{err}");
    assert_eq!(done(&["state", "get", "a", "--output", "cursor"]), first);
    let second = done(&["state", "patch", "a", "{\"b\":2}", "--if-match", &first]);
    assert_eq!(done(&["state", "get", "a"]), "{\"a\":1.10,\"b\":2}");
    for change in [&["put", "a", "3"][..], &["patch", "a", "{}"], &["delete", "a"]] {
        let arguments = [&["state"], change, &["--if-match", &first]].concat();
        refused(&arguments, &["condition_failed", "throughline state get a", "--if-match"]);
    }
    let third = done(&["state", "delete", "a", "--if-match", &second]);
    assert_ne!(third, second);
    refused(&["state", "get", "a"], &["deleted"]);
    refused(&["state", "delete", "a"], &["state_deleted"]);
    refused(&["publish", "a", "1", "--if-match", &second], &["condition_failed"]);
    done(&["publish", "a", "{}", "--if-match", &third]);
    assert_eq!(done(&["state", "get", "a"]), "{}", "what is published last is the document");
}

#[test]
fn a_document_comes_from_standard_input_or_a_file() {
    let server = RunningServer::start(&ServerOptions::default());
    let text = "two\nlines";
    for arguments in [&["state", "put", "a"][..], &["state", "put", "a", "-"]] {
        let (status, _, err) = ran(&server, arguments, text);
        assert_eq!(status, 0, "{err}");
        let (_, out, _) = ran(&server, &["state", "get", "a", "--output", "event"], "");
        let event: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(event["data"], text, "all of it is one document");
        assert_eq!(event["datacontenttype"], "text/plain");
    }
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("document");
    std::fs::write(&path, "{\"from\": \"a file\"}").expect("writes");
    let name = path.to_str().expect("text");
    assert_eq!(ran(&server, &["state", "put", "a", "--file", name], "").0, 0);
    assert_eq!(ran(&server, &["state", "patch", "a", "-"], "{\"b\":1}").0, 0);
    let (_, out, _) = ran(&server, &["state", "get", "a"], "");
    assert_eq!(out, "{\"from\":\"a file\",\"b\":1}\n");
}

#[test]
fn a_command_that_is_run_again_with_its_key_has_one_effect() {
    let server = RunningServer::start(&ServerOptions::default());
    let commands: [&[&str]; 4] = [
        &["publish", "a", "1", "2", "--idempotency-key", "publish"],
        &["state", "put", "a", "{}", "--idempotency-key", "put"],
        &["state", "patch", "a", "{\"a\":1}", "--idempotency-key", "patch"],
        &["state", "delete", "a", "--idempotency-key", "delete"],
    ];
    for command in commands {
        let first = ran(&server, command, "");
        assert_eq!(first.0, 0, "{command:?}: {}", first.2);
        assert_eq!(ran(&server, command, "").1, first.1, "{command:?}");
    }
    let all = ["subscribe", "a", "--no-follow", "--output", "cursor"];
    assert_eq!(ran(&server, &all, "").1.lines().count(), 5);
    let other = ["state", "put", "a", "3", "--idempotency-key", "put"];
    let (status, _, err) = ran(&server, &other, "");
    assert!(status == 1 && err.contains("key_reused"), "{err}");
    let lines = ["publish", "a", "--idempotency-key", "lines"];
    let (status, _, err) = ran(&server, &lines, "1\n2\n");
    assert!(status == 1 && err.contains("--file"), "{err}");
    let (status, _, err) = ran(&server, &["publish", "a", "1", "--idempotency-key", ""], "");
    assert!(status == 2 && err.contains("UUID"), "{err}");
}

#[test]
fn what_a_rule_demands_is_told_with_the_option_that_gives_it() {
    let config = "[[rules]]\npattern = \"a\"\nrequire_condition = true\n\n\
                  [[rules]]\npattern = \"b\"\nrequire_idempotency_key = true\n";
    let options = ServerOptions { config: config.to_owned(), ..ServerOptions::default() };
    let server = RunningServer::start(&options);
    let demands = [("a", "--if-match"), ("b", "--idempotency-key")];
    for (channel, option) in demands {
        for command in [&["publish", channel, "1"][..], &["state", "put", channel, "1"]] {
            let (status, _, err) = ran(&server, command, "");
            assert!(status == 1 && err.contains(option), "{command:?}: {err}");
        }
    }
    assert_eq!(ran(&server, &["publish", "a", "1", "--if-absent"], "").0, 0);
    assert_eq!(ran(&server, &["publish", "b", "1", "--idempotency-key", "k"], "").0, 0);
}

/// More documents than one page has.
#[test]
fn every_document_is_listed_over_all_pages() {
    let server = RunningServer::start(&ServerOptions::default());
    let count = tl_model::limits::PAGE_EVENTS_MAX + 1;
    let mut lines: String = (0..count)
        .map(|number| format!("{{\"channel\":\"many.{number}\",\"data\":{number}}}\n"))
        .collect();
    lines.push_str("{\"channel\":\"other\",\"data\":0}\n");
    for batch in lines.lines().collect::<Vec<_>>().chunks(count / 2) {
        post(&server, &batch.join("\n"));
    }
    assert_eq!(ran(&server, &["state", "delete", "many.7"], "").0, 0);
    let list = ["state", "list", "many.*", "--output", "data"];
    let (status, out, err) = ran(&server, &list, "");
    assert_eq!(status, 0, "{err}");
    let mut found: Vec<usize> = out.lines().map(|line| line.parse().expect("a number")).collect();
    found.sort_unstable();
    assert_eq!(found, (0..count).filter(|number| *number != 7).collect::<Vec<_>>());
}

#[test]
fn a_watch_shows_what_is_and_every_change_and_goes_on_where_it_was() {
    let server = RunningServer::start(&ServerOptions::default());
    let put = |channel: &str, data: &str| {
        assert_eq!(ran(&server, &["state", "put", channel, data], "").0, 0);
    };
    put("a.1", "1");
    put("a.1", "2");
    put("a.2", "3");
    put("a.3", "4");
    assert_eq!(ran(&server, &["state", "delete", "a.3"], "").0, 0);
    let mut watch = start(&server, &["state", "watch", "a.*", "--count", "4"]);
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("JSON")
    };
    let seen = [next(), next()].map(|event| event["data"].clone());
    assert_eq!(seen, [2, 3], "the documents there are, without the deleted one");
    put("a.1", "5");
    assert_eq!(next()["data"], 5);
    assert_eq!(ran(&server, &["state", "delete", "a.2"], "").0, 0);
    let deleted = next();
    assert_eq!((&deleted["channel"], &deleted["deleted"]), (&"a.2".into(), &true.into()));
    let (status, _, err) = ended(watch);
    let after = err.trim_end().rsplit(' ').next().expect("a cursor").to_owned();
    assert!(status == 0 && err.contains("to go on: --after"), "{err}");
    put("a.2", "6");
    let watch = ["state", "watch", "a.*", "--after", &after, "--count", "1", "--output", "data"];
    for transport in ["sse", "long-poll", "websocket"] {
        let on = [&watch[..], &["--transport", transport]].concat();
        assert_eq!(ran(&server, &on, "").1, "6\n", "{transport}");
    }
}

#[test]
fn every_command_of_state_shows_how_it_is_used() {
    for command in ["get", "put", "patch", "delete", "watch", "list"] {
        let program = cargo_built("throughline");
        let help = Command::new(program).args(["state", command, "--help"]).output();
        let help = String::from_utf8(help.expect("it runs").stdout).expect("text");
        assert!(help.contains(&format!("Examples:\n  throughline state {command}")), "{help}");
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ErrorCode {
    match result {
        Err(ClientError::Refused(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

/// Publishes lines that name their channels.
fn post(server: &RunningServer, lines: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let request = server.client().http().post(format!("{}/v1/events", server.url()));
    let request = request.header("content-type", "application/x-ndjson").body(lines.to_owned());
    let answer = runtime.block_on(request.send()).expect("an answer");
    assert_eq!(answer.status(), 200);
}

fn start(server: &RunningServer, arguments: &[&str]) -> Child {
    Command::new(cargo_built("throughline"))
        .args(arguments)
        .env("THROUGHLINE_SERVER", server.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Runs a command that is given this on standard input.
fn ran(server: &RunningServer, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = start(server, arguments);
    let mut stdin = child.stdin.take().expect("piped");
    // It may have ended without reading.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    ended(child)
}

/// How it ends and what it says.
fn ended(child: Child) -> (i32, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}
