//! The answers to a publish over plain HTTP: the same receipts that a session gets.

use tl_model::Error;
use tl_protocol::frame::Receipt;

use crate::frame::receipt_message;
use crate::generated::throughline::v1 as contract;

/// The answer for one event.
pub fn one(receipt: &Receipt) -> Vec<u8> {
    json(&receipt_message(&Ok(receipt.clone())))
}

/// The answer for several events, in order: a receipt or an error each.
pub fn many(results: &[Result<Receipt, Error>]) -> Vec<u8> {
    let receipts = results.iter().map(receipt_message).collect();
    json(&contract::Receipts { request: 0, receipts })
}

/// Reads the answer for one event, as a client.
pub fn read_one(json: &[u8]) -> Result<contract::Receipt, serde_json::Error> {
    serde_json::from_slice(json)
}

/// Reads the answer for several events, as a client.
pub fn read_many(json: &[u8]) -> Result<contract::Receipts, serde_json::Error> {
    serde_json::from_slice(json)
}

fn json<M: serde::Serialize>(message: &M) -> Vec<u8> {
    // The messages hold nothing that JSON cannot express.
    serde_json::to_vec(message).unwrap_or_default()
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
        assert_eq!(one(&receipt), br#"{"id":"x","cursor":"100000000000113"}"#);
        let many = many(&[Ok(receipt), Err(error)]);
        let expected = concat!(
            r#"{"receipts":[{"id":"x","cursor":"100000000000113"},"#,
            r#"{"error":{"code":"event_invalid","detail":"no id"}}]}"#,
        );
        assert_eq!(String::from_utf8_lossy(&many), expected);
        assert_eq!(read_many(&many).expect("reads").receipts.len(), 2);
    }
}
