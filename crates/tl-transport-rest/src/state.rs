//! `/v1/channels/{channel}/state`: the latest event of a channel as a document.

use tl_transport::EngineStamp;
use tl_transport::engine::{Answer, Publish, State};
use tl_transport::http::types::header::{
    CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
};
use tl_transport::http::types::{HeaderMap, StatusCode};
use tl_transport::http::{Exchange, Response, problem_response, respond};
use tl_transport::model::limits::{EVENT_DATA_BYTES_MAX, STATE_TRIES_MAX};
use tl_transport::model::{
    Channel, Error, ErrorCode, Fingerprint, LoggedEvent, NewEvent, Once, Position, TOMBSTONE,
    content_type,
};
use tl_transport::protocol::admit::Condition;
use tl_transport::wire::draft::{Draft, ExtensionValue};
use tl_transport::wire::{fingerprint, http_binding, merge_patch, receipts};

use crate::caching::Freshness;
use crate::event::{represent, tag};
use crate::form;
use crate::write::{self, invalid};

/// `GET`: the document.
pub(crate) async fn read(exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let channel = exchange.channel()?;
    let state = exchange.engine.state(&exchange.call, &channel).await?;
    let event = document(&channel, state)?;
    let place = Position { epoch: exchange.engine.epoch(), offset: event.offset };
    Ok(represent(exchange.headers(), &event, place, Freshness::Checked))
}

