//! Good frames that say nonsense, and far too many of them.

use serde_json::{Value, json};
use tl_client::Draft;
use tl_conformance::web_socket::{
    BINARY, CONTINUATION, FINAL, PING, PONG, RawWebSocket, TEXT, frame,
};
use tl_conformance::{RunningServer, ServerOptions, Vitals};
use tl_model::Form;
use tl_model::limits::{EVENT_DATA_BYTES_MAX, FRAME_BYTES_MAX, SESSION_SUBSCRIPTIONS_MAX};
use tl_wire::frame::read_server;
use tl_wire::generated::throughline::v1::server_frame::Frame;

use super::{GROWTH_KIB_MAX, events_in, server};

/// What makes no sense is answered with an error, and the session goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_what_makes_no_sense() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let mut session = RawWebSocket::open(server.port()).await;
    session.hear_of("welcome").await;
    let mut findings = Vec::new();
    for (number, (code, said)) in nonsense().into_iter().enumerate() {
        session.send(TEXT, said.as_bytes()).await;
        let heard = session.hear().await;
        if heard["error"]["problem"]["code"] != code {
            findings.push(format!("{said:.80}: not {code}, but {heard}"));
        }
        assert!(session.is_alive(number as u32 + 1).await, "{said:.80}");
    }
    session.send(BINARY, b"{}").await;
    assert_eq!(session.hear_of("error").await["problem"]["code"], "frame_invalid");
    assert_eq!(events_in(&server.client(), "victim").await, 0);
    vitals.are_good(GROWTH_KIB_MAX).await;
    assert!(findings.is_empty(), "{findings:#?}");
}

fn nonsense() -> Vec<(&'static str, String)> {
    let subscribe = |channels: &str, after: &str| {
        format!(r#"{{"subscribe":{{"subscription":9,"channels":{channels},"after":{after}}}}}"#)
    };
    let megabyte = 1024 * 1024;
    let invalid = [
        String::new(),
        "{".into(),
        "{}".into(),
        "null".into(),
        "[]".into(),
        "\"text\"".into(),
        "\0".into(),
        "{\"unheard\":{}}".into(),
        "{\"ping\":null}".into(),
        "{\"ping\":7}".into(),
        "{\"ping\":{\"nonce\":-1}}".into(),
        "{\"ping\":{\"nonce\":4294967296}}".into(),
        "{\"ping\":{\"nonce\":1e999999}}".into(),
        "{\"ping\":{\"nonce\":1,\"nonce\":2}}".into(),
        "{\"ping\":{\"nonce\":1},\"ping\":{\"nonce\":2}}".into(),
        "{\"ping\":{\"nonce\":1},\"hello\":{}}".into(),
        "{\"hello\":{\"client\":\"late\"}}".into(),
        "{\"publish\":{\"channel\":\"victim\",\"events\":[]}}".into(),
        "{\"publish\":{\"channel\":\"victim\",\"events\":[7]}}".into(),
        "{\"ping\":{\"nonce\":1}} trailing".into(),
        format!("{{\"ping\":{{\"nonce\":{}}}}}", "9".repeat(megabyte)),
        format!("{{\"hello\":{{\"client\":{}}}}}", "[".repeat(megabyte)),
        format!("{{\"{}\":1}}", "x".repeat(megabyte)),
        "[".repeat(megabyte),
        "{\"publish\":".repeat(megabyte / 11),
        format!("{}{}", "[".repeat(megabyte / 2), "]".repeat(megabyte / 2)),
        "\"".repeat(megabyte),
    ];
    let others = [
        ("selection_invalid", subscribe("[]", "\"\"")),
        ("selection_invalid", subscribe("[\"a..b\"]", "\"\"")),
        ("selection_invalid", subscribe("[\"a\\u0000b\"]", "\"\"")),
        ("selection_invalid", subscribe("[\">.a\"]", "\"\"")),
        ("cursor_invalid", subscribe("[\"a\"]", "\"nonsense\"")),
        ("cursor_epoch", subscribe("[\"a\"]", "\"1zzzzzzzzzzzz11\"")),
        ("frame_invalid", subscribe("\"a\"", "\"\"")),
        ("subscription_invalid", "{\"unsubscribe\":{\"subscription\":77}}".into()),
        ("subscription_invalid", "{\"credit\":{\"subscription\":77,\"events\":1}}".into()),
        ("batch_too_large", events(1_001)),
    ];
    invalid.into_iter().map(|it| ("frame_invalid", it)).chain(others).collect()
}

/// A publish of so many events that are as short as can be.
fn events(count: usize) -> String {
    let events = vec!["{}"; count].join(",");
    format!(r#"{{"publish":{{"channel":"victim","events":[{events}]}}}}"#)
}

/// An event that cannot be is refused in its receipt, and the others of its batch are logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_is_refused_alone() {
    let server = server();
    let mut session = RawWebSocket::open(server.port()).await;
    let events =
        json!([{"id": "good"}, {"time": "never"}, {"channel": "a b"}, {"channel": "$sys"}]);
    let publish = json!({"request": 5, "channel": "mixed", "events": events});
    session.say(&json!({"publish": publish})).await;
    let receipts = session.hear_of("receipts").await;
    let codes = receipts["receipts"].as_array().expect("receipts").iter();
    let codes: Vec<_> = codes.map(|it| it["error"]["code"].as_str().unwrap_or("")).collect();
    assert_eq!(codes, ["", "event_invalid", "channel_invalid", "channel_reserved"]);
    assert_eq!(events_in(&server.client(), "mixed").await, 1);
}

/// The same in protobuf: what does not decode is an error, what decodes to nothing too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_protobuf_bombs() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let mut session = RawWebSocket::open_protobuf(server.port()).await;
    for (name, bomb) in protobuf_bombs() {
        assert!(bomb.len() <= FRAME_BYTES_MAX, "{name} is taken");
        session.send(BINARY, &bomb).await;
        let code = loop {
            match next_frame(&mut session).await {
                Frame::Error(error) => break error.problem.code.clone(),
                Frame::Welcome(_) | Frame::Heartbeat(_) => {}
                other => panic!("{name}: {other:?}"),
            }
        };
        assert!(
            ["frame_invalid", "selection_invalid", "batch_too_large"].contains(&&*code),
            "{name}: {code}"
        );
    }
    session.send(BINARY, &field(6, &[0x08, 7])).await;
    assert!(matches!(next_frame(&mut session).await, Frame::Pong(pong) if pong.nonce == 7));
    vitals.are_good(GROWTH_KIB_MAX).await;
}

