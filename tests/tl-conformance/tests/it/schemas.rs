//! Schemas: what breaks one is refused on every way in, also after a restart.

use serde_json::{Value, json};

use tl_client::{Client, ClientError, Draft, NewSchema, Protocol, PublishOptions, Receipt};
use tl_conformance::{RunningServer, ServerOptions, cargo_built};
use tl_model::{ErrorCode, Form};

const CHANNEL: &str = "orders.eu";
const TYPE: &str = "order.created";

fn schema(event_type: &str, schema: &Value) -> NewSchema {
    let (event_type, source) = (event_type.to_owned(), schema.to_string().into());
    NewSchema { event_type, content_type: "application/schema+json", message: None, source }
}

fn order() -> Value {
    json!({
        "type": "object",
        "required": ["total"],
        "properties": {"total": {"type": "number"}, "state": {"enum": ["new", "paid"]}},
    })
}

fn event(data: &Value) -> Draft {
    Draft {
        event_type: Some(TYPE.to_owned()),
        data_content_type: Some("application/json".to_owned()),
        data: Some(data.to_string().into()),
        ..Draft::default()
    }
}

/// The code and detail of each event that was refused; an empty text for the others.
fn told(receipts: &[Receipt]) -> Vec<String> {
    let told = |receipt: &Receipt| {
        let problem = receipt.error.as_option();
        problem.map_or_else(String::new, |it| format!("{}: {}", it.code, it.detail))
    };
    receipts.iter().map(told).collect()
}

/// What becomes of these events on every way in, which has to be the same.
async fn publish(client: &Client, data: &[Value]) -> Vec<String> {
    let events: Vec<_> = data.iter().map(event).collect();
    let options = PublishOptions::default();
    let receipts = client.publish_batch(CHANNEL, &events, options.clone()).await.expect("answers");
    let by_rest = told(&receipts);
    for form in [Form::Json, Form::Protobuf] {
        let session = client.session(form).await.expect("a session");
        let receipts =
            session.publish(CHANNEL, events.clone(), options.clone()).await.expect("answers");
        assert_eq!(told(&receipts), by_rest, "over WebSocket, {form:?}");
    }
    for protocol in Protocol::ALL {
        for (event, by_rest) in events.iter().zip(&by_rest) {
            let alone = client.over(protocol).publish(CHANNEL, event).await;
            let alone = alone.err().map_or_else(String::new, |error| error.to_string());
            assert_eq!(alone, *by_rest, "alone, {protocol:?}");
        }
    }
    by_rest
}

