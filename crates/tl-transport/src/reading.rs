//! What requests to read have in common, whatever form the answer takes.

mod page;

use tl_engine::{Engine, State};
use tl_model::{After, Call, Channel, Error, ErrorCode, LoggedEvent, Selection};
use tl_wire::sse::Large;

use crate::http::{Exchange, Query};

pub use page::{Found, Wanted};

/// The channels a request is about: the one in its path, or those in its query.
///
/// # Errors
///
/// `channel_invalid`, `selection_invalid`.
pub fn selection(exchange: &Exchange, query: &mut Query) -> Result<Selection, Error> {
    if !exchange.param("channel").is_empty() {
        return exchange.channel().map(Selection::from);
    }
    let channels = query.many("channel");
    Selection::parse(channels.iter().map(String::as_str)).map_err(|error| {
        let detail = format!("`channel`: {error}");
        Error::new(ErrorCode::SelectionInvalid, detail)
    })
}

/// Where a request wants to begin: what a browser resumes from goes before what the page asked for
/// when it was opened.
///
/// # Errors
///
/// `cursor_invalid`, `parameter_invalid`.
pub fn after(exchange: &Exchange, query: &mut Query) -> Result<After, Error> {
    let parse = |text: String| {
        let error = |error| Error::new(ErrorCode::CursorInvalid, format!("`after`: {error}"));
        text.parse().map_err(error)
    };
    let asked = query.one("after")?.map(parse).transpose()?;
    let resumed = exchange.header("last-event-id")?.map(str::to_owned);
    let resumed = resumed.filter(|text| !text.is_empty()).map(parse).transpose()?;
    Ok(resumed.or(asked).unwrap_or(After::Earliest))
}

/// What becomes of events that are too large for a stream. Pages take the parameter too, so that one
/// address serves both; their events are always whole.
///
/// # Errors
///
/// `parameter_invalid`.
pub fn large(query: &mut Query) -> Result<Large, Error> {
    match query.one("large")?.as_deref() {
        None | Some("split") => Ok(Large::Split),
        Some("reference") => Ok(Large::Reference),
        Some(_) => {
            let detail = "`large` is split or reference: what becomes of events that are too large \
                          for the stream";
            Err(Error::new(ErrorCode::ParameterInvalid, detail))
        }
    }
}

/// The document of a channel.
///
/// # Errors
///
/// `not_found` and `state_deleted` if there is none, `store_failed`.
pub async fn document(
    engine: &Engine,
    call: &Call,
    channel: &Channel,
) -> Result<LoggedEvent, Error> {
    match engine.state(call, channel).await? {
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
