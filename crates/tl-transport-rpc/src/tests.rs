mod admin;
mod schemas;
mod state;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use tl_transport::Bytes;
use tl_transport::http::types::{Method, StatusCode};
use tl_transport::model::Form;
use tl_transport::model::limits::{BODIES_BYTES_MAX, FRAME_BYTES_MAX, QUERY_BYTES_MAX};
use tl_transport::testkit::{Answer, Kit, Streamed};
use tl_transport::wire::call::read_problem;

use super::*;

const EVENTS: &str = "/throughline.v1.EventService";

/// The envelope around a message of a stream.
fn enveloped(message: &Value) -> Vec<u8> {
    let message = message.to_string();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
    bytes.extend_from_slice(message.as_bytes());
    bytes
}

fn kit() -> Kit {
    Kit::new(&[&Rpc { reflection: true, ..Rpc::default() }])
}

/// A call of one message for one, as Connect.
async fn call(kit: &Kit, path: &str, message: &Value) -> (StatusCode, Value) {
    let headers = [("content-type", "application/json")];
    let answer = kit.ask(Method::POST, path, &headers, message.to_string()).await;
    (answer.status, serde_json::from_str(answer.text()).expect("JSON"))
}

/// A call that changes nothing, as Connect's `GET`.
async fn query(kit: &Kit, path: &str, message: &Value) -> (StatusCode, Value) {
    let message = URL_SAFE_NO_PAD.encode(message.to_string());
    let path = format!("{path}?encoding=json&base64=1&message={message}");
    let answer = kit.get(&path).await;
    (answer.status, serde_json::from_str(answer.text()).expect("JSON"))
}

/// A call of one message for many, as gRPC with messages in JSON.
async fn open(kit: &Kit, path: &str, message: &Value) -> Messages {
    let headers = [("content-type", "application/grpc+json")];
    let stream = kit.stream(path, &headers, enveloped(message)).await;
    Messages { stream, read: Vec::new() }
}

struct Messages {
    stream: Streamed,
    read: Vec<u8>,
}

impl Messages {
    /// The next message, or the status at the end.
    async fn next(&mut self) -> Result<Value, String> {
        loop {
            if let Some((head, rest)) = self.read.split_at_checked(5) {
                let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if rest.len() >= len {
                    let message = serde_json::from_slice(&rest[..len]).expect("JSON");
                    self.read.drain(..5 + len);
                    return Ok(message);
                }
            }
            let frame = self.stream.next_frame().await.ok_or("no trailers")?;
            match frame.into_data() {
                Ok(data) => self.read.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().expect("trailers");
                    let status = trailers.get("grpc-status").expect("a status");
                    return Err(status.to_str().expect("text").to_owned());
                }
            }
        }
    }
}

fn detail(error: &Value, name: &str) -> Vec<u8> {
    let details = error["details"].as_array().expect("details");
    let detail = details.iter().find(|detail| detail["type"] == name).expect(name);
    let value = detail["value"].as_str().expect("text");
    STANDARD_NO_PAD.decode(value).expect("base64")
}

/// Why a call has failed, in the word of every transport.
fn reason(error: &Value) -> String {
    let name = "throughline.v1.Problem";
    read_problem(name, &detail(error, name)).expect("a problem").code
}

#[tokio::test]
async fn what_is_published_can_be_read() {
    let kit = kit();
    let events = json!([{"id": "1", "data": {"n": 1}}, {"id": "2", "channel": "b", "data": "x"}]);
    let publish = json!({"channel": "a", "events": events});
    let (status, answer) = call(&kit, &format!("{EVENTS}/Publish"), &publish).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let cursor = answer["receipts"][1]["cursor"].as_str().expect("a cursor");
    let (_, page) = call(&kit, &format!("{EVENTS}/Read"), &json!({"channels": [">"]})).await;
    assert_eq!((&page["cursor"], &page["caughtUp"]), (&json!(cursor), &json!(true)));
    assert_eq!(page["events"][0]["data"], json!({"n": 1}), "JSON stands there as JSON");
    assert_eq!(page["events"][1]["channel"], "b");
}

