//! `GET …/events`: a page, at once or as soon as there is something in it.

use std::sync::Arc;
use std::time::Duration;

use tl_transport::engine::{Engine, ReadRequest};
use tl_transport::http::types::StatusCode;
use tl_transport::http::types::header::{
    CACHE_CONTROL, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, LINK, VARY,
};
use tl_transport::http::{Exchange, Response, Served, detached, problem_response, respond};
use tl_transport::model::limits::{PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX};
use tl_transport::model::{
    After, Call, Error, Gap, LoggedEvent, Offset, Position, Selection, SharedEvent,
};
use tl_transport::protocol::subscription::{Credit, Delivery};
use tl_transport::reading;
use tl_transport::wire::page::{CLOUDEVENTS_BATCH, NDJSON, Page};

use crate::Rest;
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
    path: Box<str>,
    /// The path names the channel.
    is_one_channel: bool,
}

/// What it gets.
struct Found {
    gap: Option<Gap>,
    events: Vec<(Offset, Arc<SharedEvent>)>,
    next: Position,
    caught_up: bool,
}

pub(crate) async fn read(exchange: Exchange, rest: Rest) -> Result<Response, Error> {
    let asked = Asked::of(&exchange, rest)?;
    let known = exchange.headers().get(IF_NONE_MATCH);
    let validator = Validator::parse(known, asked.served);
    if let Some(place) = validator.as_ref().and_then(Validator::end_of_log)
        && asked.engine.is_unchanged_since(&asked.selection, place)
    {
        return match asked.wait.is_zero() {
            true => Ok(not_modified(&asked, known)),
            false => Ok(asked.respond_later(place)),
        };
    }
    let found = at_once(&asked).await?;
    if found.is_empty() && !asked.wait.is_zero() {
        return Ok(asked.respond_later(found.next));
    }
    if validator.is_some_and(|known| known == found.validator(asked.served)) {
        return Ok(not_modified(&asked, known));
    }
    Ok(found.respond(&asked))
}

impl Asked {
    fn of(exchange: &Exchange, rest: Rest) -> Result<Self, Error> {
        let mut query = exchange.query();
        let selection = reading::selection(exchange, &mut query)?;
        let after = reading::after(exchange, &mut query)?;
        let events_max = query.number("limit", 1..=PAGE_EVENTS_MAX as u64)?;
        let events_max = events_max.map_or(PAGE_EVENTS_DEFAULT, |limit| limit as usize);
        let wait = polling::wait(exchange, &mut query, rest.wait_max)?;
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
            path: exchange.request.uri().path().into(),
            is_one_channel: !exchange.param("channel").is_empty(),
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
    let share = |event: LoggedEvent| (event.offset, Arc::new(SharedEvent::new(event)));
    let events = page.events.into_iter().map(share).collect();
    Ok(Found { gap: page.gap, events, next: page.next, caught_up: page.caught_up })
}

/// Waits until something comes behind a place, the time is up, or the server is about to stop.
async fn wait_behind(asked: &Asked, place: Position) -> Result<Found, Error> {
    let Asked { engine, call, .. } = asked;
    let (selection, after) = (asked.selection.clone(), After::Position(place));
    let subscription = engine.subscribe(call, selection, after, Credit::Unlimited)?;
    let mut subscription = subscription.at_most(asked.events_max);
    let draining = engine.draining();
    let until = tokio::time::Instant::now().into_std() + asked.wait;
    let until = call.deadline.map_or(until, |deadline| until.min(deadline));
    let mut found = Found { gap: None, events: Vec::new(), next: place, caught_up: true };
    loop {
        let delivery = tokio::select! {
            delivery = subscription.next() => delivery?,
            () = tokio::time::sleep_until(until.into()) => break,
            () = draining.cancelled() => break,
        };
        match delivery {
            Delivery::CaughtUp { .. } => {}
            Delivery::Gap(gap) => {
                found.gap = Some(gap);
                found.next = Position { offset: gap.through, ..place };
            }
            Delivery::Events(events) => {
                let offset = events.last().map_or(place.offset, |event| event.offset);
                found.next = Position { offset, ..place };
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

    fn validator(&self, served: Served) -> Validator {
        Validator::new(self.next, self.caught_up, served)
    }

    fn respond(&self, asked: &Asked) -> Response {
        let events: Vec<_> =
            self.events.iter().map(|(offset, event)| (*offset, event.logged())).collect();
        let (gap, next, caught_up) = (self.gap, self.next, self.caught_up);
        let page = Page { gap, events: &events, next, caught_up };
        let body = match asked.served {
            NDJSON => page.write_lines(),
            CLOUDEVENTS_BATCH => page.write_batch(),
            _ => page.write(),
        };
        let mut response = respond(StatusCode::OK, asked.served, body);
        let is_empty_wait = self.is_empty() && !asked.wait.is_zero();
        let caching = if is_empty_wait { "no-store" } else { "private, no-cache" };
        let headers = [
            (CACHE_CONTROL, HeaderValue::from_static(caching)),
            (ETAG, self.validator(asked.served).header()),
            (LINK, next_link(asked, next)),
            (
                HeaderName::from_static("poll-interval"),
                polling::interval(&asked.engine, &asked.selection),
            ),
            (VARY, HeaderValue::from_static("accept")),
        ];
        response.headers_mut().extend(headers);
        if asked.prefers_wait {
            let applied = HeaderName::from_static("preference-applied");
            response.headers_mut().insert(applied, polling::applied(asked.wait));
        }
        response
    }
}

fn not_modified(asked: &Asked, known: Option<&HeaderValue>) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let interval = polling::interval(&asked.engine, &asked.selection);
    let headers = response.headers_mut();
    headers.insert("poll-interval", interval);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    if let Some(known) = known {
        headers.insert(ETAG, known.clone());
    }
    response
}

/// The address of the next page (RFC 8288): this one's, from where it ends.
fn next_link(asked: &Asked, next: Position) -> HeaderValue {
    let Asked { path, events_max, .. } = asked;
    let mut link = format!("<{path}?after={}&limit={events_max}", next.cursor());
    if !asked.is_one_channel {
        for pattern in asked.selection.patterns() {
            link.push_str("&channel=");
            link.push_str(&pattern.as_str().replace('+', "%2B").replace('>', "%3E"));
        }
    }
    link.push_str(">; rel=\"next\"");
    // Paths, cursors and channel names are legal in any header.
    HeaderValue::from_str(&link).unwrap_or(HeaderValue::from_static(""))
}