/// `PUT`: another document in its place.
pub(crate) async fn replace(mut exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let channel = exchange.channel()?;
    let body = exchange.body(EVENT_DATA_BYTES_MAX).await?;
    let draft = http_binding::read(exchange.headers(), body).map_err(|error| invalid(&error))?;
    if draft.data.is_none() {
        let detail = "a document has a body; to remove it use DELETE";
        return Err(Error::new(ErrorCode::EventInvalid, detail));
    }
    let once = once(&exchange, "put", &channel, &draft)?;
    let publish = publish(&exchange, &channel, &draft, None)?;
    let answer = write::publish(&exchange, Some(&channel), once.as_ref(), publish).await?;
    let place = answer.receipts.first().and_then(|receipt| receipt.as_ref().ok()?.at);
    let is_new = match place {
        Some(place) => exchange.engine.is_new_document(&channel, place).await?,
        None => false,
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    changed(&exchange, status, answer)
}

/// `PATCH`: the document, changed by a merge patch. Whoever changes it meanwhile goes first.
pub(crate) async fn patch(exchange: Exchange) -> Result<Response, Error> {
    match merge(exchange).await {
        Err(error) if error.code == ErrorCode::MediaTypeUnsupported => Ok(no_patch(&error)),
        answered => answered,
    }
}

async fn merge(mut exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let channel = exchange.channel()?;
    let patch = exchange.body(EVENT_DATA_BYTES_MAX).await?;
    let content_type = exchange.header("content-type")?.map(content_type::essence);
    if !content_type.is_some_and(|it| it.eq_ignore_ascii_case(merge_patch::CONTENT_TYPE)) {
        let detail = "a patch is a merge patch, application/merge-patch+json (RFC 7396)";
        return Err(Error::new(ErrorCode::MediaTypeUnsupported, detail));
    }
    let asked = Draft { data: Some(patch.clone()), ..attributes(&exchange)? };
    let once = once(&exchange, "patch", &channel, &asked)?;
    change(&exchange, &channel, once, |event| {
        let document = event.event.data().unwrap_or_default();
        let merged = merge_patch::apply(&document, &patch).map_err(|error| match error {
            merge_patch::PatchError::Document => {
                Error::new(ErrorCode::StateInvalid, error.to_string())
            }
            _ => invalid(&error),
        })?;
        let draft = Draft { data: Some(merged.into()), ..Draft::from(&event.event) };
        Ok(renewed(draft, attributes(&exchange)?))
    })
    .await
}

/// `DELETE`: a tombstone in its place.
pub(crate) async fn delete(exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let channel = exchange.channel()?;
    let asked = attributes(&exchange)?;
    let once = once(&exchange, "delete", &channel, &asked)?;
    change(&exchange, &channel, once, |_| {
        let extensions = vec![(TOMBSTONE.to_owned(), ExtensionValue::Boolean(true))];
        Ok(Draft { extensions, ..asked.clone() })
    })
    .await
}

/// Makes of the document what `next` says, if it is still the one that `next` was given.
async fn change(
    exchange: &Exchange,
    channel: &Channel,
    once: Option<Once>,
    next: impl Fn(&LoggedEvent) -> Result<Draft, Error>,
) -> Result<Response, Error> {
    if let Some(answer) = write::answered(exchange, once.as_ref()).await? {
        return changed(exchange, StatusCode::OK, answer);
    }
    let names = |header| exchange.headers().contains_key(header);
    let has_condition = names(IF_MATCH) || names(IF_NONE_MATCH);
    let is_named = has_condition && !write::wants_any(exchange.headers());
    // A rule that demands a condition means one that the client names.
    let may_be_any = has_condition || !exchange.engine.requires_condition(channel);
    for tries in 1..=STATE_TRIES_MAX {
        let state = exchange.engine.state(&exchange.call, channel).await?;
        let event = document(channel, state)?;
        let seen = Condition { channel: channel.clone(), last: event.offset };
        let publish = publish(exchange, channel, &next(&event)?, may_be_any.then_some(seen))?;
        let answer = write::publish(exchange, Some(channel), once.as_ref(), publish).await;
        match answer.and_then(|answer| changed(exchange, StatusCode::OK, answer)) {
            Err(error) if error.code == ErrorCode::ConditionFailed && !is_named => {
                write::let_others_go_first(exchange, tries).await;
            }
            answered => return answered,
        }
    }
    let detail = format!("{channel} is changed by others all the time; try again, or use If-Match");
    Err(Error::new(ErrorCode::StateContended, detail))
}

fn publish(
    exchange: &Exchange,
    channel: &Channel,
    draft: &Draft,
    seen: Option<Condition>,
) -> Result<Publish, Error> {
    let event = draft.publish(channel, &EngineStamp(&exchange.engine));
    let event = event.map_err(|error| invalid(&error))?;
    let events = vec![Ok(NewEvent { channel: channel.clone(), event })];
    Ok(Publish { events, conditions: seen.into_iter().collect(), ..Publish::default() })
}

/// A refusal that says what a patch may be (RFC 5789 §2.2).
fn no_patch(error: &Error) -> Response {
    let mut response = problem_response(error);
    let accepted = HeaderValue::from_static(merge_patch::CONTENT_TYPE);
    response.headers_mut().insert(HeaderName::from_static("accept-patch"), accepted);
    response
}

/// The answer to a change: its receipt, and the new document's tag.
fn changed(exchange: &Exchange, status: StatusCode, answer: Answer) -> Result<Response, Error> {
    let Answer { mut receipts, is_replayed } = answer;
    let (form, served) = form::wanted(exchange.headers());
    let internal = || Error::new(ErrorCode::Internal, "the change was not answered");
    let receipt = receipts.pop().ok_or_else(internal)??;
    let mut response = respond(status, served, receipts::one(form, &receipt));
    if let Some(place) = receipt.at {
        response.headers_mut().insert(ETAG, tag(place, ""));
    }
    write::mark_replayed(&mut response, is_replayed);
    Ok(response)
}

/// The document, or why there is none.
fn document(channel: &Channel, state: State) -> Result<LoggedEvent, Error> {
    match state {
        State::Document(event) => Ok(event),
        State::Deleted(_) => {
            let detail = format!("the document of {channel} was deleted; PUT makes a new one");
            Err(Error::new(ErrorCode::StateDeleted, detail))
        }
        State::Absent { .. } => {
            let detail = format!("{channel} has no document; PUT makes one");
            Err(Error::new(ErrorCode::NotFound, detail))
        }
    }
}

/// A new event with the attributes of the one before it, where the request does not name others.
fn renewed(before: Draft, named: Draft) -> Draft {
    let is_named = |name: &String| named.extensions.iter().any(|(other, _)| other == name);
    let kept = before.extensions.into_iter().filter(|(name, _)| !is_named(name));
    Draft {
        source: named.source.or(before.source),
        event_type: named.event_type.or(before.event_type),
        subject: named.subject.or(before.subject),
        data_content_type: before.data_content_type,
        data_schema: named.data_schema.or(before.data_schema),
        extensions: kept.chain(named.extensions.clone()).collect(),
        data: before.data,
        id: named.id,
        time: named.time,
        channel: None,
        cursor: None,
        previous: None,
    }
}

/// The attributes that the headers name, without data.
fn attributes(exchange: &Exchange) -> Result<Draft, Error> {
    let mut headers = HeaderMap::clone(exchange.headers());
    headers.remove(CONTENT_TYPE);
    http_binding::read(&headers, tl_transport::Bytes::new()).map_err(|error| invalid(&error))
}

fn once(
    exchange: &Exchange,
    method: &str,
    channel: &Channel,
    draft: &Draft,
) -> Result<Option<Once>, Error> {
    let asked = || {
        let publish = fingerprint::of_publish(channel.as_str(), false, [Ok(draft)].into_iter());
        Fingerprint::of([method.as_bytes(), &publish.bytes()])
    };
    write::once(exchange, None, asked)
}