#[tokio::test]
async fn reading_changes_nothing_and_so_may_be_a_get() {
    let kit = kit();
    kit.publish("a", "1", "x").await;
    let message = "%7B%22channels%22%3A%5B%22a%22%5D%7D";
    let path = format!("{EVENTS}/Read?connect=v1&encoding=json&message={message}");
    let answer = kit.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(answer.header("cache-control"), "no-store");
    let path = format!("{EVENTS}/Publish?connect=v1&encoding=json&message=%7B%7D");
    assert_eq!(kit.get(&path).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_an_event_as_long_as_it_is_told() {
    let kit = kit();
    let wait = json!({"channels": ["a"], "waitMs": 30_000});
    let path = format!("{EVENTS}/Read");
    let later = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        kit.publish("a", "1", "x").await;
    };
    let ((_, page), ()) = tokio::join!(call(&kit, &path, &wait), later);
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
    let began = tokio::time::Instant::now();
    let behind = json!({"channels": ["a"], "after": page["cursor"], "waitMs": 30_000});
    let (_, page) = call(&kit, &path, &behind).await;
    assert_eq!(page["events"], json!([]));
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_holds_nothing_of_its_request() {
    let kit = kit();
    let (path, headers) = (format!("{EVENTS}/Read"), [("content-type", "application/json")]);
    let padding = " ".repeat(QUERY_BYTES_MAX / 2);
    let read = Bytes::from(format!(r#"{{"channels": ["a"], "waitMs": 30000}}{padding}"#));
    let waiting = (0..BODIES_BYTES_MAX / padding.len() * 2)
        .map(|_| kit.ask(Method::POST, &path, &headers, read.clone()));
    let large = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let large = json!({"channel": "b", "events": [{"data": "x".repeat(1_000_000)}]});
        call(&kit, &format!("{EVENTS}/Publish"), &large).await
    };
    let (_, (status, answer)) = tokio::join!(futures_util::future::join_all(waiting), large);
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test]
async fn a_failure_says_why_and_whether_to_try_again() {
    let kit = kit();
    let path = format!("{EVENTS}/Publish");
    let reserved = json!({"channel": "$sys.a", "events": [{}]});
    let (status, error) = call(&kit, &path, &reserved).await;
    assert_eq!((status, &error["code"]), (StatusCode::FORBIDDEN, &json!("permission_denied")));
    let info = detail(&error, "google.rpc.ErrorInfo");
    assert!(info.starts_with(b"\x0a\x10CHANNEL_RESERVED"), "{info:?}");
    let both = json!({"channel": "a", "events": [{}, {"id": ""}], "atomic": true});
    let (status, error) = call(&kit, &path, &both).await;
    assert_eq!((status, &error["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")));
    detail(&error, "throughline.v1.PublishResponse");
    let some = json!({"channel": "a", "events": [{}, {"id": ""}]});
    let (status, answer) = call(&kit, &path, &some).await;
    assert_eq!(status, StatusCode::OK, "what could be published was");
    assert_eq!(answer["receipts"][1]["error"]["code"], "event_invalid");
    for nonsense in [json!([]), json!({"events": 7}), json!({"channel": "a"})] {
        let (status, _) = call(&kit, &path, &nonsense).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{nonsense}");
    }
}

#[tokio::test]
async fn generated_code_has_events_as_protobuf_has_them_in_json() {
    let kit = kit();
    let headers = [("content-type", "application/json"), ("connect-protocol-version", "1")];
    let ask = async |method: &str, message: Value| -> Value {
        let path = format!("{EVENTS}/{method}");
        let answer = kit.ask(Method::POST, &path, &headers, message.to_string()).await;
        serde_json::from_str(answer.text()).expect("JSON")
    };
    let subject = "\\\"{,".repeat(3_000);
    let event = json!({"id": "1", "data": "eyJuIjoxfQ==", "subject": subject, "newer": 7});
    let published = ask("Publish", json!({"channel": "a", "events": [event]})).await;
    assert_eq!(published["receipts"][0]["id"], "1");
    let read = json!({"channels": ["a"]});
    assert_eq!(ask("Read", read.clone()).await["events"][0]["data"], "eyJuIjoxfQ==");
    let (_, page) = call(&kit, &format!("{EVENTS}/Read"), &read).await;
    assert_eq!(page["events"][0]["data"], json!({"n": 1}), "people leave the header out");
    let message = "%7B%22channels%22%3A%5B%22a%22%5D%7D";
    let path = format!("{EVENTS}/Read?connect=v1&encoding=json&message={message}");
    assert!(kit.get(&path).await.text().contains("eyJuIjoxfQ=="), "by GET, too");
}

#[tokio::test]
async fn json_of_generated_code_that_makes_no_sense_is_refused() {
    let kit = kit();
    let headers = [("content-type", "application/json"), ("connect-protocol-version", "1")];
    let commas = format!("{{\"channels\": [{}\"a\"]}}", "\"a\",".repeat(70_000));
    for (message, code) in [
        ("{", "invalid_argument"),
        ("[]", "invalid_argument"),
        ("{} {}", "invalid_argument"),
        (r#"{"channel": "a", "events": [{"data": {"n": 1}}]}"#, "invalid_argument"),
        (commas.as_str(), "resource_exhausted"),
    ] {
        let path = format!("{EVENTS}/Publish");
        let refused = kit.ask(Method::POST, &path, &headers, message.to_owned()).await;
        let error: Value = serde_json::from_str(refused.text()).expect("JSON");
        assert_eq!(error["code"], code, "{error}");
        detail(&error, "throughline.v1.Problem");
    }
}

#[tokio::test]
async fn a_key_makes_a_repeated_publish_harmless() {
    let kit = kit();
    let path = format!("{EVENTS}/Publish");
    let publish = json!({"channel": "a", "events": [{"data": 1}], "idempotencyKey": "k"});
    let (_, first) = call(&kit, &path, &publish).await;
    let (_, again) = call(&kit, &path, &publish).await;
    assert_eq!(again["receipts"], first["receipts"]);
    assert_eq!(again["replayed"], true);
    let other = json!({"channel": "a", "events": [{"data": 2}], "idempotencyKey": "k"});
    let (_, error) = call(&kit, &path, &other).await;
    assert_eq!(error["code"], "already_exists");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_before_it_is_read() {
    let kit = kit();
    let large = "x".repeat(FRAME_BYTES_MAX);
    let publish = json!({"channel": "a", "events": [{"data": large}]});
    let path = format!("{EVENTS}/Publish");
    let (status, error) = call(&kit, &path, &publish).await;
    assert_eq!(error["code"], "resource_exhausted", "{status}");
    let mut messages = open(&kit, &path, &publish).await;
    assert_eq!(messages.next().await, Err("8".to_owned()));
}

#[tokio::test]
async fn a_refused_call_tells_its_status_in_the_trailers_only() {
    let kit = kit();
    let headers = [("content-type", "application/grpc+json")];
    for method in ["Read", "Subscribe"] {
        let message = enveloped(&json!({"channels": ["a"], "after": "no cursor"}));
        let mut stream = kit.stream(&format!("{EVENTS}/{method}"), &headers, message).await;
        assert!(!stream.headers.contains_key("grpc-status"), "{method}: {:?}", stream.headers);
        let trailers = stream.next_frame().await.expect("trailers").into_trailers();
        let trailers = trailers.expect("no data before them");
        assert_eq!(trailers["grpc-status"], "3", "{method}");
        assert!(trailers.contains_key("grpc-status-details-bin"), "{method}");
    }
}

#[tokio::test]
async fn a_stream_of_publishes_is_answered_with_what_came_of_them() {
    let kit = kit();
    let messages: Vec<u8> = [
        json!({"channel": "a", "events": [{}, {"id": ""}]}),
        json!({"channel": "b", "events": [{}]}),
        json!({"channel": "$sys.a", "events": [{}]}),
    ]
    .iter()
    .flat_map(enveloped)
    .collect();
    let headers = [("content-type", "application/grpc+json")];
    let stream = kit.stream(&format!("{EVENTS}/PublishMany"), &headers, messages).await;
    let mut answers = Messages { stream, read: Vec::new() };
    let answer = answers.next().await.expect("an answer");
    assert_eq!((&answer["published"], &answer["refused"]), (&json!("2"), &json!("2")));
    assert_eq!(answer["refusals"][0]["index"], "1");
    assert_eq!(answer["refusals"][1]["index"], "3");
    assert_eq!(answer["refusals"][1]["problem"]["code"], "channel_reserved");
    assert_eq!(answers.next().await, Err("0".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_delivers_what_was_and_what_comes_and_says_goodbye() {
    let kit = kit();
    let first = kit.publish("a", "1", "x").await;
    let mut messages =
        open(&kit, &format!("{EVENTS}/Subscribe"), &json!({"channels": ["a"]})).await;
    assert!(messages.next().await.expect("a message")["subscribed"]["cursor"].is_string());
    let events = messages.next().await.expect("a message");
    assert_eq!(events["events"]["events"][0]["cursor"], first.cursor().as_str());
    assert!(messages.next().await.expect("a message")["caughtUp"].is_object());
    let second = kit.publish("a", "2", "y").await;
    let events = messages.next().await.expect("a message");
    assert_eq!(events["events"]["events"][0]["previous"], first.cursor().as_str());
    let heartbeat = messages.next().await.expect("a message");
    let place = &heartbeat["heartbeat"]["places"][0]["cursor"];
    assert_eq!(place, second.cursor().as_str());
    kit.engine.drain();
    let goodbye = messages.next().await.expect("a message");
    assert_eq!(goodbye["goingAway"]["places"][0]["cursor"], second.cursor().as_str());
    assert_eq!(messages.next().await, Err("14".to_owned()));
}

#[tokio::test]
async fn what_nobody_reads_is_not_taken_from_the_log_and_what_is_cancelled_no_more() {
    let kit = kit();
    let text = "x".repeat(16 * 1024);
    for id in 0..64 {
        kit.publish("a", &id.to_string(), &text).await;
    }
    let reads_later = async || {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        kit.engine.stats().reads
    };
    let mut messages =
        open(&kit, &format!("{EVENTS}/Subscribe"), &json!({"channels": ["a"]})).await;
    let mut reads = Vec::new();
    for _ in 0..3 {
        messages.next().await.expect("a message");
        reads.push(kit.engine.stats().reads);
        assert_eq!(reads_later().await, reads[reads.len() - 1], "nobody has read on");
    }
    assert!(reads.is_sorted() && reads[0] < reads[2], "it is read for as it reads: {reads:?}");
    drop(messages);
    assert_eq!(reads_later().await, reads[2]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_stream() {
    let kit = kit();
    let headers = [("content-type", "application/grpc+json"), ("grpc-timeout", "5S")];
    let message = enveloped(&json!({"channels": ["a"]}));
    let stream = kit.stream(&format!("{EVENTS}/Subscribe"), &headers, message).await;
    let mut messages = Messages { stream, read: Vec::new() };
    let mut status = messages.next().await;
    while status.is_ok() {
        status = messages.next().await;
    }
    assert_eq!(status, Err("4".to_owned()));
}

#[tokio::test]
async fn a_session_takes_and_gives_the_frames_of_every_carrier() {
    let kit = kit();
    let frames: Vec<u8> = [
        json!({"publish": {"request": 7, "channel": "a", "events": [{"id": "1"}]}}),
        json!({"ping": {"nonce": 9}}),
    ]
    .iter()
    .flat_map(enveloped)
    .collect();
    let headers = [("content-type", "application/grpc+json")];
    let stream = kit.stream(&format!("{EVENTS}/Session"), &headers, frames).await;
    let mut messages = Messages { stream, read: Vec::new() };
    let mut kinds = Vec::new();
    while let Ok(frame) = messages.next().await {
        kinds.extend(frame.as_object().expect("a frame").keys().cloned());
    }
    assert_eq!(kinds, ["welcome", "pong", "receipts"], "all is answered, then the call ends");
    let frames = enveloped(&json!({"subscribe": {"subscription": 1, "channels": ["a"]}}));
    let stream = kit.stream(&format!("{EVENTS}/Session"), &headers, frames).await;
    let mut messages = Messages { stream, read: Vec::new() };
    for kind in ["welcome", "subscribed", "events", "caughtUp"] {
        let frame = messages.next().await.expect("a frame");
        assert!(frame[kind].is_object(), "{kind}: {frame}");
    }
    kit.publish("a", "2", "x").await;
    let live = messages.next().await.expect("a frame");
    assert_eq!(live["events"]["events"][0]["id"], "2", "who says no more listens still");
}

#[tokio::test]
async fn the_text_form_of_grpc_web_is_the_binary_form_in_base64() {
    let kit = kit();
    kit.publish("a", "1", "x").await;
    let message = enveloped(&json!({"channels": ["a"]}));
    let path = format!("{EVENTS}/Read");
    let ask = async |content_type: &str, body: Vec<u8>| -> Answer {
        kit.ask(Method::POST, &path, &[("content-type", content_type)], body).await
    };
    let binary = ask("application/grpc-web+json", message.clone()).await;
    // Two pieces, each padded on its own.
    let (one, two) = message.split_at(4);
    let text = format!("{}{}", STANDARD.encode(one), STANDARD.encode(two));
    let text = ask("application/grpc-web-text+json", text.into()).await;
    assert_eq!(text.header("content-type"), "application/grpc-web-text+json");
    let decoded = text::decode(&text.body).expect("base64");
    assert_eq!(decoded, binary.body);
    let nonsense = ask("application/grpc-web-text+json", b"!!!!".to_vec()).await;
    let trailers = text::decode(&nonsense.body).expect("base64");
    assert!(String::from_utf8_lossy(&trailers).contains("grpc-status: "), "{trailers:?}");
}

#[tokio::test]
async fn grpc_over_http_1_is_told_that_it_cannot_be() {
    let headers = [("content-type", "application/grpc+proto")];
    let path = format!("{EVENTS}/Publish");
    let answer = kit().ask(Method::POST, &path, &headers, "").await;
    assert_eq!(answer.status, StatusCode::HTTP_VERSION_NOT_SUPPORTED);
}

#[tokio::test]
async fn what_is_not_there_is_not_implemented() {
    let (status, error) = call(&kit(), &format!("{EVENTS}/Nonsense"), &json!({})).await;
    assert_eq!((status, &error["code"]), (StatusCode::NOT_FOUND, &json!("unimplemented")));
}

#[tokio::test]
async fn health_is_told_of_what_there_is_and_changes_when_the_server_is_about_to_stop() {
    let kit = kit();
    let check = "/grpc.health.v1.Health/Check";
    for service in ["", "throughline.v1.EventService"] {
        let (_, answer) = call(&kit, check, &json!({"service": service})).await;
        assert_eq!(answer["status"], "SERVING", "{service}");
    }
    let (status, _) = call(&kit, check, &json!({"service": "x"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let watch = "/grpc.health.v1.Health/Watch";
    let mut known = open(&kit, watch, &json!({})).await;
    let mut unknown = open(&kit, watch, &json!({"service": "x"})).await;
    assert_eq!(known.next().await, Ok(json!({"status": "SERVING"})));
    assert_eq!(unknown.next().await, Ok(json!({"status": "SERVICE_UNKNOWN"})));
    kit.engine.drain();
    assert_eq!(known.next().await, Ok(json!({"status": "NOT_SERVING"})));
    assert_eq!(known.next().await, Err("14".to_owned()));
    assert_eq!(unknown.next().await, Err("14".to_owned()));
    let (_, answer) = call(&kit, check, &json!({})).await;
    assert_eq!(answer["status"], "NOT_SERVING");
}

#[tokio::test]
async fn every_method_of_the_contract_is_there_and_no_other() {
    use prost::Message;

    let files = prost_types::FileDescriptorSet::decode(tl_transport::wire::DESCRIPTORS);
    let mut described = Vec::new();
    for file in files.expect("descriptors").file {
        for service in &file.service {
            let name = |method: &str| format!("{}.{}/{method}", file.package(), service.name());
            described.extend(service.method.iter().map(|method| name(method.name())));
        }
    }
    described.sort_unstable();
    let methods = calls::METHODS.iter().copied().flatten();
    let mut served: Vec<_> = methods.map(|method| method.path.to_owned()).collect();
    served.sort_unstable();
    assert_eq!(served, described);
}

#[tokio::test]
async fn reflection_is_off_unless_it_is_switched_on() {
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let ask = json!({"listServices": ""});
    let mut services = open(&kit(), path, &ask).await;
    let services = services.next().await.expect("services").to_string();
    assert!(services.contains("throughline.v1.EventService"), "{services}");
    let off = Kit::new(&[&Rpc::default()]);
    let answer =
        off.ask(Method::POST, path, &[("content-type", "application/grpc+json")], "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
