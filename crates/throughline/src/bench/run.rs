use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use serde::de::IgnoredAny;

/// What all publishers and subscribers of one run share.
#[derive(Debug)]
pub(super) struct Run {
    /// Tells its events from all others in the channel.
    id: String,
    channel: String,
    clock: Instant,
    receipts: AtomicU64,
    deliveries: AtomicU64,
}

/// What an event of a run carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    /// Published by a publisher as its event of a number, at a time of the run.
    Event { publisher: u32, number: u64, sent_us: u64 },
    /// Logged after every receipt: nothing of the run follows.
    End,
}

impl Run {
    /// Without a channel it has one of its own.
    pub(super) fn new(channel: Option<&str>) -> Self {
        let id: String = (0..ID_LETTERS).map(|_| fastrand::lowercase()).collect();
        let channel = channel.map_or_else(|| format!("bench.{id}"), str::to_owned);
        let (receipts, deliveries) = Default::default();
        Self { id, channel, clock: Instant::now(), receipts, deliveries }
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// The time of the run, by the one clock that all of it goes by.
    pub(super) fn now_us(&self) -> u64 {
        self.clock.elapsed().as_micros() as u64
    }

    /// When it was so late.
    pub(super) fn time_us(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.clock).as_micros() as u64
    }

    /// The id of an event.
    pub(super) fn event_id(&self, publisher: u32, number: u64) -> String {
        format!("{}-{publisher}-{number}", self.id)
    }

    /// Data that carries a mark and has this many bytes, or as few as the mark takes.
    pub(super) fn data(&self, mark: Mark, size: usize) -> Bytes {
        let id = &self.id;
        let mut text = match mark {
            Mark::Event { publisher, number, sent_us } => {
                format!("[\"{id}\",{publisher},{number},{sent_us},\"")
            }
            Mark::End => format!("[\"{id}\",\"end"),
        };
        let padding = size.saturating_sub(text.len() + DATA_END.len());
        text.extend(std::iter::repeat_n('x', padding));
        text.push_str(DATA_END);
        text.into()
    }

    /// The mark of an event's data; none if it is of something else.
    pub(super) fn mark(&self, data: &[u8]) -> Option<Mark> {
        let read: Result<(&str, u32, u64, u64, IgnoredAny), _> = serde_json::from_slice(data);
        match read {
            Ok((id, publisher, number, sent_us, _)) => {
                (id == self.id).then_some(Mark::Event { publisher, number, sent_us })
            }
            Err(_) => (data == self.data(Mark::End, 0)).then_some(Mark::End),
        }
    }

    pub(super) fn count_receipt(&self) {
        self.receipts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_delivery(&self) {
        self.deliveries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn receipts(&self) -> u64 {
        self.receipts.load(Ordering::Relaxed)
    }

    pub(super) fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }
}

/// The least that an event's data can have: room for the longest mark.
pub(super) const DATA_BYTES_MIN: u64 = 64;

/// Enough that no two runs meet in a channel.
const ID_LETTERS: usize = 8;
/// Ends the padding and the data.
const DATA_END: &str = "\"]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_from_data_of_the_size_asked_for() {
        let run = Run::new(None);
        let longest =
            Mark::Event { publisher: 10_000, number: 10_u64.pow(13), sent_us: 86_400_000_000 };
        for mark in [Mark::Event { publisher: 0, number: 0, sent_us: 0 }, longest] {
            for size in [DATA_BYTES_MIN as usize, 128, 100_000] {
                let data = run.data(mark, size);
                assert_eq!((data.len(), run.mark(&data)), (size, Some(mark)));
            }
        }
        assert_eq!(run.mark(&run.data(Mark::End, 0)), Some(Mark::End));
    }

    #[test]
    fn what_others_publish_carries_no_mark() {
        let (run, other) = (Run::new(None), Run::new(None));
        assert_ne!(run.channel(), other.channel());
        let mark = Mark::Event { publisher: 0, number: 0, sent_us: 0 };
        for data in [other.data(mark, 64), other.data(Mark::End, 0), "{}".into(), "".into()] {
            assert_eq!(run.mark(&data), None, "{data:?}");
        }
    }
}
