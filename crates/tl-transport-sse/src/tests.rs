use std::time::Duration;

use tl_transport::Leaving;
use tl_transport::http::types::StatusCode;
use tl_transport::testkit::{Kit, Streamed};
use tl_transport::wire::sse::{Block, Joiner, Parser};
use tokio_util::sync::CancellationToken;

use super::*;

const EVENTS: &str = "/v1/channels/orders/events";

fn kit() -> Kit {
    Kit::new(&[&Sse::default()])
}

async fn open(kit: &Kit, path: &str, headers: &[(&str, &str)]) -> Streamed {
    let stream = kit.open(path, &[&[("accept", "text/event-stream")], headers].concat()).await;
    assert_eq!(stream.status, StatusCode::OK);
    stream
}

/// Reads blocks of a stream as a browser does.
struct Reader {
    stream: Streamed,
    parser: Parser,
    joiner: Joiner,
}

impl Reader {
    fn new(stream: Streamed) -> Self {
        Self { stream, parser: Parser::new(), joiner: Joiner::default() }
    }

    async fn next(&mut self) -> Option<Block> {
        loop {
            while let Some(block) = self.parser.next_block() {
                if let Some(block) = self.joiner.join(block) {
                    return Some(block);
                }
            }
            let piece = self.stream.next().await?;
            self.parser.feed(piece.as_bytes()).expect("short lines");
        }
    }

