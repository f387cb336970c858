//! The answers to a publish over plain HTTP: the same receipts that a session gets.

use buffa::Message;

use tl_model::{Error, Form};
use tl_protocol::frame::Receipt;

use crate::frame::encode;
use crate::frame::from_server::receipt_message;
use crate::generated::throughline::v1 as contract;

/// The answer for one event.
pub fn one(form: Form, receipt: &Receipt) -> Vec<u8> {
    encode(form, &receipt_message(&Ok(receipt.clone())))
}

/// The answer for several events, in order: a receipt or an error each.
pub fn many(form: Form, results: &[Result<Receipt, Error>]) -> Vec<u8> {
    let receipts = results.iter().map(receipt_message).collect();
    encode(form, &contract::Receipts { request: 0, receipts })
}

/// Reads the answer for one event, as a client.
pub fn read_one(json: &[u8]) -> Result<contract::Receipt, serde_json::Error> {
    serde_json::from_slice(json)
}

/// Reads the answer for several events, as a client.
pub fn read_many(json: &[u8]) -> Result<contract::Receipts, serde_json::Error> {
    serde_json::from_slice(json)
}

/// Reads the answer for one event in protobuf, as a client.
pub fn read_one_protobuf(body: &[u8]) -> Result<contract::Receipt, buffa::DecodeError> {
    contract::Receipt::decode_from_slice(body)
}

/// Reads the answer for several events in protobuf, as a client.
pub fn read_many_protobuf(body: &[u8]) -> Result<contract::Receipts, buffa::DecodeError> {
    contract::Receipts::decode_from_slice(body)
}

#[cfg(test)]
mod tests {
    use tl_model::{Epoch, ErrorCode, Offset, Position};

    use super::*;

    #[test]
    fn every_event_gets_a_receipt_or_an_error() {
        let at = Position { epoch: Epoch::from_random(16), offset: Offset::new(3) };
        let receipt = Receipt { id: "x".into(), at: Some(at) };
        let error = Error::new(ErrorCode::EventInvalid, "no id");
        assert_eq!(one(Form::Json, &receipt), br#"{"id":"x","cursor":"100000000000113"}"#);
        let results = [Ok(receipt), Err(error)];
        let binary = read_many_protobuf(&many(Form::Protobuf, &results));
        let many = many(Form::Json, &results);
        let expected = concat!(
            r#"{"receipts":[{"id":"x","cursor":"100000000000113"},"#,
            r#"{"error":{"code":"event_invalid","detail":"no id"}}]}"#,
        );
        assert_eq!(String::from_utf8_lossy(&many), expected);
        let read = read_many(&many).expect("reads");
        assert_eq!(read.receipts.len(), 2);
        assert_eq!(binary.expect("reads"), read);
    }
}
