//! What was published with headers is delivered with headers, attribute by attribute.

#![no_main]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

use tl_fuzz::{FixedStamp, channel, logged, position};
use tl_wire::draft::Received;
use tl_wire::http_binding::{read, write};

fuzz_target!(|message: &[u8]| {
    let (headers, body) = split(message);
    let Ok(draft) = read(&headers, body.clone()) else { return };
    let Ok(event) = draft.publish(&channel(), &FixedStamp) else { return };
    assert_eq!(event.data().unwrap_or_default(), body);
    let logged = logged(event);
    let at = position(logged.offset);
    let mut headers = HeaderMap::new();
    write(&mut headers, &logged, at);
    let received = read(&headers, body).expect("reads").receive().expect("an event");
    let (channel, event) = (logged.channel, logged.event);
    assert_eq!(received, Received { channel, event, at, previous: None });
});

/// Header lines, an empty line, the body. Lines that are no headers are left out.
fn split(message: &[u8]) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let mut rest = message;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = header(line) {
            headers.append(name, value);
        }
    }
    (headers, Bytes::copy_from_slice(rest))
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}
