//! The forms of what is published, and of its receipts: CloudEvents, plain data, and the contract's own
//! messages in protobuf.

use tl_transport::Bytes;
use tl_transport::http::types::HeaderMap;
use tl_transport::http::types::header::CONTENT_TYPE;
use tl_transport::http::{Served, negotiate};
use tl_transport::model::{Error, ErrorCode, Form, IdempotencyKey, content_type};
use tl_transport::protocol::frame::LastSeen;
use tl_transport::wire::draft::Draft;
use tl_transport::wire::frame::{parse_conditions, parse_key};
use tl_transport::wire::page::{CLOUDEVENTS_BATCH, JSON, NDJSON, PROTOBUF};
use tl_transport::wire::{batch, http_binding, json};
use tl_transport::writing::invalid;

use crate::event::CLOUDEVENT;

/// What a body holds.
pub(crate) struct Body {
    pub(crate) is_batch: bool,
    /// What the body itself says of this, as the query may, too.
    pub(crate) atomic: bool,
    pub(crate) ephemeral: bool,
    pub(crate) conditions: Vec<LastSeen>,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) drafts: Vec<Result<Draft, Error>>,
}

impl Body {
    fn one(draft: Result<Draft, Error>) -> Self {
        Self { is_batch: false, ..Self::many(vec![draft]) }
    }

    fn many(drafts: Vec<Result<Draft, Error>>) -> Self {
        Self {
            is_batch: true,
            atomic: false,
            ephemeral: false,
            conditions: Vec::new(),
            key: None,
            drafts,
        }
    }
}

/// Reads a body by its media type. Whatever is no form of CloudEvents is the data of one event.
pub(crate) fn read(headers: &HeaderMap, body: Bytes) -> Result<Body, Error> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.map(content_type::essence).unwrap_or_default();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    if is(CLOUDEVENT) {
        return Ok(Body::one(json::read(&body).map_err(|error| invalid(&error))));
    }
    if is(CLOUDEVENTS_BATCH) {
        return Ok(Body::many(batch::read_array(&body)?));
    }
    if is(NDJSON) {
        return Ok(Body::many(batch::read_lines(&body)?));
    }
    if is_publish(essence, headers) {
        return read_publish(&body);
    }
    if essence.starts_with("application/cloudevents") {
        let detail = format!(
            "send {CLOUDEVENT}, {CLOUDEVENTS_BATCH}, {NDJSON}, {PROTOBUF}, or the data itself"
        );
        return Err(Error::new(ErrorCode::MediaTypeUnsupported, detail));
    }
    let draft = http_binding::read(headers, body);
    Ok(Body::one(draft.map(as_meant).map_err(|error| invalid(&error))))
}

/// `curl -d` says that everything it sends is a form. JSON is never one.
fn as_meant(mut draft: Draft) -> Draft {
    let is_form = draft.data_content_type.as_deref() == Some("application/x-www-form-urlencoded");
    let is_json = |data: &Bytes| {
        data.first().is_some_and(|first| b"{[\"".contains(first)) && json::is_json(data)
    };
    if is_form && draft.data.as_ref().is_some_and(is_json) {
        draft.data_content_type = Some(JSON.to_owned());
    }
    draft
}

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
/// What a body may be; whatever else it is, it is the data of an event.
pub(crate) const TAKES: &[&str] = &[CLOUDEVENT, CLOUDEVENTS_BATCH, NDJSON, PROTOBUF, "*/*"];
