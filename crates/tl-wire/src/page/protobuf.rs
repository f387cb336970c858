//! The binary form of a page: `throughline.v1.Page`.

use buffa::types::{put_len_delimited_header, put_shared_bytes_field, put_string_field};
use buffa::{DecodeOptions, Message};

use tl_model::Position;

use super::{Page, PageError, ReceivedPage};
use crate::generated::throughline::v1 as contract;
use crate::protobuf;

impl Page<'_> {
    /// The message `throughline.v1.Page`.
    pub fn write_protobuf(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (offset, event) in self.events {
            let event = protobuf::body(event);
            let mut places = Vec::with_capacity(32);
            protobuf::places(&mut places, Position { offset: *offset, ..self.next }, None);
            let len = (event.len() + places.len()) as u64;
            put_len_delimited_header(field::EVENTS, len, &mut body);
            body.extend_from_slice(&event);
            body.extend_from_slice(&places);
        }
        put_string_field(field::CURSOR, &self.next.cursor(), &mut body);
        if self.caught_up {
            body.extend_from_slice(&[CAUGHT_UP_TAG, 1]);
        }
        if let Some(gap) = self.gap {
            let text = |offset| Position { offset, ..self.next }.cursor().to_string();
            let (after, cursor) = (text(gap.after), text(gap.through));
            let gap = contract::Gap { subscription: 0, after, cursor };
            put_shared_bytes_field(field::GAP, &gap.encode_to_bytes(), &mut body);
        }
        body
    }
}

/// Reads what [`Page::write_protobuf`] wrote.
pub fn read_protobuf(body: &[u8]) -> Result<ReceivedPage, PageError> {
    let page: contract::Page = DecodeOptions::new().decode_from_slice(body)?;
    let position = |cursor: &str| cursor.parse().map_err(|_| PageError::Cursor);
    let gap = match page.gap.into_option() {
        Some(gap) => Some((position(&gap.after)?, position(&gap.cursor)?)),
        None => None,
    };
    let received = page.events.into_iter().map(|draft| draft.receive());
    let events = received.collect::<Result<_, _>>()?;
    Ok(ReceivedPage { gap, events, next: position(&page.cursor)?, caught_up: page.caught_up })
}

/// The fields of `page.proto` by number.
mod field {
    pub(super) const EVENTS: u32 = 1;
    pub(super) const CURSOR: u32 = 2;
    pub(super) const GAP: u32 = 4;
}

/// Field 3, a varint.
const CAUGHT_UP_TAG: u8 = 3 << 3;
