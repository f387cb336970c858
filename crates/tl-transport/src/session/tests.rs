use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::task::noop_waker;
use tl_engine::{Options, Script, Sent, Sink, SystemEnvironment, WriteEvents};
use tl_model::{After, Channel, Epoch, Event, NewEvent, Offset, Position, Selection};
use tl_protocol::subscription::Credit;
use tl_store::MemoryStore;
use tl_wire::frame::write_events;

use super::*;

const OPTIONS: SessionOptions = SessionOptions {
    heartbeat: Duration::from_secs(15),
    reconnect_within: Duration::from_secs(10),
    drain_grace: Duration::from_secs(5),
};

/// A carrier whose two ends the test holds.
#[derive(Default)]
struct TestCarrier {
    incoming: VecDeque<Incoming>,
    queued: Outbox,
    sent: String,
    /// How many bytes the peer still takes.
    window: usize,
    probes: usize,
    served: Arc<Mutex<Served>>,
}

/// What lanes have sent.
#[derive(Debug, Default)]
struct Served {
    frames: String,
    at: Option<Instant>,
}

struct TestSink(Arc<Mutex<Served>>);

impl Sink for TestSink {
    fn send(&self, bytes: &Bytes, now: tokio::time::Instant) -> Sent {
        let mut served = lock(&self.0);
        served.frames.push_str(std::str::from_utf8(bytes).expect("JSON"));
        served.at = Some(now.into_std());
        Sent::All
    }
}

fn selection(channel: &str) -> Selection {
    Selection::parse([channel]).expect("a selection")
}

fn lock(served: &Arc<Mutex<Served>>) -> MutexGuard<'_, Served> {
    served.lock().expect("no test panics while it holds it")
}

impl Carrier for TestCarrier {
    fn poll_receive(&mut self, _: &mut Context<'_>) -> Result<Poll<Incoming>, CarrierError> {
        Ok(self.incoming.pop_front().map_or(Poll::Pending, Poll::Ready))
    }

    fn queue_message(&mut self, message: &mut Outbox) {
        self.queued.append(message);
        self.queued.put(b"\n");
    }

    fn queue_probe(&mut self) {
        self.probes += 1;
    }

    fn queue_close(&mut self, reason: CloseReason) {
        self.queued.put(format!("{reason:?}\n").as_bytes());
    }

    fn unsent(&self) -> usize {
        bytes::Buf::remaining(&self.queued)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Result<Poll<()>, CarrierError> {
        let count = self.window.min(self.unsent());
        let bytes = bytes::Buf::copy_to_bytes(&mut self.queued, count);
        self.sent.push_str(std::str::from_utf8(&bytes).expect("JSON"));
        self.window -= count;
        Ok(if self.unsent() == 0 { Poll::Ready(()) } else { Poll::Pending })
    }

    fn lane(&self, subscription: SubscriptionId) -> Option<(Arc<dyn Sink>, Script)> {
        let write: WriteEvents = |events, epoch, variant| {
            let mut frame = Outbox::new();
            write_events(Form::Json, SubscriptionId(variant as u32), events, epoch, &mut frame);
            frame.take_all()
        };
        let script = Script { name: "test", variant: subscription.0.into(), write };
        Some((Arc::new(TestSink(self.served.clone())), script))
    }

    fn served_at(&self) -> Option<Instant> {
        lock(&self.served).at
    }
}

/// A session that the test moves by hand.
struct Test {
    engine: Engine,
    driver: Driver,
    carrier: TestCarrier,
    leaving: CancellationToken,
}

impl Test {
    /// Past the welcome.
    async fn open() -> Self {
        let store = MemoryStore::new(Epoch::from_random(1 << 40));
        let environment = Arc::new(SystemEnvironment);
        let engine = Engine::start(Arc::new(store), environment, Options::default());
        let (options, leaving) = (Arc::new(OPTIONS), engine.draining().child_token());
        let driver = Driver::new(Form::Json, &engine, Call::default(), options, leaving.clone());
        let carrier = TestCarrier { window: usize::MAX, ..TestCarrier::default() };
        let mut test = Self { engine, driver, carrier, leaving };
        assert!(test.turn().await.starts_with("{\"welcome\":{\"session\":\""));
        test
    }

    fn say(&mut self, frame: &str) -> &mut Self {
        let message = Bytes::copy_from_slice(frame.as_bytes());
        self.carrier.incoming.push_back(Incoming::Message(message));
        self
    }

    /// Lets everything happen that can; returns what the peer got.
    async fn turn(&mut self) -> String {
        for _ in 0..20 {
            let _ = self.poll();
            tokio::task::yield_now().await;
        }
        std::mem::take(&mut self.carrier.sent)
    }