async fn logged(client: &Client) -> usize {
    let page = client.page(&[CHANNEL.to_owned()], "earliest", None, None).await;
    page.expect("answers").expect("changed").events.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_its_schema_is_refused_on_every_transport_also_after_a_crash() {
    let data = tempfile::tempdir().expect("a directory");
    let options = ServerOptions { data: Some(data.path().to_owned()), ..ServerOptions::default() };
    let server = RunningServer::start(&options);
    let put = server.client().put_schema(&schema(TYPE, &order())).await.expect("puts");
    assert_eq!((put.version.version, put.is_new), (1, true));
    let batch =
        [json!({"total": 1.5}), json!({"total": "1.5"}), json!({"total": 2, "state": "lost"})];
    let expected = [
        "",
        "schema_violated: schema `order.created`, version 1: /total: the value is not of type \
         \"number\"",
        "schema_violated: schema `order.created`, version 1: /state: the value is not one of \
         \"new\" or \"paid\"",
    ];
    assert_eq!(publish(&server.client(), &batch).await, expected);
    let kept = logged(&server.client()).await;
    assert_eq!(kept, 3 + Protocol::ALL.len(), "one from each way in");
    server.kill();
    let server = RunningServer::start(&options);
    assert_eq!(publish(&server.client(), &batch).await, expected);
    assert_eq!(logged(&server.client()).await, 2 * kept);
    let schemas = server.client().schemas().await.expect("lists");
    assert_eq!((schemas.len(), schemas[0].event_type.as_str()), (1, TYPE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_atomic_batch_with_one_bad_event_publishes_nothing() {
    let server = RunningServer::start(&ServerOptions::default());
    let client = server.client();
    client.put_schema(&schema(TYPE, &order())).await.expect("puts");
    let events = [event(&json!({"total": 1})), event(&json!({}))];
    let options = PublishOptions { atomic: true, ..PublishOptions::default() };
    let refused =
        client.publish_batch(CHANNEL, &events, options.clone()).await.expect_err("refused");
    assert!(refused.to_string().contains("another event of this atomic batch"), "{refused}");
    let session = client.session(Form::Json).await.expect("a session");
    let receipts = session.publish(CHANNEL, events.to_vec(), options).await.expect("answers");
    assert!(told(&receipts)[1].starts_with("schema_violated"), "{receipts:?}");
    assert_eq!(logged(&client).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_must_accept_what_the_one_before_does() {
    let server = RunningServer::start(&ServerOptions::default());
    let client = server.client();
    client.put_schema(&schema(TYPE, &order())).await.expect("puts");
    let mut narrower = order();
    narrower["properties"]["state"] = json!({"enum": ["new"]});
    for refused in [
        client.put_schema(&schema(TYPE, &narrower)).await.map(drop),
        client.check_schema(&schema(TYPE, &narrower)).await.map(drop),
    ] {
        let Err(ClientError::Refused(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.code, ErrorCode::SchemaIncompatible);
        let reason = "/properties/state/enum: the value \"paid\" is no longer accepted";
        assert!(error.detail.contains(reason), "{error}");
    }
    let mut wider = order();
    wider["properties"]["state"] = json!({"enum": ["new", "paid", "sent"]});
    assert_eq!(client.check_schema(&schema(TYPE, &wider)).await.expect("would do").version, 2);
    assert_eq!(client.put_schema(&schema(TYPE, &wider)).await.expect("puts").version.version, 2);
    assert_eq!(publish(&client, &[json!({"total": 1, "state": "sent"})]).await, [""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_can_ask_for_a_schema_or_name_one() {
    let config = r#"
        [[rules]]
        pattern = "orders.>"
        schemas = "required"

        [[rules]]
        pattern = "raw"
        schema = "order.created"
    "#;
    let options = ServerOptions { config: config.to_owned(), ..ServerOptions::default() };
    let server = RunningServer::start(&options);
    let client = server.client();
    let told = publish(&client, &[json!({"total": 1})]).await;
    assert!(told[0].starts_with("schema_required: orders.eu takes only"), "{told:?}");
    client.put_schema(&schema(TYPE, &order())).await.expect("puts");
    assert_eq!(publish(&client, &[json!({"total": 1})]).await, [""]);
    let other = Draft { event_type: Some("other".to_owned()), ..event(&json!({})) };
    let refused = client.publish("raw", &other).await.expect_err("refused").to_string();
    assert!(refused.starts_with("schema_violated"), "{refused}");
}

#[test]
fn the_command_line_puts_checks_and_lists_schemas() {
    let server = RunningServer::start(&ServerOptions::default());
    let home = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let file = home.path().join(name);
        std::fs::write(&file, text).expect("writes");
        file.display().to_string()
    };
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(cargo_built("throughline"));
        let command = command.arg("schema").args(words).args(["--server", server.url()]);
        let output = command.output().expect("runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let json = write("order.json", &order().to_string());
    let source = "syntax = \"proto3\"; message A { int32 a = 1; } message B {}";
    let proto = write("shop.proto", source);
    assert_eq!(run(&["put", TYPE, &json]), (true, format!("{TYPE} version 1\n"), String::new()));
    let put = run(&["put", "a", &proto, "--message", "A"]);
    assert_eq!(put, (true, "a version 1\n".to_owned(), String::new()));
    let narrower = write("narrower.json", r#"{"type": "null"}"#);
    let (is_taken, _, reason) = run(&["check", TYPE, &narrower]);
    assert!(!is_taken && reason.contains("no longer accepted: object"), "{reason}");
    let (_, list, _) = run(&["list"]);
    let lines: Vec<_> = list.lines().map(|line| line.rsplit_once('\t').map(|it| it.0)).collect();
    assert_eq!(lines, [Some("a\t1\tprotobuf"), Some("order.created\t1\tjson-schema")]);
}
