//! Protobuf in place of JSON: the contract's own messages.

use tl_transport::Bytes;
use tl_transport::http::types::HeaderMap;
use tl_transport::http::{Served, negotiate};
use tl_transport::model::{Error, Form};
use tl_transport::wire::frame::{parse_conditions, parse_key};
use tl_transport::wire::page::{JSON, PROTOBUF};
use tl_transport::wire::{batch, http_binding};

use crate::publish::Body;

/// Whether a body of this type is a message `throughline.v1.Publish`. With the attributes of an event
/// in the headers it is that event's data, whatever that is.
pub(crate) fn is_publish(essence: &str, headers: &HeaderMap) -> bool {
    let is_protobuf = [PROTOBUF, X_PROTOBUF].iter().any(|it| essence.eq_ignore_ascii_case(it));
    is_protobuf && !headers.contains_key(http_binding::SPEC_VERSION)
}

/// Reads that message.
pub(crate) fn read_publish(body: &Bytes) -> Result<Body, Error> {
    let publish = batch::read_publish(body)?;
    let (conditions, key) = (parse_conditions(&publish)?, parse_key(&publish)?);
    let drafts = publish.events.into_iter().map(Ok).collect();
    Ok(Body {
        atomic: publish.atomic,
        ephemeral: publish.ephemeral,
        conditions,
        key,
        ..Body::many(drafts)
    })
}

/// The form of receipts: JSON, unless the client prefers protobuf. What it cannot read it need not,
/// as its events have been published.
pub(crate) fn wanted(headers: &HeaderMap) -> (Form, Served) {
    match negotiate(headers, &[JSON, PROTOBUF]) {
        Ok(PROTOBUF) => (Form::Protobuf, PROTOBUF),
        _ => (Form::Json, JSON),
    }
}

/// The name that was in use before there was a registered one.
const X_PROTOBUF: &str = "application/x-protobuf";
