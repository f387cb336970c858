use tl_model::{After, Selection};

use super::*;
use crate::subscription::{Credit, Delivered};

const HEARTBEAT: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);

/// A session on a clock that only the test moves.
struct Test {
    now: Instant,
    session: Session<&'static str>,
}

impl Test {
    /// Past the welcome.
    fn open() -> Self {
        let now = Instant::now();
        let epoch = Epoch::from_random(16);
        let opening = Opening { session: "s1".into(), epoch, heartbeat: HEARTBEAT };
        let mut test = Self { now, session: Session::new(now, opening) };
        test.expect("welcome s1 15");
        test
    }

    fn frame(&mut self, frame: ClientFrame) -> &mut Self {
        self.session.handle_frame(self.now, Ok(frame));
        self
    }

    fn subscribe(&mut self, id: u32) -> &mut Self {
        self.frame(ClientFrame::Subscribe(Subscribe {
            subscription: SubscriptionId(id),
            selection: Selection::parse(["a"]).expect("selection"),
            after: After::Earliest,
            credit: Credit::Unlimited,
        }))
    }

    fn subscribed(&mut self, id: u32, at: u64) -> &mut Self {
        self.session.handle_subscribed(self.now, SubscriptionId(id), Ok(Offset::new(at)));
        self
    }

    fn publish(&mut self, request: u32) -> &mut Self {
        let request = RequestId(request);
        let publish = Publish {
            request,
            events: Vec::new(),
            atomic: false,
            ephemeral: false,
            conditions: Vec::new(),
            once: None,
        };
        self.frame(ClientFrame::Publish(publish))
    }

    fn receipts(&mut self, request: u32) -> &mut Self {
        self.session.handle_receipts(self.now, RequestId(request), Vec::new());
        self
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.session.handle_timeout(self.now);
        self
    }

    /// All outputs there are, in a few words each, joined by commas.
    #[track_caller]
    fn expect(&mut self, expected: &str) -> &mut Self {
        let outputs: Vec<_> = std::iter::from_fn(|| self.session.poll_output()).collect();
        let words: Vec<_> = outputs.iter().map(in_words).collect();
        assert_eq!(words.join(", "), expected);
        self
    }
}

fn in_words(output: &Output<&'static str>) -> String {
    match output {
        Output::Allow { subscription, events } => format!("allow {} {events}", subscription.0),
        Output::Close(reason) => format!("close {reason:?}"),
        Output::Probe => "probe".to_owned(),
        Output::Publish(publish) => format!("publish {}", publish.request.0),
        Output::Send(frame) => frame_in_words(frame),
        Output::Subscribe(subscribe) => format!("subscribe {}", subscribe.subscription.0),
        Output::Unsubscribe { subscription } => format!("unsubscribe {}", subscription.0),
    }
}

fn frame_in_words(frame: &ServerFrame<&'static str>) -> String {
    let places = |places: &[(SubscriptionId, Position)]| {
        places.iter().map(|(id, at)| format!(" {}@{}", id.0, at.offset)).collect::<String>()
    };
    match frame {
        ServerFrame::CaughtUp { subscription, at } => {
            format!("caught-up {}@{}", subscription.0, at.offset)
        }
        ServerFrame::Error { about, error } => format!("error {about:?} {}", error.code),
        ServerFrame::Events { subscription, events } => {
            let events: Vec<_> = events.iter().map(|event| event.event).collect();
            format!("events {} {}", subscription.0, events.join("+"))
        }
        ServerFrame::Gap { subscription, after, through } => {
            format!("gap {} {}..{}", subscription.0, after.offset, through.offset)
        }
        ServerFrame::GoingAway { reconnect_after, places: at } => {
            format!("going-away {}{}", reconnect_after.as_secs(), places(at))
        }
        ServerFrame::Heartbeat { places: at } => format!("heartbeat{}", places(at)),
        ServerFrame::Pong { nonce } => format!("pong {nonce}"),
        ServerFrame::Receipts { request, .. } => format!("receipts {}", request.0),
        ServerFrame::Subscribed { subscription, at } => {
            format!("subscribed {}@{}", subscription.0, at.offset)
        }
        ServerFrame::Unsubscribed { subscription, at } => {
            format!("unsubscribed {}@{}", subscription.0, at.offset)
        }
        ServerFrame::Welcome { session, heartbeat } => {
            format!("welcome {session} {}", heartbeat.as_secs())
        }
    }
}

#[test]
fn a_subscription_begins_delivers_and_ends() {
    let mut test = Test::open();
    test.subscribe(7).expect("subscribe 7");
    test.subscribed(7, 3).expect("subscribed 7@3");
    let (id, now) = (SubscriptionId(7), test.now);
    let event = Delivered { event: "x", offset: Offset::new(4), previous: Offset::new(3) };
    let delivery = Delivery::Events(vec![event]);
    test.session.handle_delivery(now, id, delivery, Offset::new(4));
    let delivery = Delivery::CaughtUp { at: Offset::new(5) };
    test.session.handle_delivery(now, id, delivery, Offset::new(5));
    let gap = tl_model::Gap { after: Offset::new(5), through: Offset::new(8) };
    test.session.handle_delivery(now, id, Delivery::Gap(gap), Offset::new(8));
    test.expect("events 7 x, caught-up 7@5, gap 7 5..8");
    test.frame(ClientFrame::Credit { subscription: id, events: 10 }).expect("allow 7 10");
    test.frame(ClientFrame::Unsubscribe { subscription: id });
    test.expect("unsubscribe 7, unsubscribed 7@8");
    test.session.handle_delivery(
        now,
        id,
        Delivery::CaughtUp { at: Offset::new(9) },
        Offset::new(9),
    );
    test.expect("");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut test = Test::open();
    let id = SubscriptionId(1);
    test.frame(ClientFrame::Credit { subscription: id, events: 1 });
    test.expect("error Session subscription_invalid");
    test.frame(ClientFrame::Unsubscribe { subscription: id });
    test.expect("error Session subscription_invalid");
    test.subscribe(1).subscribe(1).expect("subscribe 1, error Session subscription_invalid");
    test.frame(ClientFrame::Hello { client: "late".into() });
    test.expect("error Session frame_invalid");
    let error = Error::new(ErrorCode::FrameInvalid, "not a frame");
    test.session.handle_frame(test.now, Err(error));
    test.expect("error Session frame_invalid");
    test.subscribed(1, 0).expect("subscribed 1@0");
}

