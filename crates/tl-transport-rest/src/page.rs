//! `GET …/events`: a page, at once or as soon as there is something in it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tl_transport::engine::{Engine, ReadRequest};
use tl_transport::http::types::StatusCode;
use tl_transport::http::types::header::{HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LINK};
use tl_transport::http::{Exchange, Query, Response, Served, detached, problem_response, respond};
use tl_transport::model::limits::{
    LINK_BYTES_MAX, PAGE_BYTES_MAX, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX,
};
use tl_transport::model::{
    After, Call, Error, Gap, LoggedEvent, Offset, Position, Selection, SharedEvent,
};
use tl_transport::protocol::subscription::{Credit, Delivery};
use tl_transport::reading;
use tl_transport::wire::page::{CLOUDEVENTS_BATCH, NDJSON, PROTOBUF, Page};
use tokio_util::sync::CancellationToken;

use crate::Rest;
use crate::caching::{self, Audience, Freshness};
use crate::polling::{self, Validator};

/// What a client asks for. It is all that is kept of the request while it waits.
struct Asked {
    engine: Engine,
    call: Call,
    selection: Selection,
    after: After,
    events_max: usize,
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
    /// Ends the wait.
    leaving: CancellationToken,
}

/// What it gets.
struct Found {
    gap: Option<Gap>,
    events: Vec<(Offset, Arc<SharedEvent>)>,
    next: Position,
    caught_up: bool,
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
        && asked.engine.is_unchanged_since(&asked.selection, place)
    {
        return match asked.wait.is_zero() {
            true => Ok(not_modified(&asked, known, Freshness::Checked)),
            false => Ok(asked.respond_later(place)),
        };
    }
    let found = match asked.only_documents {
        true => documents_at_once(&asked).await?,
        false => at_once(&asked).await?,
    };
    if found.is_empty() && !asked.wait.is_zero() {
        return Ok(asked.respond_later(found.next));
    }
    if let Some(known) = known.filter(|known| *known == found.validator(&asked)) {
        return Ok(not_modified(&asked, known, found.freshness(&asked)));
    }
    Ok(found.respond(&asked))
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
        Ok(Self {
            engine: exchange.engine.clone(),
            call: exchange.call.clone(),
            selection,
            after,
            events_max,
            wait,
            prefers_wait: polling::prefers_wait(exchange.headers()),
            served: exchange.served,
            audience: Audience::of(exchange.headers()),
            only_documents: rest.is_none(),
            path: exchange.request.uri().path().into(),
            is_one_channel: !exchange.param("channel").is_empty(),
            is_addressed: exchange.request.method().as_str() != "QUERY",
            leaving: exchange.leaving(),
        })
    }

    /// Answers as soon as something comes behind a place.
    fn respond_later(self, place: Position) -> Response {
        detached::later(async move {
            let found = wait_behind(&self, place).await;
            found.map_or_else(|error| problem_response(&error), |found| found.respond(&self))
        })
    }
}

async fn at_once(asked: &Asked) -> Result<Found, Error> {
    let Asked { engine, call, selection, after, events_max, .. } = asked;
    let (selection, after, events_max) = (selection.clone(), *after, *events_max);
    let request = ReadRequest { selection, after, events_max };
    let page = engine.read(call, request).await?;
    let events = page.events.into_iter().map(share).collect();
    Ok(Found { gap: page.gap, events, next: page.next, caught_up: page.caught_up })
}

/// The log is read on until there are as many documents as asked for, within bounds: of a channel with
/// many events all but one are passed over.
async fn documents_at_once(asked: &Asked) -> Result<Found, Error> {
    let Asked { engine, call, selection, events_max, .. } = asked;
    let (begin, is_going_on) = match asked.after {
        After::Position(place) => (place, true),
        After::Earliest | After::Latest => {
            (Position { epoch: engine.epoch(), offset: Offset::START }, false)
        }
    };
    let mut found = Found { gap: None, events: Vec::new(), next: begin, caught_up: false };
    let (mut after, mut bytes) = (asked.after, 0);
    for _ in 0..DOCUMENT_READS_MAX {
        let request =
            ReadRequest { selection: selection.clone(), after, events_max: PAGE_EVENTS_MAX };
        let page = engine.read(call, request).await?;
        // Whoever begins misses nothing; whoever goes on may have missed that something was deleted.
        found.gap = found.gap.or(page.gap.filter(|_| is_going_on));
        let is_overtaken = Cell::new(false);
        let is_document = |event: &LoggedEvent| {
            let is_document = engine.is_current(event);
            // Its document stands behind the end of this page: it must not seem to have none.
            let is_behind = !is_document && engine.is_followed(&event.channel, page.next);
            is_overtaken.set(is_overtaken.get() || is_behind);
            is_document
        };
        let mut documents = page.events.into_iter().filter(is_document);
        let taken: Vec<_> = documents.by_ref().take(events_max - found.events.len()).collect();
        let has_more = documents.next().is_some();
        bytes += taken.iter().map(LoggedEvent::cost).sum::<usize>();
        found.events.extend(taken.into_iter().map(share));
        let last = found.events.last().map_or(page.next.offset, |(offset, _)| *offset);
        found.next = if has_more { Position { offset: last, ..page.next } } else { page.next };
        found.caught_up = page.caught_up && !has_more && !is_overtaken.get();
        if has_more || found.caught_up || bytes >= PAGE_BYTES_MAX {
            break;
        }
        after = After::Position(page.next);
    }
    Ok(found)
}

