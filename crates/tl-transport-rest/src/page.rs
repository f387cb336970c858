//! `GET …/events`: a page, at once or as soon as there is something in it.

use std::time::Duration;

use tl_transport::http::types::StatusCode;
use tl_transport::http::types::header::{HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LINK};
use tl_transport::http::{Exchange, Query, Response, Served, detached, problem_response, respond};
use tl_transport::model::limits::{LINK_BYTES_MAX, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX};
use tl_transport::model::{After, Error, Position};
use tl_transport::reading::{self, Found, Wanted};
use tl_transport::wire::page::{CLOUDEVENTS_BATCH, NDJSON, PROTOBUF};

use crate::Rest;
use crate::caching::{self, Audience, Freshness};
use crate::polling::{self, Validator};

/// What a client asks for. It is all that is kept of the request while it waits.
struct Asked {
    wanted: Wanted,
    wait: Duration,
    /// The client speaks of waiting in the way of RFC 7240.
    prefers_wait: bool,
    served: Served,
    audience: Audience,
    /// Only events that are the state of their channel.
    only_documents: bool,
    path: Box<str>,
    /// The path names the channel.
    is_one_channel: bool,
    /// All of it came in an address, so that another one is short enough, too.
    is_addressed: bool,
}

/// `GET`: the address says what is asked for.
pub(crate) async fn read(exchange: Exchange, rest: Rest) -> Result<Response, Error> {
    let query = exchange.query();
    answer(&exchange, query, Some(rest)).await
}

/// A page of the documents of channels. Going on from its end tells every change.
pub(crate) async fn documents(exchange: Exchange) -> Result<Response, Error> {
    let query = exchange.query();
    answer(&exchange, query, None).await
}

/// `QUERY` (RFC 10008): the body says it.
pub(crate) async fn query(mut exchange: Exchange, rest: Rest) -> Result<Response, Error> {
    let query = exchange.query_in_body().await?;
    answer(&exchange, query, Some(rest)).await
}

/// Documents are not waited for: `rest` is how events are.
async fn answer(exchange: &Exchange, query: Query, rest: Option<Rest>) -> Result<Response, Error> {
    let asked = Asked::of(exchange, query, rest)?;
    let known = Validator::parse(exchange.headers().get(IF_NONE_MATCH), asked.served);
    if let Some((known, place)) = known.and_then(|known| Some((known, known.end_of_log()?)))
        && asked.wanted.engine.is_unchanged_since(&asked.wanted.selection, place)
    {
        return match asked.wait.is_zero() {
            true => Ok(not_modified(&asked, known, Freshness::Checked)),
            false => Ok(asked.respond_later(place)),
        };
    }
    let found = match asked.only_documents {
        true => asked.wanted.documents().await?,
        false => asked.wanted.events().await?,
    };
    if found.is_empty() && !asked.wait.is_zero() {
        return Ok(asked.respond_later(found.next));
    }
    if let Some(known) = known.filter(|known| *known == validator(&found, &asked)) {
        return Ok(not_modified(&asked, known, freshness(&found, &asked)));
    }
    Ok(respond_with(&found, &asked))
}

impl Asked {
    fn of(exchange: &Exchange, mut query: Query, rest: Option<Rest>) -> Result<Self, Error> {
        let selection = reading::selection(exchange, &mut query)?;
        let after = reading::after(exchange, &mut query)?;
        let events_max = query.number("limit", 1..=PAGE_EVENTS_MAX as u64)?;
        let events_max = events_max.map_or(PAGE_EVENTS_DEFAULT, |limit| limit as usize);
        let wait = match rest {
            Some(rest) => polling::wait(exchange, &mut query, rest.wait_max)?,
            None => Duration::ZERO,
        };
        reading::large(&mut query)?;
        query.finish()?;
        let (engine, call) = (exchange.engine.clone(), exchange.call.clone());
        Ok(Self {
            wanted: Wanted {
                engine,
                call,
                selection,
                after,
                events_max,
                leaving: exchange.leaving(),
            },
            wait,
            prefers_wait: polling::prefers_wait(exchange.headers()),
            served: exchange.served,
            audience: Audience::of(exchange.headers()),
            only_documents: rest.is_none(),
            path: exchange.request.uri().path().into(),
            is_one_channel: !exchange.param("channel").is_empty(),
            is_addressed: exchange.request.method().as_str() != "QUERY",
        })
    }

    /// Answers as soon as something comes behind a place.
    fn respond_later(self, place: Position) -> Response {
        detached::later(async move {
            let found = self.wanted.wait_behind(place, self.wait).await;
            found.map_or_else(|error| problem_response(&error), |found| respond_with(&found, &self))
        })
    }
}

fn validator(found: &Found, asked: &Asked) -> Validator {
    let validator = Validator::new(found.next, found.caught_up, asked.served);
    match asked.only_documents {
        true => validator.of_documents(found.events.len()),
        false => validator,
    }
}

/// A page behind a cursor that the log goes on after says what stands between two places for ever.
/// Where else it begins, or ends, moves; and what is missing in it may be elsewhere.
fn freshness(found: &Found, asked: &Asked) -> Freshness {
    let is_past = !found.caught_up && matches!(asked.wanted.after, After::Position(_));
    // What is a document today is the past of one tomorrow.
    let is_past = is_past && !asked.only_documents;
    match found.is_empty() && !asked.wait.is_zero() {
        true => Freshness::Once,
        false if is_past && found.gap.is_none() => Freshness::Immutable,
        false => Freshness::Checked,
    }
}

fn respond_with(found: &Found, asked: &Asked) -> Response {
    let body = found.write(|page| match asked.served {
        NDJSON => page.write_lines(),
        CLOUDEVENTS_BATCH => page.write_batch(),
        PROTOBUF => page.write_protobuf(),
        _ => page.write(),
    });
    let mut response = respond(StatusCode::OK, asked.served, body);
    let headers = response.headers_mut();
    let tag = validator(found, asked).header();
    headers.extend(caching::headers(freshness(found, asked), asked.audience, tag));
    headers.extend(link(asked, &found.next.cursor(), "next"));
    headers.extend(link(asked, &asked.wanted.after.to_string(), "self"));
    put_interval(headers, asked);
    if asked.prefers_wait {
        let applied = HeaderName::from_static("preference-applied");
        response.headers_mut().insert(applied, polling::applied(asked.wait));
    }
    response
}
fn not_modified(asked: &Asked, known: Validator, freshness: Freshness) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    headers.extend(caching::headers(freshness, asked.audience, known.header()));
    put_interval(headers, asked);
    response
}

fn put_interval(headers: &mut HeaderMap, asked: &Asked) {
    let interval = polling::interval(&asked.wanted.engine, &asked.wanted.selection);
    headers.insert(HeaderName::from_static("poll-interval"), interval);
}

/// The address of a page (RFC 8288): this one's, from another place. None if it is too long.
fn link(asked: &Asked, after: &str, relation: &str) -> Option<(HeaderName, HeaderValue)> {
    let Asked { path, wanted: Wanted { events_max, selection, .. }, .. } = asked;
    let mut address = format!("{path}?after={after}&limit={events_max}");
    if !asked.is_one_channel {
        for pattern in selection.patterns() {
            address.push_str("&channel=");
            address.push_str(&pattern.as_str().replace('+', "%2B").replace('>', "%3E"));
        }
    }
    let link = HeaderValue::from_str(&format!("<{address}>; rel=\"{relation}\"")).ok()?;
    (asked.is_addressed || address.len() <= LINK_BYTES_MAX).then_some((LINK, link))
}