#[test]
fn hello_may_come_first() {
    let mut test = Test::open();
    test.frame(ClientFrame::Hello { client: "test/1".into() }).expect("");
    test.frame(ClientFrame::Ping { nonce: 9 }).expect("pong 9");
}

#[test]
fn a_refused_or_failed_subscription_is_told_once() {
    let mut test = Test::open();
    let error = || Error::new(ErrorCode::CursorEpoch, "other log");
    test.subscribe(1).expect("subscribe 1");
    test.session.handle_subscribed(test.now, SubscriptionId(1), Err(error()));
    test.expect("error Subscription(SubscriptionId(1)) cursor_epoch");
    test.session.handle_ended(test.now, SubscriptionId(1), error());
    test.expect("");
    test.subscribe(1).expect("subscribe 1");
}

#[test]
fn subscriptions_have_a_limit() {
    let mut test = Test::open();
    for id in 0..SESSION_SUBSCRIPTIONS_MAX as u32 {
        test.subscribe(id).expect(&format!("subscribe {id}"));
    }
    test.subscribe(999).expect("error Subscription(SubscriptionId(999)) limit_exceeded");
}

#[test]
fn a_client_with_too_many_publishes_under_way_is_not_read() {
    let mut test = Test::open();
    for request in 0..SESSION_PUBLISHES_MAX as u32 {
        assert!(!test.session.is_saturated());
        test.publish(request).expect(&format!("publish {request}"));
    }
    assert!(test.session.is_saturated());
    test.receipts(0).expect("receipts 0");
    assert!(!test.session.is_saturated());
}

#[test]
fn silence_brings_heartbeats_that_carry_the_places() {
    let mut test = Test::open();
    test.subscribe(1).subscribed(1, 3).expect("subscribe 1, subscribed 1@3");
    test.session.handle_progress(SubscriptionId(1), Offset::new(8));
    assert_eq!(test.session.poll_timeout(), Some(test.now + HEARTBEAT));
    test.pass(HEARTBEAT - SECOND).expect("");
    test.pass(SECOND).expect("heartbeat 1@8, probe");
    test.session.handle_alive(test.now);
    test.pass(HEARTBEAT).expect("heartbeat 1@8, probe");
}

#[test]
fn a_peer_that_gives_no_sign_of_life_is_dead_within_two_heartbeats() {
    let mut test = Test::open();
    test.pass(HEARTBEAT).expect("heartbeat, probe");
    test.session.handle_alive(test.now);
    test.pass(HEARTBEAT).expect("heartbeat, probe");
    test.pass(HEARTBEAT).expect("close Dead");
    assert_eq!(test.session.poll_timeout(), None);
    test.pass(HEARTBEAT).expect("");
}

#[test]
fn a_busy_subscriber_that_never_speaks_is_asked_for_a_sign_of_life() {
    let mut test = Test::open();
    test.subscribe(1).subscribed(1, 0).expect("subscribe 1, subscribed 1@0");
    let busy = |test: &mut Test, expected| {
        let delivery = Delivery::CaughtUp { at: Offset::new(1) };
        test.session.handle_delivery(test.now, SubscriptionId(1), delivery, Offset::new(1));
        test.expect("caught-up 1@1");
        test.pass(HEARTBEAT / 2).expect(expected);
    };
    busy(&mut test, "");
    busy(&mut test, "probe");
    test.session.handle_alive(test.now);
    busy(&mut test, "");
    busy(&mut test, "probe");
    busy(&mut test, "");
    busy(&mut test, "close Dead");
}

#[test]
fn a_drain_says_where_to_resume_and_waits_for_receipts() {
    let mut test = Test::open();
    test.subscribe(1).subscribed(1, 3).publish(5);
    test.expect("subscribe 1, subscribed 1@3, publish 5");
    test.session.handle_drain(test.now, SECOND * 4, SECOND * 10);
    test.expect("going-away 4 1@3");
    test.publish(6).expect("error Request(RequestId(6)) draining");
    test.receipts(5).expect("receipts 5, close GoingAway");
    test.session.handle_drain(test.now, SECOND, SECOND);
    test.expect("");
}

#[test]
fn a_drain_ends_when_its_time_is_up() {
    let mut test = Test::open();
    test.publish(5).expect("publish 5");
    test.session.handle_drain(test.now, SECOND, SECOND * 10);
    test.expect("going-away 1");
    assert_eq!(test.session.poll_timeout(), Some(test.now + SECOND * 10));
    test.pass(SECOND * 10).expect("close GoingAway");
    test.receipts(5).expect("");
}
