//! The sections of an index.
//!
//! ```text
//! header      magic 8 │ number 8 │ generation 8 │ follows 8 │ end 8 │ reserved to 8
//!             │ events 4 │ channels 4 │ names length 4 │ zero 4
//! places      of every event, by offset: offset 8 │ position 4 │ length 4
//! postings    numbers of places, channel by channel, rising: 4 each
//! channels    by name, and one more for their ends: name 4 │ postings 4 │ previous 8 │ last 8
//!             │ bytes 8 │ last logged at 8
//! names       one behind the other
//! ```
//!
//! Numbers are little endian.

use std::io;

use tl_model::Offset;

use super::ChannelEntry;
use crate::blocks::unsound;

/// How long each section is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sections {
    pub(super) events: u32,
    pub(super) channels: u32,
    pub(super) names_len: u32,
}

impl Sections {
    pub(super) fn postings_at(&self) -> u64 {
        (HEADER_BYTES + self.events as usize * PLACE_BYTES) as u64
    }

    pub(super) fn channels_at(&self) -> u64 {
        self.postings_at() + self.events as u64 * POSTING_BYTES as u64
    }

    pub(super) fn names_at(&self) -> u64 {
        self.channels_at() + (u64::from(self.channels) + 1) * CHANNEL_BYTES as u64
    }
}

pub(super) struct Header {
    pub(super) number: u64,
    pub(super) generation: u64,
    pub(super) follows: Offset,
    pub(super) end: Offset,
    pub(super) reserved_to: Offset,
    pub(super) sections: Sections,
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        let offsets = [self.follows, self.end, self.reserved_to].map(Offset::get);
        let numbers = [self.number, self.generation].into_iter().chain(offsets);
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let Sections { events, channels, names_len } = self.sections;
        for number in [events, channels, names_len, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn read(bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() < HEADER_BYTES || bytes[..8] != MAGIC {
            return Err(unsound("it is no index of this version"));
        }
        Ok(Self {
            number: u64_at(bytes, 8),
            generation: u64_at(bytes, 16),
            follows: Offset::new(u64_at(bytes, 24)),
            end: Offset::new(u64_at(bytes, 32)),
            reserved_to: Offset::new(u64_at(bytes, 40)),
            sections: Sections {
                events: u32_at(bytes, 48),
                channels: u32_at(bytes, 52),
                names_len: u32_at(bytes, 56),
            },
        })
    }
}

/// A channel as it is written; where its name and postings end, the next one says.
pub(super) struct RawChannel {
    pub(super) name: u32,
    pub(super) postings: u32,
    pub(super) previous: Offset,
    pub(super) last: Offset,
    pub(super) bytes: u64,
    pub(super) logged_at_ms: u64,
}

impl RawChannel {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.name.to_le_bytes());
        out.extend_from_slice(&self.postings.to_le_bytes());
        for number in [self.previous.get(), self.last.get(), self.bytes, self.logged_at_ms] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Self {
        Self {
            name: u32_at(bytes, 0),
            postings: u32_at(bytes, 4),
            previous: Offset::new(u64_at(bytes, 8)),
            last: Offset::new(u64_at(bytes, 16)),
            bytes: u64_at(bytes, 24),
            logged_at_ms: u64_at(bytes, 32),
        }
    }

    pub(super) fn entry(
        &self,
        next: &Self,
        names: &[u8],
        names_start: u32,
    ) -> io::Result<ChannelEntry> {
        let start = self.name.checked_sub(names_start);
        let end = next.name.checked_sub(names_start);
        let name = start.zip(end).and_then(|(start, end)| names.get(start as usize..end as usize));
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let has_postings = self.postings < next.postings;
        match name.filter(|_| has_postings) {
            None => Err(unsound("a channel makes no sense")),
            Some(name) => Ok(ChannelEntry {
                name: name.to_owned(),
                previous: self.previous,
                last: self.last,
                logged_at_ms: self.logged_at_ms,
                bytes: self.bytes,
                postings: self.postings..next.postings,
            }),
        }
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

const MAGIC: [u8; 8] = *b"TLindx\0\x01";
pub(super) const HEADER_BYTES: usize = 64;
pub(super) const PLACE_BYTES: usize = 16;
pub(super) const POSTING_BYTES: usize = 4;
pub(super) const CHANNEL_BYTES: usize = 40;
