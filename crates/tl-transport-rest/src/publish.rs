//! `POST …/events`.

use tl_transport::engine::{Answer, Precondition, Publish, Receipt};
use tl_transport::http::types::StatusCode;
use tl_transport::http::types::header::{HeaderValue, LOCATION};
use tl_transport::http::{Exchange, Response, Served, respond, status};
use tl_transport::model::limits::BATCH_BYTES_MAX;
use tl_transport::model::{Channel, Error, ErrorCode, Form, NewEvent, Once};
use tl_transport::protocol::frame::LastSeen;
use tl_transport::wire::draft::Draft;
use tl_transport::wire::{fingerprint, problem, receipts};
use tl_transport::writing::{self, Write};

use crate::event::place;
use crate::form::{self, Body};
use crate::write;

pub(crate) async fn publish(mut exchange: Exchange) -> Result<Response, Error> {
    let mut query = exchange.query();
    let (atomic, ephemeral) = (query.switch("atomic")?, query.switch("ephemeral")?);
    query.finish()?;
    let channel = match exchange.param("channel") {
        "" => None,
        _ => Some(exchange.channel()?),
    };
    let bytes = exchange.body(BATCH_BYTES_MAX).await?;
    let body = form::read(exchange.headers(), bytes)?;
    let (atomic, ephemeral) = (atomic || body.atomic, ephemeral || body.ephemeral);
    let Body { is_batch, conditions, key, drafts, .. } = body;
    if drafts.is_empty() {
        return Err(Error::new(ErrorCode::EventInvalid, "the batch is empty"));
    }
    let once = write::key(&exchange)?.or(key).map(|key| {
        let addressed = channel.as_ref().map_or("", Channel::as_str);
        let drafts = drafts.iter().map(Result::as_ref);
        Once { key, fingerprint: fingerprint::of_publish(addressed, atomic, drafts) }
    });
    let event = |draft: Result<Draft, Error>| new_event(&exchange, channel.as_ref(), &draft?);
    let events = drafts.into_iter().map(event).collect();
    let last_is = |seen: LastSeen| exchange.engine.last_is(&seen.channel, seen.at);
    let conditions = conditions.into_iter().map(last_is).collect::<Result<_, _>>()?;
    let publish = Publish { events, atomic, ephemeral, conditions };
    let form = form::wanted(exchange.headers());
    let condition = condition_of(&exchange, channel.as_ref())?;
    let Exchange { engine, call, .. } = &exchange;
    let answer = Write { engine, call, condition, once }.publish(publish).await?;
    let Answer { receipts: mut results, is_replayed } = answer;
    let mut response = match results.pop() {
        Some(result) if !is_batch => created(form, &result?),
        last => {
            results.extend(last);
            answer_batch(form, &results, atomic)
        }
    };
    write::mark_replayed(&mut response, is_replayed);
    Ok(response)
}

fn new_event(
    exchange: &Exchange,
    addressed: Option<&Channel>,
    draft: &Draft,
) -> Result<NewEvent, Error> {
    let named = match &draft.channel {
        Some(name) => Some(
            Channel::parse(name)
                .map_err(|error| Error::new(ErrorCode::ChannelInvalid, error.to_string()))?,
        ),
        None => None,
    };
    let channel = match (addressed, named) {
        (Some(addressed), Some(named)) if *addressed != named => {
            let detail = format!("the event names the channel {named}, the address {addressed}");
            return Err(Error::new(ErrorCode::EventInvalid, detail));
        }
        (Some(addressed), _) => addressed.clone(),
        (None, Some(named)) => named,
        (None, None) => {
            let detail = "the event must name its `channel`; or post to /v1/channels/…/events";
            return Err(Error::new(ErrorCode::EventInvalid, detail));
        }
    };
    writing::new_event(&exchange.engine, &channel, draft)
}

/// What the headers want to be true of the channel that is addressed.
fn condition_of<'a>(
    exchange: &Exchange,
    addressed: Option<&'a Channel>,
) -> Result<Option<(&'a Channel, Precondition)>, Error> {
    let Some(precondition) = write::precondition(exchange.headers(), place)? else {
        return Ok(None);
    };
    let channel = addressed.ok_or_else(|| {
        let detail = "a condition is about one channel; post to /v1/channels/{channel}/events";
        Error::new(ErrorCode::ParameterInvalid, detail)
    })?;
    Ok(Some((channel, precondition)))
}

/// 201 with the event's address; 202 if it was passed on without being logged.
fn created((form, served): (Form, Served), receipt: &Receipt) -> Response {
    let status = match receipt.at {
        Some(_) => StatusCode::CREATED,
        None => StatusCode::ACCEPTED,
    };
    let mut response = respond(status, served, receipts::one(form, receipt));
    if let Some(at) = receipt.at {
        let location = HeaderValue::from_str(&format!("/v1/events/{}", at.cursor()));
        response.headers_mut().extend(location.map(|location| (LOCATION, location)));
    }
    response
}

/// 200 with an answer for each event; for an atomic batch that was refused, the first problem with
/// all answers in it.
fn answer_batch(
    (form, served): (Form, Served),
    results: &[Result<Receipt, Error>],
    atomic: bool,
) -> Response {
    let refused = results.iter().find_map(|result| result.as_ref().err());
    match refused {
        Some(error) if atomic => {
            let status = status(error.code);
            let body = problem::write_batch(error, status.as_u16(), results);
            respond(status, problem::CONTENT_TYPE, body)
        }
        _ => respond(StatusCode::OK, served, receipts::many(form, results)),
    }
}
