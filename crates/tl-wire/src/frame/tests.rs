use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use tl_model::limits::EVENT_EXTENSIONS_MAX;
use tl_model::{After, Channel, Epoch, Event, LoggedEvent, Offset, Position, SharedEvent};
use tl_protocol::frame::{About, Receipt, RequestId, ServerFrame, SubscriptionId};
use tl_protocol::subscription::{Credit, Delivered};

use super::contract::client_frame::Frame as Said;
use super::contract::server_frame::Frame as Told;
use super::*;
use crate::draft::tests::FixedStamp;
use crate::draft::{Draft, ExtensionValue};
use crate::outbox::Outbox;

const FORMS: [Form; 2] = [Form::Json, Form::Protobuf];

fn epoch() -> Epoch {
    Epoch::from_random(16)
}

fn position(offset: u64) -> Position {
    Position { epoch: epoch(), offset: Offset::new(offset) }
}

/// What the server understands of a frame that a client wrote, which must not depend on the form.
fn understood(frame: impl Into<Said>) -> Result<ClientFrame, Error> {
    let frame = contract::ClientFrame { frame: Some(frame.into()) };
    let [json, protobuf] =
        FORMS.map(|form| read_client(form, &write_client(form, &frame), &FixedStamp));
    assert_eq!(format!("{json:?}"), format!("{protobuf:?}"));
    json
}

/// What a client understands of a frame that the server wrote, which must not depend on the form.
fn told(frame: &ServerFrame<Arc<SharedEvent>>) -> Told {
    let [json, protobuf] = FORMS.map(|form| {
        let mut out = Outbox::new();
        write_server(form, frame, epoch(), &mut out);
        read_server(form, &out.take_all()).expect("the server keeps to the contract")
    });
    assert_eq!(json, protobuf);
    json.frame.expect("a frame")
}

#[test]
fn subscribe_names_channels_a_place_and_a_credit() {
    let subscribe = contract::Subscribe {
        subscription: 7,
        channels: vec!["b".into(), "a.>".into()],
        after: position(5).cursor().to_string(),
        credit: Some(0),
    };
    let ClientFrame::Subscribe(subscribe) = understood(subscribe).expect("valid") else {
        panic!("a subscribe frame");
    };
    assert_eq!(subscribe.subscription, SubscriptionId(7));
    assert_eq!(format!("{:?}", subscribe.selection), "[a.>, b]");
    assert_eq!(subscribe.after, After::Position(position(5)));
    assert_eq!(subscribe.credit, Credit::Events(0));
}

#[test]
fn what_subscribe_leaves_out_means_everything() {
    let channels = vec!["a".into()];
    let subscribe = contract::Subscribe { channels, ..contract::Subscribe::default() };
    let ClientFrame::Subscribe(subscribe) = understood(subscribe).expect("valid") else {
        panic!("a subscribe frame");
    };
    assert_eq!((subscribe.after, subscribe.credit), (After::Earliest, Credit::Unlimited));
}

#[test]
fn a_publish_answers_for_each_event() {
    let good = Draft { data: Some("1".into()), ..Draft::default() };
    let elsewhere = Draft { channel: Some("b".into()), ..good.clone() };
    let bad = Draft { id: Some(String::new()), ..good.clone() };
    let nowhere = Draft { channel: Some("*".into()), ..good.clone() };
    let publish = contract::Publish {
        request: 3,
        channel: "a".into(),
        events: vec![good, elsewhere, bad, nowhere],
        atomic: true,
        ephemeral: true,
        ..contract::Publish::default()
    };
    let ClientFrame::Publish(publish) = understood(publish).expect("valid") else {
        panic!("a publish frame");
    };
    assert_eq!(publish.request, RequestId(3));
    assert!(publish.atomic && publish.ephemeral);
    let outcomes = publish.events.iter().map(|event| match event {
        Ok(event) => event.channel.to_string(),
        Err(error) => error.code.to_string(),
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), ["a", "b", "event_invalid", "channel_invalid"]);
}

#[test]
fn a_publish_can_have_conditions_and_a_key() {
    let condition = |channel: &str, last: &str| contract::Condition {
        channel: channel.into(),
        last: last.into(),
    };
    let publish = contract::Publish {
        events: vec![Draft::default()],
        conditions: vec![condition("a", ""), condition("b", "10000000000000")],
        idempotency_key: "key".into(),
        ..contract::Publish::default()
    };
    let ClientFrame::Publish(read) = understood(publish.clone()).expect("valid") else {
        panic!("a publish frame");
    };
    let seen: Vec<_> = read.conditions.iter().map(|seen| seen.at.is_some()).collect();
    assert_eq!(seen, [false, true]);
    assert_eq!(read.once.expect("a key").key.as_str(), "key");
    let code = |frame: contract::Publish| understood(frame).expect_err("not valid").code;
    let conditions = vec![condition("a", "x")];
    assert_eq!(code(contract::Publish { conditions, ..publish.clone() }), ErrorCode::CursorInvalid);
    let idempotency_key = "ü".into();
    assert_eq!(code(contract::Publish { idempotency_key, ..publish }), ErrorCode::ParameterInvalid);
}

#[test]
fn the_largest_batch_of_the_most_varied_events_is_taken() {
    let extension = |number| (format!("e{number}"), ExtensionValue::Boolean(true));
    let extensions = (0..EVENT_EXTENSIONS_MAX).map(extension).collect();
    let draft = Draft { extensions, ..Draft::default() };
    let events = vec![draft; BATCH_EVENTS_MAX];
    let publish =
        contract::Publish { request: 1, channel: "a".into(), events, ..Default::default() };
    let ClientFrame::Publish(publish) = understood(publish).expect("valid") else {
        panic!("a publish frame");
    };
    assert_eq!(publish.events.iter().flatten().count(), BATCH_EVENTS_MAX);
}

