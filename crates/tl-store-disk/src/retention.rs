//! What the rules no longer keep: which segments can go as a whole, and of which only a little is left.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tl_model::{Channel, Newer, Offset, Retention, Rules};

use crate::disk::Disk;
use crate::format::event_bytes;
use crate::index::SharedIndex;
use crate::sealed::{ChannelEntry, Sealed};

/// The rules at one moment, and what they are applied to.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) index: &'a SharedIndex,
    pub(crate) rules: &'a Rules,
    pub(crate) now_ms: u64,
}

/// What channels have in the segments that were looked at, from the oldest one on. Only of channels of
/// which it matters.
#[derive(Default)]
pub(crate) struct Seen(HashMap<String, Newer>);

/// What is left of a segment.
pub(crate) struct Remains {
    pub(crate) segment: Arc<Sealed>,
    /// Channels of whose events here the last at least is left.
    pub(crate) left: Vec<Share>,
    /// Channels all of whose events here have expired.
    pub(crate) expired: Vec<Share>,
    /// Bytes of the records that are left, at the most.
    pub(crate) bytes: u64,
}

/// What a segment has of a channel, and what decides how much of it is kept.
pub(crate) struct Share {
    pub(crate) entry: ChannelEntry,
    pub(crate) retention: Retention,
    /// What the channel has in later segments.
    pub(crate) newer: Newer,
}

impl Seen {
    /// Adds what a segment has of a channel. Returns what comes behind it, out of all that is kept.
    fn add(&mut self, entry: &ChannelEntry, kept: Newer) -> Newer {
        let seen = self.0.entry(entry.name.clone()).or_default();
        let count = u64::from(entry.count());
        seen.count += count;
        seen.bytes += event_bytes(entry.bytes, count, &entry.name);
        Newer {
            count: kept.count.saturating_sub(seen.count),
            bytes: kept.bytes.saturating_sub(seen.bytes),
        }
    }

    /// Takes out what is gone.
    pub(crate) fn forget(&mut self, channel: &str, count: u64, bytes: u64) {
        if let Some(seen) = self.0.get_mut(channel) {
            seen.count = seen.count.saturating_sub(count);
            seen.bytes = seen.bytes.saturating_sub(bytes);
        }
    }
}