fn protobuf_bombs() -> Vec<(&'static str, Vec<u8>)> {
    let (subscribe, publish, events, extensions) = (2, 5, 3, 8);
    let million = 1_000_000;
    vec![
        ("nothing", Vec::new()),
        ("a length beyond the message", vec![0x2a, 0xff, 0x7f, 1]),
        ("a length of 2 GiB", vec![0x2a, 0xff, 0xff, 0xff, 0xff, 0x07]),
        ("a length of 2^64 - 1", [&[0x2a][..], &[0xff; 9], &[1]].concat()),
        ("an endless number", vec![0xff; 1_000]),
        ("field 0", vec![0x00, 0x00]),
        ("wire type 7", vec![0x2f]),
        ("an end of no group", vec![0x2c]),
        ("groups in groups", vec![0x5b; million]),
        ("groups in groups in a publish", field(publish, &vec![0x5b; million])),
        ("messages in messages", nested(1_000)),
        ("a million unknown fields", [0x78, 1].repeat(million)),
        ("a million unknown empty fields", [0x7a, 0].repeat(million)),
        ("a million fields unknown to a publish", field(publish, &[0x78, 1].repeat(million))),
        ("a million empty channels", field(subscribe, &[0x12, 0].repeat(million))),
        ("a million empty events", field(publish, &[0x1a, 0].repeat(million))),
        (
            "a million empty extensions",
            field(publish, &field(events, &field(extensions, b"").repeat(million))),
        ),
    ]
}

/// A field that holds bytes.
fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut len = payload.len();
    while len > 0x7f {
        field.push(len as u8 | 0x80);
        len >>= 7;
    }
    field.push(len as u8);
    field.extend_from_slice(payload);
    field
}

fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| field(5, &inner))
}

async fn next_frame(session: &mut RawWebSocket) -> Frame {
    loop {
        let frame = session.next().await.expect("the session goes on");
        match frame.opcode {
            PING => session.send(PONG, b"").await,
            _ => {
                let read = read_server(Form::Protobuf, &frame.payload).expect("a frame");
                return read.frame.expect("it says something");
            }
        }
    }
}

/// Nobody is kept from being a nuisance, but it costs others nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_small_frames_are_borne() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let (pings, fragments, frames) =
        tokio::join!(flood_pings(&server), flood_fragments(&server), flood_frames(&server));
    assert_eq!((pings, fragments, frames), (FLOOD, 1, FLOOD));
    vitals.are_good(GROWTH_KIB_MAX).await;
}

/// Every ping is answered.
async fn flood_pings(server: &RunningServer) -> usize {
    let mut session = RawWebSocket::open(server.port()).await;
    session.socket.send(frame(FINAL | PING, &[b'x'; 125]).repeat(FLOOD)).await;
    let mut pongs = 0;
    while pongs < FLOOD {
        let frame = session.next().await.expect("the session goes on");
        pongs += usize::from(frame.opcode == PONG && frame.payload.len() == 125);
    }
    pongs
}

/// A message in very many empty parts is one message.
async fn flood_fragments(server: &RunningServer) -> usize {
    let mut session = RawWebSocket::open(server.port()).await;
    session.socket.send(frame(TEXT, b"{\"ping\":{\"nonce\":3}")).await;
    session.socket.send(frame(CONTINUATION, b"").repeat(FLOOD * 10)).await;
    session.socket.send(frame(FINAL | CONTINUATION, b"}")).await;
    usize::from(session.hear_of("pong").await["nonce"] == 3)
}