#[test]
fn frames_that_make_no_sense_say_why() {
    let code = |frame: Said| understood(frame).expect_err("refused").code;
    assert_eq!(code(contract::Publish::default().into()), ErrorCode::FrameInvalid);
    assert_eq!(code(contract::Subscribe::default().into()), ErrorCode::SelectionInvalid);
    let after = contract::Subscribe {
        channels: vec!["a".into()],
        after: "now".into(),
        ..contract::Subscribe::default()
    };
    assert_eq!(code(after.into()), ErrorCode::CursorInvalid);
    let many = contract::Publish {
        channel: "a".into(),
        events: vec![Draft::default(); BATCH_EVENTS_MAX + 1],
        ..contract::Publish::default()
    };
    assert_eq!(code(many.into()), ErrorCode::BatchTooLarge);
    let read = |form, bytes: &[u8]| read_client(form, bytes, &FixedStamp).expect_err("refused");
    assert_eq!(read(Form::Json, b"{}").code, ErrorCode::FrameInvalid);
    assert_eq!(read(Form::Json, b"{\"subscribe\":1}").code, ErrorCode::FrameInvalid);
    assert_eq!(read(Form::Json, b"\xff").code, ErrorCode::FrameInvalid);
    assert_eq!(read(Form::Protobuf, b"\xff").code, ErrorCode::FrameInvalid);
    assert_eq!(read(Form::Json, &vec![b' '; FRAME_BYTES_MAX + 1]).code, ErrorCode::FrameTooLarge);
}

#[test]
fn events_carry_their_places() {
    let shared = |number: u64, data: &[u8]| {
        let event = Event::builder(&number.to_string(), "/s", "t").data(data).build();
        let channel = Channel::parse("a").expect("channel");
        let (offset, previous) = (Offset::new(number), Offset::START);
        let event = event.expect("legal");
        let logged = LoggedEvent { offset, previous, logged_at_ms: 0, channel, event };
        Arc::new(SharedEvent::new(logged))
    };
    let delivered = |event: Arc<SharedEvent>, previous| Delivered {
        offset: event.logged().offset,
        previous: Offset::new(previous),
        event,
    };
    let events =
        vec![delivered(shared(2, b"{\"a\":1}"), 1), delivered(shared(5, &[0xff; 2_000]), 2)];
    for subscription in [SubscriptionId(0), SubscriptionId(300)] {
        let frame = ServerFrame::Events { subscription, events: events.clone() };
        let Told::Events(told) = told(&frame) else {
            panic!("an events frame");
        };
        assert_eq!(told.subscription, subscription.0);
        let received: Vec<_> =
            told.events.iter().map(|draft| draft.receive().expect("an event")).collect();
        let places = received.iter().map(|event| (event.previous, event.at));
        assert_eq!(
            places.collect::<Vec<_>>(),
            [(Some(position(1)), position(2)), (Some(position(2)), position(5))]
        );
        assert_eq!(received[0].event, events_of(&events)[0]);
        assert_eq!(received[1].event, events_of(&events)[1]);
    }
}

fn events_of(delivered: &[Delivered<Arc<SharedEvent>>]) -> Vec<Event> {
    delivered.iter().map(|delivered| delivered.event.logged().event.clone()).collect()
}

#[test]
fn every_other_frame_says_the_same_in_both_forms() {
    let subscription = SubscriptionId(4);
    let error = Error::new(ErrorCode::Overloaded, "busy").retry_after(Duration::from_millis(1_500));
    let places = vec![(subscription, position(9))];
    let receipt = |at| Ok(Receipt { id: "x".into(), at });
    let results = vec![receipt(Some(position(9))), receipt(None), Err(error.clone())];
    let second = Duration::from_secs(1);
    let frames = [
        ServerFrame::CaughtUp { subscription, at: position(1) },
        ServerFrame::Error { about: About::Request(RequestId(1)), error: error.clone() },
        ServerFrame::Error { about: About::Subscription(subscription), error: error.clone() },
        ServerFrame::Error { about: About::Session, error },
        ServerFrame::Gap { subscription, after: position(1), through: position(2) },
        ServerFrame::GoingAway { reconnect_after: second, places: places.clone() },
        ServerFrame::Heartbeat { places },
        ServerFrame::Pong { nonce: 0 },
        ServerFrame::Receipts { request: RequestId(1), results },
        ServerFrame::Subscribed { subscription, at: position(1) },
        ServerFrame::Unsubscribed { subscription, at: position(1) },
        ServerFrame::Welcome { session: "s".into(), heartbeat: second },
    ];
    let told: Vec<_> = frames.iter().map(told).collect();
    let json = serde_json::to_string(&told).expect("writes");
    assert!(json.contains("\"goingAway\":{\"reconnectAfterMs\":1000,\"places\":["), "{json}");
    assert!(json.contains("\"retryable\":true,\"retryAfterMs\":1500"), "{json}");
}

proptest! {
    #[test]
    fn any_message_is_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        text in "\\{\"(subscribe|publish|credit)\":\\{[\\[\\]{}\":,a-z0-9]{0,40}",
    ) {
        for form in FORMS {
            let _ = read_client(form, &bytes, &FixedStamp);
            let _ = read_client(form, text.as_bytes(), &FixedStamp);
            let _ = read_server(form, &bytes);
        }
    }
}
