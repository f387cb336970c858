use std::sync::Arc;

use tl_model::limits::BATCH_EVENTS_MAX;

use super::*;
use crate::draft::Draft;
use crate::draft::tests::FixedStamp;

const FORMS: [Form; 2] = [Form::Json, Form::Protobuf];

fn message<M>(form: Form, json: &str) -> Vec<u8>
where
    M: buffa::Message + serde::Serialize + serde::de::DeserializeOwned,
{
    match form {
        Form::Json => json.into(),
        Form::Protobuf => serde_json::from_str::<M>(json).expect("legal").encode_to_vec(),
    }
}

#[test]
fn a_publish_is_read_in_both_forms() {
    let json = r#"{"channel":"a","events":[{"data":{"x":1}},{"channel":"b","id":"7"}],
        "atomic":true,"conditions":[{"channel":"a"}],"idempotencyKey":"k"}"#;
    for form in FORMS {
        let message = message::<contract::PublishRequest>(form, json);
        let publish = read_publish(form, &message, &FixedStamp).expect("legal");
        let channels = publish.events.iter().flatten().map(|it| it.channel.as_str());
        assert_eq!(channels.collect::<Vec<_>>(), ["a", "b"], "{form:?}");
        assert!(publish.atomic && !publish.ephemeral && publish.once.is_some());
        assert_eq!(publish.conditions.len(), 1);
    }
}

#[test]
fn a_read_is_checked() {
    for form in FORMS {
        let read = |json| read_read(form, &message::<contract::ReadRequest>(form, json));
        let asked = read(r#"{"channels":["a.>"],"after":"latest","limit":5,"waitMs":20}"#);
        let asked = asked.expect("legal");
        assert_eq!((asked.after, asked.events_max), (After::Latest, 5));
        assert_eq!(asked.wait, Duration::from_millis(20));
        let plain = read(r#"{"channels":["a"]}"#).expect("legal");
        assert_eq!((plain.after, plain.events_max), (After::Earliest, PAGE_EVENTS_DEFAULT));
        for (json, code) in [
            (r#"{}"#, ErrorCode::SelectionInvalid),
            (r#"{"channels":["a..b"]}"#, ErrorCode::SelectionInvalid),
            (r#"{"channels":["a"],"after":"x"}"#, ErrorCode::CursorInvalid),
            (r#"{"channels":["a"],"limit":1001}"#, ErrorCode::ParameterInvalid),
        ] {
            assert_eq!(read(json).expect_err(json).code, code, "{form:?} {json}");
        }
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for (form, message) in
        [(Form::Json, &b"{"[..]), (Form::Json, b"[]"), (Form::Protobuf, b"\x0a\xff")]
    {
        let error = read_subscribe(form, message).expect_err("no message");
        assert_eq!(error.code, ErrorCode::MessageInvalid);
    }
    let many = format!(r#"{{"channel":"a","events":[{}{{}}]}}"#, "{},".repeat(40_000));
    let error = read_publish(Form::Json, many.as_bytes(), &FixedStamp).expect_err("too many");
    assert_eq!(error.code, ErrorCode::BatchTooLarge);
    let broken = &many.as_bytes()[..many.len() - 2];
    let error = read_publish(Form::Json, broken, &FixedStamp).expect_err("it breaks off");
    assert_eq!(error.code, ErrorCode::MessageInvalid);
    let large = vec![b' '; FRAME_BYTES_MAX + 1];
    let error = read_subscribe(Form::Json, &large).expect_err("too large");
    assert_eq!(error.code, ErrorCode::BodyTooLarge);
    let some = format!(r#"{{"channel":"a","events":[{}{{}}]}}"#, "{},".repeat(BATCH_EVENTS_MAX));
    let error = read_publish(Form::Json, some.as_bytes(), &FixedStamp).expect_err("one too many");
    assert_eq!(error.code, ErrorCode::BatchTooLarge);
}

/// Pages and the deliveries of subscriptions are written once, for plain HTTP and sessions as for calls.
#[test]
fn what_others_write_is_what_calls_answer() {
    use tl_model::{Channel, Epoch, Event, LoggedEvent, Offset, SharedEvent};
    use tl_protocol::frame::{ServerFrame, SubscriptionId};
    use tl_protocol::subscription::Delivered;

    use crate::frame::write_server;
    use crate::outbox::Outbox;
    use crate::page::Page;

    let event = Event::builder("1", "/s", "t").data(b"{}").build().expect("legal");
    let (offset, previous) = (Offset::new(2), Offset::new(1));
    let channel = Channel::parse("a").expect("channel");
    let logged = LoggedEvent { offset, previous, logged_at_ms: 0, channel, event };
    let next = Position { epoch: Epoch::from_random(16), offset };
    let events = [(offset, &logged)];
    let page = Page { gap: None, events: &events, next, caught_up: true };
    let shared = Arc::new(SharedEvent::new(logged.clone()));
    let events = vec![Delivered { offset, previous, event: shared }];
    let frame = ServerFrame::Events { subscription: SubscriptionId(0), events };
    for form in FORMS {
        let bytes = if form == Form::Json { page.write() } else { page.write_protobuf() };
        let response: contract::ReadResponse = decode(form, &bytes).expect("a response");
        assert!(response.caught_up && response.events.len() == 1);
        let mut out = Outbox::new();
        write_server(form, &frame, next.epoch, &mut out);
        let response: contract::SubscribeResponse =
            decode(form, &out.take_all()).expect("a response");
        let Some(contract::subscribe_response::Frame::Events(events)) = response.frame else {
            panic!("events");
        };
        assert_eq!(events.events[0].cursor.as_deref(), Some(next.cursor().as_str()));
    }
}

#[test]
fn a_change_of_a_document_is_read_in_both_forms() {
    let json = r#"{"channel":"a","patch":{"type":"t","data":{"x": 1.50},
        "datacontenttype":"application/merge-patch+json"},
        "condition":{"exists":false},"idempotencyKey":"k"}"#;
    for form in FORMS {
        let message = message::<contract::PatchStateRequest>(form, json);
        let (patch, change) = read_patch_state(form, &message).expect("legal");
        assert_eq!(patch, r#"{"x": 1.50}"#, "{form:?}: the very bytes");
        let named = Draft { event_type: Some("t".into()), ..Draft::default() };
        assert_eq!((change.channel.as_str(), change.draft), ("a", named));
        assert_eq!((change.condition, change.key.is_some()), (Some(Condition::Absent), true));
    }
}

#[test]
fn a_condition_that_is_not_known_is_not_taken_for_none() {
    // Fields 1, the channel, and 3, a condition with a field 9.
    let message = b"\x0a\x01a\x1a\x02\x48\x01";
    let error = read_delete_state(Form::Protobuf, message).expect_err("not known");
    assert_eq!(error.code, ErrorCode::ParameterInvalid);
    // Field 1, the type, and 5, a condition with a field 9.
    let message = b"\x0a\x01a\x2a\x02\x48\x01";
    let error = read_put_schema(Form::Protobuf, message).expect_err("not known");
    assert_eq!(error.code, ErrorCode::ParameterInvalid);
}
