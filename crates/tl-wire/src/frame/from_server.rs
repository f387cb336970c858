//! What the server says, written.

use std::sync::Arc;
use std::time::Duration;

use buffa::encoding::{encode_varint, varint_len};
use bytes::Bytes;

use tl_model::{Epoch, Error, Form, Position, SharedEvent};
use tl_protocol::frame::{About, Receipt, ServerFrame, SubscriptionId};
use tl_protocol::subscription::Delivered;

use super::contract::server_frame::Frame;
use super::{contract, encode};
use crate::outbox::Outbox;
use crate::{json, protobuf};

/// Writes a frame of the server. `epoch` is that of the log its offsets belong to.
pub fn write_server(
    form: Form,
    frame: &ServerFrame<Arc<SharedEvent>>,
    epoch: Epoch,
    out: &mut Outbox,
) {
    match (frame, form) {
        (ServerFrame::Events { subscription, events }, form) => {
            write_events(form, *subscription, events, epoch, out);
        }
        (frame, form) => {
            let frame = contract::ServerFrame { frame: message(frame) };
            out.put(&encode(form, &frame));
        }
    }
}

/// Writes the frame that delivers events. `epoch` is that of the log their offsets belong to.
pub fn write_events(
    form: Form,
    subscription: SubscriptionId,
    events: &[Delivered<Arc<SharedEvent>>],
    epoch: Epoch,
    out: &mut Outbox,
) {
    match form {
        Form::Json => write_events_json(subscription, events, epoch, out),
        Form::Protobuf => write_events_protobuf(subscription, events, epoch, out),
    }
}

fn write_events_json(
    subscription: SubscriptionId,
    events: &[Delivered<Arc<SharedEvent>>],
    epoch: Epoch,
    out: &mut Outbox,
) {
    out.put(b"{\"events\":{\"subscription\":");
    out.put(subscription.0.to_string().as_bytes());
    out.put(b",\"events\":[");
    for (index, delivered) in events.iter().enumerate() {
        if index > 0 {
            out.put(b",");
        }
        let (at, previous) = places(delivered, epoch);
        out.put_with(|buffer| json::places(buffer, at, Some(previous)));
        out.put_shared(delivered.event.form(Form::Json, json::body));
    }
    out.put(b"]}}");
}

/// The lengths of nested messages come before their content, so they are added up first.
fn write_events_protobuf(
    subscription: SubscriptionId,
    events: &[Delivered<Arc<SharedEvent>>],
    epoch: Epoch,
    out: &mut Outbox,
) {
    let pieces: Vec<(&Bytes, Vec<u8>)> = events
        .iter()
        .map(|delivered| {
            let (at, previous) = places(delivered, epoch);
            let mut places = Vec::with_capacity(64);
            protobuf::places(&mut places, at, Some(previous));
            (delivered.event.form(Form::Protobuf, protobuf::body), places)
        })
        .collect();
    let event_len = |(body, places): &(&Bytes, Vec<u8>)| (body.len() + places.len()) as u64;
    let subscription = u64::from(subscription.0);
    let subscription_len = if subscription == 0 { 0 } else { 1 + varint_len(subscription) };
    let events_len: u64 =
        pieces.iter().map(event_len).map(|len| 1 + varint_len(len) as u64 + len).sum();
    out.put_with(|buffer| {
        encode_varint(EVENTS_TAG, buffer);
        encode_varint(subscription_len as u64 + events_len, buffer);
        if subscription != 0 {
            encode_varint(SUBSCRIPTION_TAG, buffer);
            encode_varint(subscription, buffer);
        }
    });
    for piece in &pieces {
        out.put_with(|buffer| {
            encode_varint(EVENT_TAG, buffer);
            encode_varint(event_len(piece), buffer);
        });
        out.put_shared(piece.0);
        out.put(&piece.1);
    }
}

fn places(delivered: &Delivered<Arc<SharedEvent>>, epoch: Epoch) -> (Position, Position) {
    let position = |offset| Position { epoch, offset };
    (position(delivered.offset), position(delivered.previous))
}

/// The message of every frame but `events`, which the caller writes itself.
fn message(frame: &ServerFrame<Arc<SharedEvent>>) -> Option<Frame> {
    Some(match frame {
        ServerFrame::CaughtUp { subscription, at } => {
            contract::CaughtUp { subscription: subscription.0, cursor: text(*at) }.into()
        }
        ServerFrame::Error { about, error } => error_message(*about, error).into(),
        ServerFrame::Events { .. } => return None,
        ServerFrame::Gap { subscription, after, through } => contract::Gap {
            subscription: subscription.0,
            after: text(*after),
            cursor: text(*through),
        }
        .into(),
        ServerFrame::GoingAway { reconnect_after, places } => contract::GoingAway {
            reconnect_after_ms: millis(*reconnect_after),
            places: place_messages(places),
        }
        .into(),
        ServerFrame::Heartbeat { places } => {
            contract::Heartbeat { places: place_messages(places) }.into()
        }
        ServerFrame::Pong { nonce } => contract::Pong { nonce: *nonce }.into(),
        ServerFrame::Receipts { request, results } => contract::Receipts {
            request: request.0,
            receipts: results.iter().map(receipt_message).collect(),
        }
        .into(),
        ServerFrame::Subscribed { subscription, at } => {
            contract::Subscribed { subscription: subscription.0, cursor: text(*at) }.into()
        }
        ServerFrame::Unsubscribed { subscription, at } => {
            contract::Unsubscribed { subscription: subscription.0, cursor: text(*at) }.into()
        }
        ServerFrame::Welcome { session, heartbeat } => {
            contract::Welcome { session: session.clone(), heartbeat_ms: millis(*heartbeat) }.into()
        }
    })
}

fn error_message(about: About, error: &Error) -> contract::Error {
    let (request, subscription) = match about {
        About::Request(request) => (Some(request.0), None),
        About::Session => (None, None),
        About::Subscription(subscription) => (None, Some(subscription.0)),
    };
    contract::Error { request, subscription, problem: problem_message(error).into() }
}

pub(crate) fn receipt_message(result: &Result<Receipt, Error>) -> contract::Receipt {
    match result {
        Ok(receipt) => contract::Receipt {
            id: receipt.id.clone(),
            cursor: receipt.at.map(text).unwrap_or_default(),
            ..contract::Receipt::default()
        },
        Err(error) => contract::Receipt {
            error: problem_message(error).into(),
            ..contract::Receipt::default()
        },
    }
}

pub(crate) fn problem_message(error: &Error) -> contract::Problem {
    contract::Problem {
        code: error.code.as_str().to_owned(),
        detail: error.detail.clone().into_owned(),
        retryable: error.code.is_retryable(),
        retry_after_ms: error.retry_after.map(millis),
    }
}

fn place_messages(places: &[(SubscriptionId, Position)]) -> Vec<contract::Place> {
    let place = |(id, at): &(SubscriptionId, Position)| contract::Place {
        subscription: id.0,
        cursor: text(*at),
    };
    places.iter().map(place).collect()
}

fn text(position: Position) -> String {
    position.cursor().as_str().to_owned()
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Field 4 of `ServerFrame`, length-delimited.
const EVENTS_TAG: u64 = 4 << 3 | 2;
/// Field 1 of `Events`, a varint.
const SUBSCRIPTION_TAG: u64 = 1 << 3;
/// Field 2 of `Events`, length-delimited.
const EVENT_TAG: u64 = 2 << 3 | 2;
