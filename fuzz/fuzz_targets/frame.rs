//! A frame says the same in both of its forms.

#![no_main]

use buffa::Message;
use libfuzzer_sys::fuzz_target;
use serde_json::from_slice;

use tl_fuzz::FixedStamp;
use tl_model::limits::FRAME_BYTES_MAX;
use tl_model::{Error, Form};
use tl_protocol::frame::ClientFrame;
use tl_wire::frame::{read_client, read_server, write_client};
use tl_wire::generated::throughline::v1 as contract;
use tl_wire::generated::throughline::v1::server_frame::Frame as Told;

fuzz_target!(|message: &[u8]| {
    check_client_json(message);
    check_client_protobuf(message);
    check_server_json(message);
    check_server_protobuf(message);
});

fn check_client_json(message: &[u8]) {
    let understood = read_client(Form::Json, message, &FixedStamp);
    let Ok(frame) = from_slice::<contract::ClientFrame>(message) else {
        assert!(understood.is_err());
        return;
    };
    let rewritten = write_client(Form::Protobuf, &frame);
    // Described white space is written out in the binary form.
    if rewritten.len() <= FRAME_BYTES_MAX {
        same(&understood, &read_client(Form::Protobuf, &rewritten, &FixedStamp));
    }
}

fn check_client_protobuf(message: &[u8]) {
    let understood = read_client(Form::Protobuf, message, &FixedStamp);
    let Ok(frame) = contract::ClientFrame::decode_from_slice(message) else {
        assert!(understood.is_err());
        return;
    };
    // An extension whose name is illegal has no place in JSON.
    if understood.as_ref().is_ok_and(is_legal) {
        let rewritten = write_client(Form::Json, &frame);
        same(&understood, &read_client(Form::Json, &rewritten, &FixedStamp));
    }
}

fn check_server_json(message: &[u8]) {
    if let Ok(frame) = read_server(Form::Json, message) {
        assert_eq!(read_server(Form::Protobuf, &frame.encode_to_vec()), Ok(frame));
    }
}

fn check_server_protobuf(message: &[u8]) {
    let Ok(frame) = read_server(Form::Protobuf, message) else { return };
    let is_legal = match &frame.frame {
        Some(Told::Events(events)) => events.events.iter().all(|event| event.receive().is_ok()),
        _ => true,
    };
    if is_legal {
        let rewritten = serde_json::to_vec(&frame).expect("writes");
        assert_eq!(read_server(Form::Json, &rewritten), Ok(frame));
    }
}

fn is_legal(frame: &ClientFrame) -> bool {
    match frame {
        ClientFrame::Publish(publish) => publish.events.iter().all(Result::is_ok),
        _ => true,
    }
}

/// The text of a frame leaves out most of an event, so events are compared themselves.
#[track_caller]
fn same(one: &Result<ClientFrame, Error>, other: &Result<ClientFrame, Error>) {
    if let (Ok(ClientFrame::Publish(one)), Ok(ClientFrame::Publish(other))) = (one, other) {
        assert_eq!(one.events, other.events);
    }
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}
