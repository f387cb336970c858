//! What was published in JSON is delivered in JSON, byte for byte.

#![no_main]

use libfuzzer_sys::fuzz_target;

use tl_fuzz::{FixedStamp, channel, logged, position};
use tl_model::LoggedEvent;
use tl_wire::draft::Received;
use tl_wire::json;

fuzz_target!(|text: &[u8]| {
    let Ok(draft) = json::read(text) else { return };
    let Ok(event) = draft.publish(&channel(), &FixedStamp) else { return };
    assert_eq!(event.data(), draft.data);
    check_delivery(&logged(event));
});

fn check_delivery(logged: &LoggedEvent) {
    let (at, previous) = (position(logged.offset), Some(position(logged.previous)));
    let delivered = json::delivered(logged, at, previous);
    assert!(!delivered.iter().any(|byte| matches!(byte, b'\n' | b'\r')), "not on one line");
    let draft = json::read(&delivered).expect("reads");
    let received = draft.receive().expect("an event");
    let (channel, event) = (logged.channel.clone(), logged.event.clone());
    assert_eq!(received, Received { channel, event, at, previous });
    assert_eq!(received.event.data(), logged.event.data());
    assert_eq!(json::received(&received), delivered);
    let rewritten = json::write(&draft).expect("writes");
    assert_eq!(json::read(&rewritten).expect("reads"), draft);
    check_sharing(logged, &delivered);
}

/// What every subscriber gets, behind what only one gets, is the whole.
fn check_sharing(logged: &LoggedEvent, delivered: &[u8]) {
    let mut shared = Vec::new();
    json::places(&mut shared, position(logged.offset), Some(position(logged.previous)));
    shared.extend_from_slice(&json::body(logged));
    assert_eq!(shared, delivered);
}