    /// The id of the next event, or the name of the next block that is none.
    async fn told(&mut self) -> String {
        let block = self.next().await.expect("the stream goes on");
        match block.name.as_str() {
            "" => block.data.split("\"id\":\"").nth(1).expect("an id")[..1].to_owned(),
            name => name.to_owned(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_what_there_is_and_goes_live() {
    let kit = kit();
    kit.publish("orders", "1", "x").await;
    let stream = open(&kit, EVENTS, &[]).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-cache");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    let mut reader = Reader::new(stream);
    assert_eq!(reader.told().await, "1");
    assert_eq!(reader.told().await, "caught-up");
    kit.publish("other", "2", "x").await;
    kit.publish("orders", "3", "x").await;
    assert_eq!(reader.told().await, "3");
    assert!((1_000..=3_000).contains(&reader.parser.retry_ms().expect("a retry time")));
}

#[tokio::test(start_paused = true)]
async fn the_last_event_id_goes_before_the_address() {
    let kit = kit();
    let first = kit.publish("orders", "1", "x").await;
    kit.publish("orders", "2", "x").await;
    let cursor = first.cursor();
    let path = format!("{EVENTS}?after=earliest");
    let mut reader = Reader::new(open(&kit, &path, &[("last-event-id", &cursor)]).await);
    assert_eq!(reader.told().await, "2");
    assert_ne!(reader.parser.last_id(), &*cursor);
    let mut reader = Reader::new(open(&kit, &path, &[("last-event-id", "")]).await);
    assert_eq!(reader.told().await, "1", "a browser that saw nothing yet sends an empty id");
}

#[tokio::test(start_paused = true)]
async fn several_channels_and_patterns_share_one_stream_and_cursor() {
    let kit = kit();
    let mut reader = Reader::new(open(&kit, "/v1/events?channel=a.%3E&channel=b", &[]).await);
    assert_eq!(reader.told().await, "caught-up");
    for (channel, id) in [("a.x", "1"), ("c", "2"), ("b", "3"), ("a.y.z", "4")] {
        kit.publish(channel, id, "x").await;
    }
    assert_eq!(reader.told().await, "1");
    let cursor = reader.parser.last_id().to_owned();
    drop(reader);
    let headers = [("last-event-id", cursor.as_str())];
    let mut reader = Reader::new(open(&kit, "/v1/events?channel=a.%3E&channel=b", &headers).await);
    assert_eq!(reader.told().await, "3");
    assert_eq!(reader.told().await, "4");
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_heartbeats_that_move_the_id_on() {
    let kit = kit();
    let mut stream = open(&kit, EVENTS, &[]).await;
    while !stream.next().await.expect("open").contains("caught-up") {}
    kit.publish("other", "1", "x").await;
    let started = tokio::time::Instant::now();
    let beat = stream.next().await.expect("open");
    assert_eq!(started.elapsed(), Duration::from_secs(15));
    assert!(beat.starts_with(": heartbeat\nid: "), "{beat}");
    let id = beat.trim_end().rsplit(' ').next().expect("an id").to_owned();
    let mut resumed = Reader::new(open(&kit, EVENTS, &[("last-event-id", &id)]).await);
    kit.publish("orders", "2", "x").await;
    let mut told = resumed.told().await;
    if told == "caught-up" {
        told = resumed.told().await;
    }
    assert_eq!(told, "2");
    stream.next().await.expect("the event");
    let started = tokio::time::Instant::now();
    stream.next().await.expect("open");
    assert_eq!(started.elapsed(), Duration::from_secs(15), "counted from the last event");
}

#[tokio::test(start_paused = true)]
async fn large_events_are_split_or_referred_to() {
    let kit = kit();
    let text = "x".repeat(200_000);
    kit.publish("orders", "1", &text).await;
    let mut reader = Reader::new(open(&kit, EVENTS, &[]).await);
    let block = reader.next().await.expect("an event");
    assert!(block.data.contains(&text));
    let path = format!("{EVENTS}?large=reference");
    let mut reader = Reader::new(open(&kit, &path, &[]).await);
    let block = reader.next().await.expect("an event");
    assert!(block.data.contains("\"dataref\":\"/v1/events/"), "{}", block.data);
}

#[tokio::test(start_paused = true)]
async fn binary_data_is_in_base64_and_says_so() {
    let kit = Kit::new(&[&Sse::default()]);
    let event = tl_transport::model::Event::builder("1", "/s", "t").data(&[0, 255]);
    let channel = tl_transport::model::Channel::parse("orders").expect("channel");
    let new = tl_transport::model::NewEvent { channel, event: event.build().expect("legal") };
    let events = vec![Ok(new)];
    let publish = tl_transport::engine::Publish { events, ..Default::default() };
    kit.engine.publish(&Default::default(), publish).await.expect("publishes");
    let block = Reader::new(open(&kit, EVENTS, &[]).await).next().await.expect("an event");
    assert!(block.data.ends_with("\"data_base64\":\"AP8=\"}"), "{}", block.data);
}

#[tokio::test(start_paused = true)]
async fn a_drain_says_when_to_come_back_and_ends_the_stream() {
    let kit = kit();
    let mut stream = open(&kit, EVENTS, &[]).await;
    while !stream.next().await.expect("open").contains("caught-up") {}
    kit.engine.drain();
    let goodbye = stream.next().await.expect("a last word");
    assert!(goodbye.starts_with("retry: "), "{goodbye}");
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_connection_leaves_is_sent_elsewhere_without_a_gap() {
    let (mut kit, leaving) = (kit(), CancellationToken::new());
    kit.leaving = Some(Leaving(leaving.clone().into()));
    let mut reader = Reader::new(open(&kit, EVENTS, &[]).await);
    assert_eq!(reader.told().await, "caught-up");
    kit.publish("orders", "1", "x").await;
    leaving.cancel();
    assert_eq!(reader.told().await, "1", "what is there is told before the stream ends");
    assert!(reader.next().await.is_none());
    assert_eq!(reader.parser.retry_ms(), Some(1_000), "soon: the others stay");
    kit.publish("orders", "2", "x").await;
    kit.leaving = None;
    let place = reader.parser.last_id().to_owned();
    let mut resumed = Reader::new(open(&kit, EVENTS, &[("last-event-id", &place)]).await);
    assert_eq!(resumed.told().await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_request_timeout_ends_the_stream() {
    let kit = kit();
    let mut stream = open(&kit, EVENTS, &[("request-timeout", "40")]).await;
    let started = tokio::time::Instant::now();
    while stream.next().await.is_some() {}
    assert_eq!(started.elapsed().as_secs(), 40);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_streamed_is_refused_before_the_stream_begins() {
    let kit = kit();
    let status = async |path: &str, headers: &[(&str, &str)]| {
        let headers = [&[("accept", "text/event-stream")], headers].concat();
        kit.open(path, &headers).await.status
    };
    assert_eq!(status("/v1/events", &[]).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(&format!("{EVENTS}?large=maybe"), &[]).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(EVENTS, &[("last-event-id", "x")]).await, StatusCode::BAD_REQUEST);
    let other_log = [("last-event-id", "1zzzzzzzzzzzz11")];
    assert_eq!(status(EVENTS, &other_log).await, StatusCode::GONE);
}
