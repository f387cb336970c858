//! What is repeated because nobody knows what has become of it.

use tl_client::{
    ChangeOptions, Client, ClientError, Condition, Draft, IdempotencyKey, Protocol, PublishOptions,
    Receipt,
};
use tl_conformance::{Cutter, RawSocket, RunningServer, ServerOptions, free_port};
use tl_model::{ErrorCode, Form};

/// Everything that publishes by calls.
const CALLS: [Protocol; 3] = [Protocol::Grpc, Protocol::GrpcWeb, Protocol::Connect];
/// How often the client cannot know what has become of its request.
const CUTS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_with_a_key_has_one_effect_though_the_first_answer_is_cut_off() {
    let server = RunningServer::start(&ServerOptions::default());
    let cutter = Cutter::before(server.port(), "\"receipts\":", CUTS).await;
    let client = Client::new(cutter.url()).expect("an address");
    let receipts = client.publish_batch("a", &drafts(), keyed("batch")).await.expect("receipts");
    assert_eq!(cursors(&receipts), logged(&server, "a").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_repeats_what_has_a_key_over_a_new_connection() {
    let server = RunningServer::start(&ServerOptions::default());
    for (channel, form) in [("as-json", Form::Json), ("as-protobuf", Form::Protobuf)] {
        // The ids stand as text in both forms, and in no other frame that the server sends.
        let cutter = Cutter::before(server.port(), "id-as-", CUTS).await;
        let client = Client::new(cutter.url()).expect("an address");
        let session = client.session(form).await.expect("a session");
        let named =
            |name: &str| Draft { id: Some(format!("id-{channel}-{name}")), ..Draft::default() };
        let drafts = vec![named("1"), named("2")];
        let receipts = session.publish(channel, drafts, keyed(channel)).await.expect("receipts");
        assert_eq!(cursors(&receipts), logged(&server, channel).await);
        let later = session.publish(channel, vec![named("3")], PublishOptions::default()).await;
        assert_eq!(later.expect("the session goes on").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_a_key_is_repeated_and_has_one_effect() {
    let server = RunningServer::start(&ServerOptions::default());
    for protocol in CALLS {
        // The ids stand as text in the receipts, and in nothing else that the server sends.
        let cutter = Cutter::before(server.port(), "id-of-", CUTS).await;
        let client = Client::new(cutter.url()).expect("an address").over(protocol);
        let draft = |id: &str| Draft { id: Some(id.into()), ..Draft::default() };
        let drafts = [draft("id-of-1"), draft("id-of-2")];
        let (channel, options) = (protocol.as_str(), keyed(protocol.as_str()));
        let receipts = client.publish_batch(channel, &drafts, options).await.expect("receipts");
        assert_eq!(cursors(&receipts), logged(&server, channel).await, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_state_are_repeated_with_a_key_and_have_one_effect() {
    let server = RunningServer::start(&ServerOptions::default());
    let direct = server.client();
    for (number, kind) in ["put", "patch", "delete"].into_iter().enumerate() {
        let cutter = Cutter::before(server.port(), "\"cursor\":", CUTS).await;
        let client = Client::new(cutter.url()).expect("an address");
        let last = direct.state("a").await.expect("an answer").map(|document| document.at);
        let condition = last.map_or(Condition::Absent, Condition::Last);
        let options = ChangeOptions { condition, idempotency_key: Some(key(kind)) };
        let receipt = match kind {
            "put" => client.put_state("a", &json("{\"a\":1}"), &options).await,
            "patch" => client.patch_state("a", "{\"b\":2}", &options).await,
            _ => client.delete_state("a", &options).await,
        };
        let cursors = logged(&server, "a").await;
        assert_eq!(cursors.len(), number + 1, "{kind}");
        assert_eq!(cursors.last(), Some(&receipt.expect("a receipt").cursor), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_key_is_never_repeated() {
    let server = RunningServer::start(&ServerOptions::default());
    let cutter = Cutter::before(server.port(), "\"receipts\":", CUTS).await;
    let client = Client::new(cutter.url()).expect("an address");
    let session = client.session(Form::Json).await.expect("a session");
    let cut_off = session.publish("a", drafts(), PublishOptions::default()).await;
    assert!(matches!(cut_off, Err(ClientError::Connection(_))), "{cut_off:?}");
    let cut_off = client.publish_batch("a", &drafts(), PublishOptions::default()).await;
    assert!(matches!(cut_off, Err(ClientError::Connection(_))), "{cut_off:?}");
    assert_eq!(logged(&server, "a").await.len(), 2 * drafts().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_still_known_after_a_kill() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = Some(home.path().join("data"));
    let options = ServerOptions { data, port: free_port(), ..ServerOptions::default() };
    let server = RunningServer::start(&options);
    let client = server.client();
    let first = client.publish_batch("a", &drafts(), keyed("k")).await.expect("receipts");
    server.kill();
    let server = RunningServer::start(&options);
    // The connection that the client has kept is of no use any more.
    let again = client.publish_batch("a", &drafts(), keyed("k")).await.expect("receipts");
    assert_eq!(again, first);
    assert_eq!(logged(&server, "a").await, cursors(&first));
}

/// A key is good on every transport: what was sent over one can be asked for over another.
#[tokio::test]
async fn a_request_can_be_repeated_on_another_transport() {
    let server = RunningServer::start(&ServerOptions::default());
    let client = server.client();
    let over_http = client.publish_batch("a", &drafts(), keyed("k")).await.expect("receipts");
    for form in [Form::Json, Form::Protobuf] {
        let session = client.session(form).await.expect("a session");
        let again = session.publish("a", drafts(), keyed("k")).await.expect("receipts");
        assert_eq!(again, over_http);
        let other = session.publish("a", vec![json("3")], keyed("k")).await.expect("receipts");
        let error = other[0].error.as_option().expect("refused");
        assert_eq!(error.code, ErrorCode::KeyReused.as_str());
    }
    for protocol in CALLS {
        let client = client.over(protocol);
        let again = client.publish_batch("a", &drafts(), keyed("k")).await.expect("receipts");
        assert_eq!(again, over_http, "{protocol:?}");
        let other = client.publish_batch("a", &[json("3")], keyed("k")).await;
        let Err(ClientError::Refused(error)) = other else { panic!("{protocol:?}: {other:?}") };
        assert_eq!(error.code, ErrorCode::KeyReused, "{protocol:?}");
    }
    assert_eq!(logged(&server, "a").await, cursors(&over_http));
}

/// What was sent to the channel's address can be asked for as a call.
#[tokio::test]
async fn a_change_of_a_document_can_be_repeated_as_a_call() {
    let server = RunningServer::start(&ServerOptions::default());
    let (client, mut http) = (server.client(), RawSocket::connect(server.port()).await);
    let put = r#""document": {"datacontenttype": "application/json", "data": {"n": 1.50}}"#;
    for (method, event) in [
        ("PutState", put),
        ("PatchState", r#""patch": {"data": {"n": 2.50}}"#),
        ("DeleteState", r#""tombstone": {}"#),
    ] {
        let options =
            ChangeOptions { idempotency_key: Some(key(method)), ..ChangeOptions::default() };
        let receipt = match method {
            "PutState" => client.put_state("a", &json("{\"n\": 1.50}"), &options).await,
            "PatchState" => client.patch_state("a", "{\"n\": 2.50}", &options).await,
            _ => client.delete_state("a", &options).await,
        };
        let message = format!(r#"{{"channel": "a", "idempotencyKey": "{method}", {event}}}"#);
        let call = format!(
            "POST /throughline.v1.StateService/{method} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{message}",
            message.len()
        );
        http.send(call).await;
        let answer = http.answer().await.expect("an answer").body;
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["replayed"], true, "{method}: {answer}");
        assert_eq!(answer["receipt"]["cursor"], receipt.expect("a receipt").cursor, "{method}");
    }
    assert_eq!(logged(&server, "a").await.len(), 3);
}

#[tokio::test]
async fn a_condition_of_a_publish_holds_over_http_and_sessions() {
    let server = RunningServer::start(&ServerOptions::default());
    let client = server.client();
    let sessions = [Form::Json, Form::Protobuf].map(|form| (Some(form), Protocol::Http));
    let protocols = Protocol::ALL.map(|protocol| (None, protocol));
    for (form, protocol) in sessions.into_iter().chain(protocols) {
        let channel = format!("conditions.{form:?}.{}", protocol.as_str()).replace(['(', ')'], "-");
        let session = client.session(form.unwrap_or(Form::Json)).await.expect("a session");
        let client = client.over(protocol);
        let publish = async |condition| -> Result<Receipt, String> {
            let options = PublishOptions { condition, ..PublishOptions::default() };
            let receipts = match form {
                None => client.publish_batch(&channel, &[json("1")], options).await,
                Some(_) => session.publish(&channel, vec![json("1")], options).await,
            };
            match receipts {
                Err(ClientError::Refused(error)) => Err(error.code.to_string()),
                other => {
                    let receipt = other.expect("an answer").remove(0);
                    let refused = receipt.error.as_option().map(|error| error.code.clone());
                    refused.map_or(Ok(receipt), Err)
                }
            }
        };
        let failed = Err("condition_failed".to_owned());
        let first = publish(Condition::Absent).await.expect("the first");
        assert_eq!(publish(Condition::Absent).await, failed, "{channel}");
        let seen = Condition::Last(first.cursor.parse().expect("a cursor"));
        publish(seen).await.expect("nobody came between");
        assert_eq!(publish(seen).await, failed, "{channel}");
    }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).expect("a key")
}

fn keyed(text: &str) -> PublishOptions {
    PublishOptions { idempotency_key: Some(key(text)), ..PublishOptions::default() }
}

fn json(text: &'static str) -> Draft {
    let data_content_type = Some("application/json".to_owned());
    Draft { data_content_type, data: Some(text.into()), ..Draft::default() }
}

fn drafts() -> Vec<Draft> {
    vec![json("{\"n\": 1}"), json("{\"n\": 2}")]
}

fn cursors(receipts: &[Receipt]) -> Vec<String> {
    receipts.iter().map(|receipt| receipt.cursor.clone()).collect()
}

/// The cursors of all events of a channel.
async fn logged(server: &RunningServer, channel: &str) -> Vec<String> {
    let channels = [channel.to_owned()];
    let page = server.client().page(&channels, "earliest", None, None).await.expect("a page");
    let events = page.expect("it is new").events;
    events.iter().map(|event| event.at.cursor().to_string()).collect()
}