/// Every frame is answered.
async fn flood_frames(server: &RunningServer) -> usize {
    let mut session = RawWebSocket::open(server.port()).await;
    session.socket.send(frame(FINAL | TEXT, b"{}").repeat(FLOOD)).await;
    for _ in 0..FLOOD {
        assert_eq!(session.hear_of("error").await["problem"]["code"], "frame_invalid");
    }
    FLOOD
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_no_more_subscriptions_than_the_limit() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let mut session = RawWebSocket::open(server.port()).await;
    let count = 10_000;
    let subscribe = |number| {
        let channels = [format!("many.{number}.*")];
        json!({"subscribe": {"subscription": number, "channels": channels}}).to_string()
    };
    let frames: Vec<u8> =
        (0..count).flat_map(|it| frame(FINAL | TEXT, subscribe(it).as_bytes())).collect();
    session.socket.send(frames).await;
    let (mut begun, mut refused) = (0, 0);
    while begun + refused < count {
        let said = session.hear().await;
        begun += usize::from(said.get("subscribed").is_some());
        refused += usize::from(said["error"]["problem"]["code"] == "limit_exceeded");
    }
    assert_eq!(begun, SESSION_SUBSCRIPTIONS_MAX);
    assert!(session.is_alive(1).await);
    vitals.are_good(GROWTH_KIB_MAX).await;
}

/// A client that asks and asks and takes no answer is not listened to for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_not_read_either() {
    let server = server();
    let vitals = Vitals::watch(&server).await;
    let publish = events(1_000);
    let small = [
        frame(FINAL | PING, &[b'x'; 125]),
        frame(FINAL | TEXT, b"{}"),
        frame(FINAL | TEXT, publish.as_bytes()),
    ];
    for sent in small {
        let mut session = RawWebSocket::open(server.port()).await;
        let flood = sent.repeat(PUSHED_BYTES / sent.len());
        let taken = session.socket.push(&flood).await;
        assert!(taken < flood.len(), "it took {taken} bytes without being heard");
    }
    vitals.are_good(UNREAD_GROWTH_KIB_MAX).await;
}

/// What a session holds for a client that has stopped reading does not grow with the number of its
/// subscriptions, also when none of them reads what the others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_subscriptions_that_nobody_reads_hold_little() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = Some(home.path().join("data"));
    let options = ServerOptions { data, ..ServerOptions::default() };
    publish_large_events(RunningServer::start(&options)).await;
    // A new start has nothing in memory that subscriptions could share.
    let server = RunningServer::start(&options);
    let vitals = Vitals::watch(&server).await;
    let mut session = RawWebSocket::open(server.port()).await;
    for number in 0..SESSION_SUBSCRIPTIONS_MAX {
        let subscribe = json!({"subscription": number, "channels": [">"], "after": "earliest"});
        let frame = frame(FINAL | TEXT, json!({"subscribe": subscribe}).to_string().as_bytes());
        session.socket.push(&frame).await;
    }
    let taken = session.socket.push(&frame(FINAL | PING, b"").repeat(PUSHED_BYTES / 6)).await;
    assert!(taken < PUSHED_BYTES / 2, "it took {taken} bytes without being heard");
    vitals.are_good(GROWTH_KIB_MAX).await;
}

async fn publish_large_events(server: RunningServer) {
    let data = Some(vec![b'x'; EVENT_DATA_BYTES_MAX].into());
    let data_content_type = Some("text/plain".to_owned());
    let draft = Draft { data, data_content_type, ..Draft::default() };
    for _ in 0..8 {
        server.client().publish("large", &draft).await.expect("a receipt");
    }
    server.stop();
}

/// A frame full of the shortest events costs a few times its size to refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_costs_much_more_than_its_size() {
    let events = events((FRAME_BYTES_MAX - 100) / 3);
    let channels = vec!["\"\""; (FRAME_BYTES_MAX - 100) / 3].join(",");
    let channels = format!(r#"{{"subscribe":{{"subscription":1,"channels":[{channels}]}}}}"#);
    let mut findings = Vec::new();
    for (name, said) in [("events", events), ("channels", channels)] {
        let server = server();
        let vitals = Vitals::watch(&server).await;
        let mut session = RawWebSocket::open(server.port()).await;
        session.send(TEXT, said.as_bytes()).await;
        let error: Value = session.hear_of("error").await;
        assert!(error["problem"]["code"].is_string(), "{name}: {error}");
        let growth = vitals.growth_kib();
        if growth > GROWTH_KIB_MAX {
            findings.push(format!("{name}: {growth} KiB for {} KiB", said.len() / 1024));
        }
        vitals.are_good(u64::MAX).await;
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

const FLOOD: usize = 50_000;
/// More than all buffers between server and client hold.
const PUSHED_BYTES: usize = 64 * 1024 * 1024;
/// The tens of thousands of events published before the sockets are full stay in memory too.
/// Everything that is pushed would be twenty million.
const UNREAD_GROWTH_KIB_MAX: u64 = 192 * 1024;
