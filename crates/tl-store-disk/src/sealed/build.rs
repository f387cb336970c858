//! Making the content of an index from its segment.

use std::collections::BTreeMap;
use std::io;

use tl_model::{Channel, Offset};

use super::{Found, Header, RawChannel, Sections};
use crate::blocks::unsound;
use crate::scan::{Record, Segment};

/// The content of the index of a segment that ends at an offset.
pub(super) fn content(segment: &Segment, end: Offset) -> io::Result<Vec<u8>> {
    let header = segment.header().ok_or_else(|| unsound("a segment has no header"))?;
    let mut index = Collected::default();
    let mut reserved_to = Offset::FIRST;
    let mut batches = segment.batches(&header);
    for (position, batch) in batches.by_ref() {
        reserved_to = reserved_to.max(batch.reserved_to);
        segment.records(position, &batch).for_each(|record| index.add(record));
    }
    if batches.end != end {
        return Err(unsound("a segment does not end where it ended"));
    }
    let (number, generation, follows) = (segment.number, header.generation, header.follows);
    let sections = index.sections();
    let mut content = Vec::new();
    Header { number, generation, follows, end, reserved_to, sections }.write(&mut content);
    index.write(&mut content);
    Ok(content)
}

#[derive(Default)]
struct Collected {
    places: Vec<Found>,
    channels: BTreeMap<Channel, Mentions>,
}

/// The events of one channel.
struct Mentions {
    places: Vec<u32>,
    previous: Offset,
    last: Offset,
    bytes: u64,
    logged_at_ms: u64,
}

impl Collected {
    fn add(&mut self, record: Record) {
        let Record { offset, previous, logged_at_ms, channel, position, length } = record;
        let new =
            || Mentions { places: Vec::new(), previous, last: offset, bytes: 0, logged_at_ms };
        let mentions = self.channels.entry(channel).or_insert_with(new);
        if mentions.last != previous && !mentions.places.is_empty() {
            mentions.previous = previous;
        }
        mentions.places.push(self.places.len() as u32);
        mentions.last = offset;
        mentions.bytes += u64::from(length);
        mentions.logged_at_ms = logged_at_ms;
        self.places.push(Found { offset, position, length });
    }

    fn sections(&self) -> Sections {
        let names_len = self.channels.keys().map(|channel| channel.as_str().len() as u32).sum();
        let (events, channels) = (self.places.len() as u32, self.channels.len() as u32);
        Sections { events, channels, names_len }
    }

    fn write(&self, out: &mut Vec<u8>) {
        for place in &self.places {
            out.extend_from_slice(&place.offset.get().to_le_bytes());
            out.extend_from_slice(&place.position.to_le_bytes());
            out.extend_from_slice(&place.length.to_le_bytes());
        }
        for number in self.channels.values().flat_map(|mentions| &mentions.places) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        self.write_channels(out);
        for channel in self.channels.keys() {
            out.extend_from_slice(channel.as_str().as_bytes());
        }
    }

    fn write_channels(&self, out: &mut Vec<u8>) {
        let (mut name, mut postings) = (0, 0);
        for (channel, mentions) in &self.channels {
            let Mentions { previous, last, bytes, logged_at_ms, .. } = *mentions;
            RawChannel { name, postings, previous, last, bytes, logged_at_ms }.write(out);
            name += channel.as_str().len() as u32;
            postings += mentions.places.len() as u32;
        }
        let (previous, last) = (Offset::START, Offset::START);
        RawChannel { name, postings, previous, last, bytes: 0, logged_at_ms: 0 }.write(out);
    }
}
