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
    channels: HashMap<ChannelId, Vec<u32>>,
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
    pub(crate) fn push(&mut self, channel: ChannelId, found: Found) {
        self.channels.entry(channel).or_default().push(self.places.len() as u32);
        self.places.push(Place { found, channel });
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
            let start = of_channel.partition_point(|number| *number < start);
            numbers.extend(of_channel[start..].iter().take(count));
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
