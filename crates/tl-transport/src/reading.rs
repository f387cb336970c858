//! What requests to read have in common, whatever form the answer takes.

use tl_model::{After, Error, ErrorCode, Selection};

use crate::http::{Exchange, Query};

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
    let asked = query.one("after")?;
    let resumed = exchange.header("last-event-id")?.map(str::to_owned);
    let Some(text) = resumed.filter(|text| !text.is_empty()).or(asked) else {
        return Ok(After::Earliest);
    };
    text.parse().map_err(|error| Error::new(ErrorCode::CursorInvalid, format!("`after`: {error}")))
}
