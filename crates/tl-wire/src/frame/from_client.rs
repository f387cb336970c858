//! What a client says, checked.

use tl_model::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use tl_model::{After, Channel, Error, ErrorCode, IdempotencyKey, NewEvent, Once, Selection};
use tl_protocol::frame::{ClientFrame, LastSeen, Publish, RequestId, Subscribe, SubscriptionId};
use tl_protocol::subscription::Credit;

use super::contract;
use super::contract::client_frame::Frame;
use crate::batch;
use crate::draft::{Draft, Stamp};
use crate::fingerprint;

pub(super) fn parse(
    message: contract::ClientFrame,
    stamp: &dyn Stamp,
) -> Result<ClientFrame, Error> {
    let frame = message.frame.ok_or_else(|| {
        let detail = "the frame says nothing this server knows; it has one of the members hello, \
                      subscribe, unsubscribe, credit, publish, ping";
        Error::new(ErrorCode::FrameInvalid, detail)
    })?;
    match frame {
        Frame::Hello(hello) => Ok(ClientFrame::Hello { client: hello.client }),
        Frame::Subscribe(subscribe) => parse_subscribe(&subscribe).map(ClientFrame::Subscribe),
        Frame::Unsubscribe(unsubscribe) => {
            Ok(ClientFrame::Unsubscribe { subscription: SubscriptionId(unsubscribe.subscription) })
        }
        Frame::Credit(credit) => Ok(ClientFrame::Credit {
            subscription: SubscriptionId(credit.subscription),
            events: u64::from(credit.events),
        }),
        Frame::Publish(publish) => parse_publish(&publish, stamp).map(ClientFrame::Publish),
        Frame::Ping(ping) => Ok(ClientFrame::Ping { nonce: ping.nonce }),
    }
}

fn parse_subscribe(subscribe: &contract::Subscribe) -> Result<Subscribe, Error> {
    Ok(Subscribe {
        subscription: SubscriptionId(subscribe.subscription),
        selection: parse_selection(&subscribe.channels)?,
        after: parse_after(&subscribe.after)?,
        credit: subscribe.credit.map_or(Credit::Unlimited, |events| Credit::Events(events.into())),
    })
}

pub(crate) fn parse_selection(channels: &[String]) -> Result<Selection, Error> {
    Selection::parse(channels.iter().map(String::as_str))
        .map_err(|error| Error::new(ErrorCode::SelectionInvalid, error.to_string()))
}

pub(crate) fn parse_after(after: &str) -> Result<After, Error> {
    if after.is_empty() {
        return Ok(After::Earliest);
    }
    after.parse().map_err(|error| Error::new(ErrorCode::CursorInvalid, format!("`after`: {error}")))
}

pub(crate) fn parse_publish(
    publish: &contract::Publish,
    stamp: &dyn Stamp,
) -> Result<Publish, Error> {
    check_size(publish)?;
    let events = publish.events.iter().map(|draft| parse_event(draft, &publish.channel, stamp));
    let conditions = parse_conditions(publish)?;
    let fingerprint = || {
        let drafts = publish.events.iter().map(Ok);
        fingerprint::of_publish(&publish.channel, publish.atomic, drafts)
    };
    let once = parse_key(publish)?.map(|key| Once { key, fingerprint: fingerprint() });
    Ok(Publish {
        request: RequestId(publish.request),
        events: events.collect(),
        atomic: publish.atomic,
        ephemeral: publish.ephemeral,
        conditions,
        once,
    })
}

/// What must still be true of channels for a publish to be done.
///
/// # Errors
///
/// `channel_invalid`, `cursor_invalid`.
pub fn parse_conditions(publish: &contract::Publish) -> Result<Vec<LastSeen>, Error> {
    publish.conditions.iter().map(parse_condition).collect()
}

fn parse_condition(condition: &contract::Condition) -> Result<LastSeen, Error> {
    let channel = Channel::parse(&condition.channel)
        .map_err(|error| Error::new(ErrorCode::ChannelInvalid, error.to_string()))?;
    let parse = |cursor: &str| {
        let invalid = |error| Error::new(ErrorCode::CursorInvalid, format!("`last`: {error}"));
        cursor.parse().map_err(invalid)
    };
    let last = Some(condition.last.as_str()).filter(|cursor| !cursor.is_empty());
    Ok(LastSeen { channel, at: last.map(parse).transpose()? })
}

/// The idempotency key of a publish.
///
/// # Errors
///
/// `parameter_invalid`.
pub fn parse_key(publish: &contract::Publish) -> Result<Option<IdempotencyKey>, Error> {
    parse_key_text(&publish.idempotency_key)
}

pub(crate) fn parse_key_text(text: &str) -> Result<Option<IdempotencyKey>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    IdempotencyKey::parse(text)
        .map(Some)
        .map_err(|error| Error::new(ErrorCode::ParameterInvalid, error.to_string()))
}

fn check_size(publish: &contract::Publish) -> Result<(), Error> {
    if publish.events.is_empty() {
        return Err(Error::new(ErrorCode::FrameInvalid, "a publish has at least one event"));
    }
    let bytes: usize = publish.events.iter().flat_map(|draft| &draft.data).map(|d| d.len()).sum();
    if publish.events.len() > BATCH_EVENTS_MAX || bytes > BATCH_BYTES_MAX {
        return Err(batch::too_large());
    }
    Ok(())
}

fn parse_event(draft: &Draft, channel: &str, stamp: &dyn Stamp) -> Result<NewEvent, Error> {
    let name = draft.channel.as_deref().unwrap_or(channel);
    let channel = Channel::parse(name)
        .map_err(|error| Error::new(ErrorCode::ChannelInvalid, error.to_string()))?;
    let event = draft
        .publish(&channel, stamp)
        .map_err(|error| Error::new(ErrorCode::EventInvalid, error.to_string()))?;
    Ok(NewEvent { channel, event })
}
