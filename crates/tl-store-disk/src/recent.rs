//! Where the events of a segment are that has no index file yet.

use std::collections::HashMap;
use std::sync::Arc;

use tl_model::Offset;

use crate::disk::DiskFile;
use crate::heads::ChannelId;
use crate::sealed::Found;

/// A segment, from its first event on.
pub(crate) struct Recent {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) follows: Offset,
    places: Vec<Place>,
    channels: HashMap<ChannelId, Mentions>,
}

/// The events of one channel.
pub(crate) struct Mentions {
    places: Vec<u32>,
    /// The event before its first one here.
    pub(crate) previous: Offset,
    /// Bytes of its records here.
    pub(crate) bytes: u64,
}

impl Mentions {
    /// How many events.
    pub(crate) fn count(&self) -> u32 {
        self.places.len() as u32
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    found: Found,
    channel: ChannelId,
}

impl Recent {
    pub(crate) fn new(number: u64, file: Arc<dyn DiskFile>, follows: Offset) -> Self {
        Self { number, file, follows, places: Vec::new(), channels: HashMap::new() }
    }

    /// Adds an event behind all others.
    pub(crate) fn push(&mut self, channel: ChannelId, found: Found, previous: Offset) {
        let new = || Mentions { places: Vec::new(), previous, bytes: 0 };
        let mentions = self.channels.entry(channel).or_insert_with(new);
        mentions.places.push(self.places.len() as u32);
        mentions.bytes += u64::from(found.length);
        self.places.push(Place { found, channel });
    }

    /// What the segment has of a channel.
    pub(crate) fn mentions(&self, channel: ChannelId) -> Option<&Mentions> {
        self.channels.get(&channel)
    }

    /// The oldest event.
    pub(crate) fn first(&self) -> Option<Offset> {
        self.places.first().map(|place| place.found.offset)
    }

    /// The events of some channels behind an offset, in order, at most so many.
    pub(crate) fn of_channels(&self, ids: &[ChannelId], after: Offset, count: usize) -> Vec<Found> {
        let start = self.first_behind(after) as u32;
        let mut numbers: Vec<u32> = Vec::new();
        for of_channel in ids.iter().filter_map(|id| self.channels.get(id)) {
            let places = &of_channel.places;
            let start = places.partition_point(|number| *number < start);
            numbers.extend(places[start..].iter().take(count));
        }
        numbers.sort_unstable();
        let numbers = numbers.into_iter().take(count);
        numbers.map(|number| self.places[number as usize].found).collect()
    }

    /// The events behind an offset whose channels are meant, in order, at most so many.
    pub(crate) fn matching(
        &self,
        mut is_meant: impl FnMut(ChannelId) -> bool,
        after: Offset,
        count: usize,
    ) -> Vec<Found> {
        let places = self.places[self.first_behind(after)..].iter();
        let meant = places.filter(|place| is_meant(place.channel)).take(count);
        meant.map(|place| place.found).collect()
    }

    fn first_behind(&self, after: Offset) -> usize {
        self.places.partition_point(|place| place.found.offset <= after)
    }
}
