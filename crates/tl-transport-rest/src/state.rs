//! `/v1/channels/{channel}/state`: the latest event of a channel as a document.

use tl_transport::http::types::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use tl_transport::http::types::{HeaderMap, StatusCode};
use tl_transport::http::{Exchange, Response, problem_response, respond};
use tl_transport::model::limits::EVENT_DATA_BYTES_MAX;
use tl_transport::model::{Channel, Error, ErrorCode, Position, content_type};
use tl_transport::reading;
use tl_transport::wire::draft::Draft;
use tl_transport::wire::{http_binding, merge_patch, receipts};
use tl_transport::writing::{Change, Changed, invalid};

use crate::caching::Freshness;
use crate::event::{place, represent, tag};
use crate::{form, write};

/// `GET`: the document.
pub(crate) async fn read(exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let channel = exchange.channel()?;
    let event = reading::document(&exchange.engine, &exchange.call, &channel).await?;
    let place = Position { epoch: exchange.engine.epoch(), offset: event.offset };
    Ok(represent(exchange.headers(), &event, place, Freshness::Checked))
}

/// `PUT`: another document in its place.
pub(crate) async fn replace(mut exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let channel = exchange.channel()?;
    let body = exchange.body(EVENT_DATA_BYTES_MAX).await?;
    let draft = http_binding::read(exchange.headers(), body).map_err(|error| invalid(&error))?;
    let changed = change(&exchange, &channel)?.replace(draft).await?;
    Ok(answer(&exchange, &changed))
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
    let changed = change(&exchange, &channel)?.patch(patch, attributes(&exchange)?).await?;
    Ok(answer(&exchange, &changed))
}

/// `DELETE`: a tombstone in its place.
pub(crate) async fn delete(exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let channel = exchange.channel()?;
    let changed = change(&exchange, &channel)?.delete(attributes(&exchange)?).await?;
    Ok(answer(&exchange, &changed))
}

/// How the headers want the document to be changed.
fn change<'a>(exchange: &'a Exchange, channel: &'a Channel) -> Result<Change<'a>, Error> {
    let Exchange { engine, call, .. } = exchange;
    let precondition = write::precondition(exchange.headers(), place)?;
    Ok(Change { engine, call, channel, precondition, key: write::key(exchange)? })
}

/// A refusal that says what a patch may be (RFC 5789 §2.2).
fn no_patch(error: &Error) -> Response {
    let mut response = problem_response(error);
    let accepted = HeaderValue::from_static(merge_patch::CONTENT_TYPE);
    response.headers_mut().insert(HeaderName::from_static("accept-patch"), accepted);
    response
}

/// The answer to a change: its receipt, and the new document's tag.
fn answer(exchange: &Exchange, changed: &Changed) -> Response {
    let Changed { receipt, is_new, is_replayed } = changed;
    let (form, served) = form::wanted(exchange.headers());
    let status = if *is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = respond(status, served, receipts::one(form, receipt));
    if let Some(place) = receipt.at {
        response.headers_mut().insert(ETAG, tag(place, ""));
    }
    write::mark_replayed(&mut response, *is_replayed);
    response
}

/// The attributes that the headers name, without data.
fn attributes(exchange: &Exchange) -> Result<Draft, Error> {
    let mut headers = HeaderMap::clone(exchange.headers());
    headers.remove(CONTENT_TYPE);
    http_binding::read(&headers, tl_transport::Bytes::new()).map_err(|error| invalid(&error))
}