impl Judge<'_> {
    /// The number of the last of the oldest segments that hold only events that have expired, of those
    /// before `newest`.
    pub(crate) fn expired(&self, sealed: &[Arc<Sealed>], newest: u64) -> io::Result<Option<u64>> {
        let (mut seen, mut last) = (Seen::default(), None);
        for segment in sealed.iter().take_while(|segment| segment.number < newest) {
            let is_expired = self.is_expired(segment, &mut seen);
            if self.mend(segment, is_expired)? != Some(true) {
                break;
            }
            last = Some(segment.number);
        }
        Ok(last)
    }

    /// Looks at what is left of a segment, all before it having been looked at. `None` if its index was
    /// unsound, and what was seen is of no more use.
    pub(crate) fn remains(
        &self,
        segment: &Arc<Sealed>,
        seen: &mut Seen,
    ) -> io::Result<Option<Remains>> {
        let remains = self.try_remains(segment, seen);
        self.mend(segment, remains)
    }

    fn try_remains(&self, segment: &Arc<Sealed>, seen: &mut Seen) -> io::Result<Remains> {
        let (left, expired) = (Vec::new(), Vec::new());
        let mut remains = Remains { segment: segment.clone(), left, expired, bytes: 0 };
        for entries in segment.channels() {
            for entry in entries? {
                let (retention, newer) = self.place(&entry, seen)?;
                if self.has_expired(segment, &entry, &retention, newer)? {
                    remains.bytes += self.kept_last_bytes(&entry);
                    remains.expired.push(Share { entry, retention, newer });
                } else {
                    remains.bytes += left_bytes(&entry, &retention, newer);
                    remains.left.push(Share { entry, retention, newer });
                }
            }
        }
        Ok(remains)
    }

    /// The bytes of the last event of a channel, if it stays though it has expired: as long as others of
    /// the channel do.
    fn kept_last_bytes(&self, entry: &ChannelEntry) -> u64 {
        let index = self.index.read();
        let head = index.kept(&entry.name).filter(|head| head.last == entry.last);
        let has_others = head.is_some_and(|head| head.count > entry.count());
        if has_others { entry.bytes / u64::from(entry.count()) } else { 0 }
    }

    /// Whether an event is the last one of its channel.
    pub(crate) fn is_last(&self, channel: &str, offset: Offset) -> bool {
        self.index.read().kept(channel).is_some_and(|head| head.last == offset)
    }

    /// How many events of a channel are there.
    pub(crate) fn kept(&self, channel: &str) -> u64 {
        self.index.read().kept(channel).map_or(0, |head| u64::from(head.count))
    }

    /// How old an event is.
    pub(crate) fn age(&self, logged_at_ms: u64) -> Duration {
        Duration::from_millis(self.now_ms.saturating_sub(logged_at_ms))
    }

    /// Makes the index of a segment anew if it proved to be unsound. It is looked at again the next time.
    pub(crate) fn mend<T>(
        &self,
        segment: &Sealed,
        looked_at: io::Result<T>,
    ) -> io::Result<Option<T>> {
        match looked_at {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                segment.make_anew(self.disk).map(|()| None)
            }
            looked_at => looked_at.map(Some),
        }
    }

    fn is_expired(&self, segment: &Sealed, seen: &mut Seen) -> io::Result<bool> {
        for entries in segment.channels() {
            for entry in entries? {
                let (retention, newer) = self.place(&entry, seen)?;
                if !self.has_expired(segment, &entry, &retention, newer)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What holds for a channel, and what it has behind its last event in a segment.
    fn place(&self, entry: &ChannelEntry, seen: &mut Seen) -> io::Result<(Retention, Newer)> {
        let channel = Channel::parse(&entry.name).map_err(io::Error::other)?;
        let retention = self.rules.of(&channel).retention;
        if retention.count.is_none() && retention.bytes.is_none() {
            return Ok((retention, Newer::default()));
        }
        let index = self.index.read();
        let kept = index.kept(&entry.name);
        if is_latest_only(&retention) {
            let is_last = kept.is_some_and(|head| head.last == entry.last);
            return Ok((retention, Newer { count: u64::from(!is_last), bytes: 0 }));
        }
        let kept = kept.map_or((0, 0), |head| (u64::from(head.count), head.bytes));
        let kept = Newer { count: kept.0, bytes: event_bytes(kept.1, kept.0, &entry.name) };
        drop(index);
        Ok((retention, seen.add(entry, kept)))
    }

    /// Whether the last event of a channel in a segment has expired; then so have those before it.
    fn has_expired(
        &self,
        segment: &Sealed,
        entry: &ChannelEntry,
        retention: &Retention,
        newer: Newer,
    ) -> io::Result<bool> {
        let age = self.age(entry.logged_at_ms);
        if retention.expires(age, 0, newer) || retention.bytes.is_none() {
            return Ok(retention.expires(age, 0, newer));
        }
        let record = segment.last_place(entry)?.length;
        Ok(retention.expires(age, event_bytes(u64::from(record), 1, &entry.name), newer))
    }
}

/// Whether of a channel only its latest event counts, so that it is a stored value.
pub(crate) fn is_latest_only(retention: &Retention) -> bool {
    retention.count == Some(1) && retention.bytes.is_none()
}

/// The bytes of the records that are left of a channel in a segment, at the most, if its events are of
/// one size.
fn left_bytes(entry: &ChannelEntry, retention: &Retention, newer: Newer) -> u64 {
    let count = u64::from(entry.count());
    let by_count = retention.count.map_or(count, |limit| limit.saturating_sub(newer.count));
    let event = (event_bytes(entry.bytes, count, &entry.name) / count).max(1);
    let by_bytes = retention.bytes.map_or(count, |limit| limit.saturating_sub(newer.bytes) / event);
    entry.bytes * by_count.min(by_bytes).clamp(1, count) / count
}