    fn poll(&mut self) -> Poll<Result<(), CarrierError>> {
        self.driver.poll(&mut self.carrier, &mut Context::from_waker(&noop_waker()))
    }

    async fn publish(&self, data: &str) {
        let event = Event::builder("1", "/s", "t").data_content_type("text/plain");
        let event = event.data(data.as_bytes()).build().expect("legal");
        let channel = Channel::parse("a").expect("channel");
        let events = vec![Ok(NewEvent { channel, event })];
        let publish = Publish { events, ..Publish::default() };
        self.engine.publish(&Call::default(), publish).await.expect("publishes");
    }
}

const SUBSCRIBE: &str = r#"{"subscribe":{"subscription":1,"channels":["a"]}}"#;

#[tokio::test(start_paused = true)]
async fn a_session_subscribes_publishes_and_delivers() {
    let mut test = Test::open().await;
    let told = test.say(SUBSCRIBE).turn().await;
    assert!(told.contains("{\"subscribed\":{\"subscription\":1,"), "{told}");
    assert!(told.contains("{\"caughtUp\":{\"subscription\":1,"), "{told}");
    test.say(r#"{"publish":{"request":7,"channel":"a","events":[{"id":"x","data":1}]}}"#);
    let told = test.turn().await;
    assert!(told.contains("{\"receipts\":{\"request\":7,\"receipts\":[{\"id\":\"x\""), "{told}");
    assert!(told.contains("{\"events\":{\"subscription\":1,\"events\":[{\"cursor\":"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn pipelined_publishes_are_logged_in_the_order_of_their_frames() {
    let mut test = Test::open().await;
    for n in 0..200 {
        let frame = format!(
            r#"{{"publish":{{"request":{n},"channel":"a","events":[{{"id":"{n}","data":1}}]}}}}"#
        );
        test.say(&frame);
    }
    test.say(SUBSCRIBE);
    let told = test.turn().await;
    let ids = told.split("\"specversion\":\"1.0\",\"id\":\"").skip(1);
    let ids: Vec<usize> =
        ids.map(|rest| rest.split('"').next().unwrap_or("").parse().expect("a number")).collect();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
}

/// More of them at once than the runtime lets a task have in one go.
#[tokio::test(start_paused = true)]
async fn receipts_come_in_the_order_of_the_frames() {
    let mut test = Test::open().await;
    for n in 1..=400 {
        test.say(&format!(
            r#"{{"publish":{{"request":{n},"channel":"a","events":[{{"data":1}}]}}}}"#
        ));
    }
    let told = test.turn().await;
    let requests = told.split("{\"receipts\":{\"request\":").skip(1);
    let requests: Vec<usize> = requests
        .map(|rest| rest.split(',').next().unwrap_or("").parse().expect("a number"))
        .collect();
    assert_eq!(requests, (1..=400).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_makes_no_sense_is_refused_and_the_session_goes_on() {
    let mut test = Test::open().await;
    let told = test.say("nonsense").say(r#"{"ping":{"nonce":3}}"#).turn().await;
    assert!(told.contains("\"code\":\"frame_invalid\""), "{told}");
    assert!(told.contains("{\"pong\":{\"nonce\":3}}"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_holds_little_and_loses_nothing() {
    let mut test = Test::open().await;
    test.say(SUBSCRIBE).turn().await;
    test.carrier.window = 0;
    let data = "x".repeat(10_000);
    for _ in 0..100 {
        test.publish(&data).await;
        test.turn().await;
    }
    assert!(test.carrier.unsent() < UNSENT_BYTES_MAX * 3, "{} bytes", test.carrier.unsent());
    test.carrier.window = usize::MAX;
    let told = test.turn().await;
    assert_eq!(told.matches(&data).count(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_alive_and_a_stopped_one_is_not() {
    let mut test = Test::open().await;
    test.say(SUBSCRIBE).turn().await;
    test.carrier.window = 0;
    test.publish(&"x".repeat(60_000)).await;
    test.turn().await;
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(14)).await;
        test.carrier.window = 100;
        assert!(test.poll().is_pending(), "it still takes something now and then");
    }
    tokio::time::advance(Duration::from_secs(16)).await;
    assert!(test.poll().is_pending());
    tokio::time::advance(Duration::from_secs(16)).await;
    assert!(matches!(test.poll(), Poll::Ready(Ok(()))), "nothing was taken for two heartbeats");
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_once_all_that_waited_has_left() {
    let mut test = Test::open().await;
    test.say(SUBSCRIBE).turn().await;
    test.carrier.window = 0;
    for number in 0..300 {
        test.publish(&format!("{number:01000}")).await;
    }
    test.turn().await;
    assert!(test.carrier.unsent() >= UNSENT_BYTES_MAX);
    test.carrier.window = usize::MAX;
    assert!(test.poll().is_pending());
    // Nobody wakes it again: all was durable long ago.
    assert!(test.carrier.sent.contains(&format!("{:01000}", 299)));
}

#[tokio::test(start_paused = true)]
async fn what_a_lane_has_sent_counts_for_the_heartbeat_and_for_the_place() {
    let mut test = Test::open().await;
    let other = selection("a");
    let after = After::Latest;
    let mut other = test.engine.subscribe(&Call::default(), other, after, Credit::Unlimited);
    let other = other.as_mut().expect("subscribes");
    while let Some(Ok(_)) = other.next().now_or_never() {}
    test.say(SUBSCRIBE).turn().await;
    tokio::time::advance(OPTIONS.heartbeat / 2).await;
    test.publish("1").await;
    let told = test.turn().await;
    assert_eq!(told, "", "the lane has sent it");
    assert!(std::mem::take(&mut lock(&test.carrier.served).frames).contains("\"data\":\"1\""));
    test.carrier.incoming.push_back(Incoming::Alive);
    tokio::time::advance(OPTIONS.heartbeat / 2).await;
    assert_eq!(test.turn().await, "", "silence is counted from there");
    tokio::time::advance(OPTIONS.heartbeat / 2).await;
    let told = test.turn().await;
    let place = Position { epoch: test.engine.epoch(), offset: Offset::new(1) };
    assert!(told.contains("{\"heartbeat\":{\"places\":[{\"subscription\":1,"), "{told}");
    assert!(told.contains(&*place.cursor()), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_asked_and_then_given_up() {
    let mut test = Test::open().await;
    tokio::time::advance(OPTIONS.heartbeat).await;
    assert!(test.turn().await.contains("{\"heartbeat\":{}}"));
    assert_eq!(test.carrier.probes, 1);
    test.carrier.incoming.push_back(Incoming::Alive);
    tokio::time::advance(OPTIONS.heartbeat).await;
    assert!(test.poll().is_pending());
    tokio::time::advance(OPTIONS.heartbeat).await;
    assert!(test.poll().is_pending());
    tokio::time::advance(OPTIONS.heartbeat).await;
    assert!(matches!(test.poll(), Poll::Ready(Ok(()))));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_move_the_place_of_a_quiet_subscription_on() {
    let mut test = Test::open().await;
    let told = test.say(r#"{"subscribe":{"subscription":1,"channels":["quiet"]}}"#).turn().await;
    let cursor = |told: &str| told.split("\"cursor\":\"").nth(1).map(|rest| rest[..14].to_owned());
    let before = cursor(&told);
    test.publish("elsewhere").await;
    tokio::time::advance(OPTIONS.heartbeat).await;
    let told = test.turn().await;
    assert!(told.contains("{\"heartbeat\":{\"places\":[{\"subscription\":1,"), "{told}");
    assert_ne!(cursor(&told), before, "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_says_goodbye_with_the_places() {
    let mut test = Test::open().await;
    test.say(SUBSCRIBE).turn().await;
    test.engine.drain();
    let ended = std::future::poll_fn(|cx| test.driver.poll(&mut test.carrier, cx));
    ended.now_or_never().expect("it ends at once").expect("in order");
    let told = &test.carrier.sent;
    assert!(told.contains("{\"goingAway\":{\"reconnectAfterMs\":"), "{told}");
    assert!(told.contains("\"places\":[{\"subscription\":1,\"cursor\":\""), "{told}");
    assert!(told.ends_with("GoingAway\n"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_connection_leaves_is_sent_elsewhere_soon() {
    let mut test = Test::open().await;
    test.say(SUBSCRIBE).turn().await;
    test.leaving.cancel();
    let ended = std::future::poll_fn(|cx| test.driver.poll(&mut test.carrier, cx));
    ended.now_or_never().expect("it ends at once").expect("in order");
    let told = &test.carrier.sent;
    assert!(told.contains("{\"goingAway\":{\"reconnectAfterMs\":100,"), "{told}");
    assert!(told.contains("\"places\":[{\"subscription\":1,\"cursor\":\""), "{told}");
    assert!(told.ends_with("GoingAway\n"), "{told}");
}

#[test]
fn reconnects_are_spread_over_the_whole_time() {
    let within = Duration::from_secs(10);
    assert_eq!(spread(within, 0), Duration::ZERO);
    assert_eq!(spread(within, u64::MAX / 2).as_secs(), 5);
    assert_eq!(spread(within, u64::MAX), within);
}
