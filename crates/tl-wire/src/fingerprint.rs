//! What a publish asks for, in short: the same on every transport, so that a request can be repeated
//! on another one.

use tl_model::{Error, Fingerprint};

use crate::draft::Draft;
use crate::json;

/// The fingerprint of a publish: of its events as their publisher wrote them, before anything is
/// filled in.
pub fn of_publish<'a>(
    channel: &str,
    is_atomic: bool,
    drafts: impl Iterator<Item = Result<&'a Draft, &'a Error>>,
) -> Fingerprint {
    let atomic: &[u8] = if is_atomic { b"all or none" } else { b"each" };
    let events: Vec<_> = drafts.map(|draft| of_draft(channel, draft)).collect();
    let events = events.iter().map(Vec::as_slice);
    Fingerprint::of([atomic].into_iter().chain(events))
}

/// A draft that cannot be written as JSON, or not be read, is refused in any case.
fn of_draft(channel: &str, draft: Result<&Draft, &Error>) -> Vec<u8> {
    match draft {
        Ok(draft) => {
            // Whether it names its channel itself makes no difference.
            let channel = draft.channel.clone().unwrap_or_else(|| channel.to_owned());
            let draft = Draft { channel: Some(channel), ..draft.clone() };
            json::write(&draft).unwrap_or_default()
        }
        Err(error) => error.detail.as_bytes().to_vec(),
    }
}