fn share(event: LoggedEvent) -> (Offset, Arc<SharedEvent>) {
    (event.offset, Arc::new(SharedEvent::new(event)))
}

/// Waits until something comes behind a place, the time is up, or the client is to go on elsewhere.
async fn wait_behind(asked: &Asked, place: Position) -> Result<Found, Error> {
    let Asked { engine, call, .. } = asked;
    let (selection, after) = (asked.selection.clone(), After::Position(place));
    let subscription = engine.subscribe(call, selection, after, Credit::Unlimited)?;
    let mut subscription = subscription.at_most(asked.events_max);
    let until = tokio::time::Instant::now().into_std() + asked.wait;
    let until = call.deadline.map_or(until, |deadline| until.min(deadline));
    let mut found = Found { gap: None, events: Vec::new(), next: place, caught_up: true };
    loop {
        let delivery = tokio::select! {
            delivery = subscription.next() => delivery?,
            () = tokio::time::sleep_until(until.into()) => break,
            () = asked.leaving.cancelled() => break,
        };
        match delivery {
            Delivery::CaughtUp { .. } => {}
            Delivery::Gap(gap) => {
                found.gap = Some(gap);
                found.next.offset = gap.through;
            }
            Delivery::Events(events) => {
                found.next.offset = events.last().map_or(found.next.offset, |event| event.offset);
                found.events = events.into_iter().map(|it| (it.offset, it.event)).collect();
                break;
            }
        }
    }
    Ok(found)
}

impl Found {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.gap.is_none()
    }

    fn validator(&self, asked: &Asked) -> Validator {
        let validator = Validator::new(self.next, self.caught_up, asked.served);
        match asked.only_documents {
            true => validator.of_documents(self.events.len()),
            false => validator,
        }
    }

    /// A page behind a cursor that the log goes on after says what stands between two places for ever.
    /// Where else it begins, or ends, moves; and what is missing in it may be elsewhere.
    fn freshness(&self, asked: &Asked) -> Freshness {
        let is_past = !self.caught_up && matches!(asked.after, After::Position(_));
        // What is a document today is the past of one tomorrow.
        let is_past = is_past && !asked.only_documents;
        match self.is_empty() && !asked.wait.is_zero() {
            true => Freshness::Once,
            false if is_past && self.gap.is_none() => Freshness::Immutable,
            false => Freshness::Checked,
        }
    }

    fn respond(&self, asked: &Asked) -> Response {
        let events: Vec<_> =
            self.events.iter().map(|(offset, event)| (*offset, event.logged())).collect();
        let (gap, next, caught_up) = (self.gap, self.next, self.caught_up);
        let page = Page { gap, events: &events, next, caught_up };
        let body = match asked.served {
            NDJSON => page.write_lines(),
            CLOUDEVENTS_BATCH => page.write_batch(),
            PROTOBUF => page.write_protobuf(),
            _ => page.write(),
        };
        let mut response = respond(StatusCode::OK, asked.served, body);
        let headers = response.headers_mut();
        let tag = self.validator(asked).header();
        headers.extend(caching::headers(self.freshness(asked), asked.audience, tag));
        headers.extend(link(asked, &next.cursor(), "next"));
        headers.extend(link(asked, &asked.after.to_string(), "self"));
        put_interval(headers, asked);
        if asked.prefers_wait {
            let applied = HeaderName::from_static("preference-applied");
            response.headers_mut().insert(applied, polling::applied(asked.wait));
        }
        response
    }
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
    let interval = polling::interval(&asked.engine, &asked.selection);
    headers.insert(HeaderName::from_static("poll-interval"), interval);
}

/// The address of a page (RFC 8288): this one's, from another place. None if it is too long.
fn link(asked: &Asked, after: &str, relation: &str) -> Option<(HeaderName, HeaderValue)> {
    let Asked { path, events_max, .. } = asked;
    let mut address = format!("{path}?after={after}&limit={events_max}");
    if !asked.is_one_channel {
        for pattern in asked.selection.patterns() {
            address.push_str("&channel=");
            address.push_str(&pattern.as_str().replace('+', "%2B").replace('>', "%3E"));
        }
    }
    let link = HeaderValue::from_str(&format!("<{address}>; rel=\"{relation}\"")).ok()?;
    (asked.is_addressed || address.len() <= LINK_BYTES_MAX).then_some((LINK, link))
}

/// Reads of the log for one page of documents.
const DOCUMENT_READS_MAX: usize = 16;
