//! Messages do not depend on the pieces in which their frames arrive.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

use tl_fuzz::cut;
use tl_transport_websocket::codec::{CodecError, Decoder, Message, ServerHeader};

fuzz_target!(|input: &[u8]| {
    let (stream, pieces) = cut(input);
    let whole = decode(&[stream]);
    assert_eq!(decode(&pieces), whole);
    whole.0.iter().for_each(check);
});

/// All messages up to the first error, if there is one.
fn decode(pieces: &[&[u8]]) -> (Vec<Message>, Option<CodecError>) {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let mut bytes = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut bytes) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(decoder.wanted() <= MESSAGE_BYTES_MAX, "no frame that long was begun");
    }
    (messages, None)
}

fn check(message: &Message) {
    let (is_text, payload) = match message {
        Message::Text(text) => (true, text),
        Message::Binary(bytes) => (false, bytes),
        Message::Ping(bytes) => return assert!(bytes.len() <= CONTROL_BYTES_MAX),
        Message::Close(_) | Message::Pong => return,
    };
    assert!(payload.len() <= MESSAGE_BYTES_MAX);
    assert!(!is_text || std::str::from_utf8(payload).is_ok());
    let mut frame = ServerHeader::message(is_text, payload.len()).as_bytes().to_vec();
    frame[1] |= MASKED;
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    assert_eq!(decode(&[&frame]), (vec![message.clone()], None));
}

/// Small enough that inputs reach it.
const MESSAGE_BYTES_MAX: usize = 1_000;
/// RFC 6455 §5.5.
const CONTROL_BYTES_MAX: usize = 125;
/// RFC 6455 §5.2: whoever sets it sends a mask, here one that changes nothing.
const MASKED: u8 = 0x80;
