use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tl_model::{Appended, Channel, Epoch, LoggedEvent, NewEvent, Newer, Offset, Rules};

use crate::{
    AppendError, Batch, Bounds, BoxFuture, LastLogged, LogStore, Page, Read, ReadError, TrimError,
};

/// Keeps the log in memory: for trying things out and for tests. Every durability ends with the
/// process.
#[derive(Debug)]
pub struct MemoryStore {
    epoch: Epoch,
    log: RwLock<Log>,
}

impl MemoryStore {
    /// An empty log.
    pub fn new(epoch: Epoch) -> Self {
        let log = Log { head: Offset::FIRST, events: VecDeque::new(), last: HashMap::new() };
        Self { epoch, log: RwLock::new(log) }
    }

    // A panic while the lock is held is a bug that has already been reported; the log itself is
    // never left half changed, so the others go on.
    fn log(&self) -> RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_mut(&self) -> RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogStore for MemoryStore {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn bounds(&self) -> Bounds {
        let log = self.log();
        Bounds { head: log.head, tail: log.tail() }
    }

    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>> {
        let appended = self.log_mut().append(batch);
        Box::pin(std::future::ready(Ok(appended)))
    }

    fn read(&self, read: Read) -> BoxFuture<'static, Result<Page, ReadError>> {
        let page = self.log().read(&read);
        Box::pin(std::future::ready(Ok(page)))
    }

    fn last(&self, channel: &Channel) -> Option<LastLogged> {
        self.log().last.get(channel).copied()
    }

    fn trim(&self, rules: &Rules, now_ms: u64) -> BoxFuture<'_, Result<(), TrimError>> {
        self.log_mut().trim(rules, now_ms);
        Box::pin(std::future::ready(Ok(())))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Offsets are dense from `head` on, so an event's place in the queue follows from its offset.
#[derive(Debug)]
struct Log {
    head: Offset,
    events: VecDeque<LoggedEvent>,
    last: HashMap<Channel, LastLogged>,
}

impl Log {
    fn tail(&self) -> Offset {
        self.head.plus(self.events.len() as u64)
    }

    fn append(&mut self, batch: Batch) -> Vec<Appended> {
        let logged_at_ms = batch.logged_at_ms;
        let append = |new: NewEvent| {
            let offset = self.tail();
            let last = LastLogged { offset, logged_at_ms };
            let before = self.last.insert(new.channel.clone(), last);
            let previous = before.map_or(Offset::START, |last| last.offset);
            let (channel, event) = (new.channel, new.event);
            self.events.push_back(LoggedEvent { offset, previous, logged_at_ms, channel, event });
            Appended { offset, previous }
        };
        batch.events.into_iter().map(append).collect()
    }

    fn read(&self, read: &Read) -> Page {
        let bounds = Bounds { head: self.head, tail: self.tail() };
        let patterns = read.selection.patterns().iter();
        let trimmed_to = patterns.map(|pattern| match pattern.channel() {
            Some(channel) => self.trimmed_to(&channel),
            None => self.head.previous(),
        });
        let trimmed_to = trimmed_to.max().unwrap_or_default();
        let gap = bounds.gap(read.after, trimmed_to, self.head);
        let mut page = Page { gap, trimmed_to, ..Page::default() };
        let skip = read.after.next().get().saturating_sub(self.head.get()) as usize;
        let mut bytes = 0;
        for event in self.events.iter().skip(skip) {
            if !read.selection.matches(&event.channel) {
                continue;
            }
            if page.events.len() == read.events_max || bytes >= read.bytes_max {
                return page;
            }
            bytes += event.cost();
            page.read_to = event.offset;
            page.events.push(event.clone());
        }
        page.read_to = self.tail().previous().max(read.after);
        page.reached_end = true;
        page
    }

    /// The last trimmed offset of a channel.
    fn trimmed_to(&self, channel: &Channel) -> Offset {
        match self.events.iter().find(|event| event.channel == *channel) {
            Some(oldest) => oldest.previous,
            None => self.last.get(channel).map_or(Offset::START, |last| last.offset),
        }
    }

    fn trim(&mut self, rules: &Rules, now_ms: u64) {
        if rules.keep_everything() {
            return;
        }
        while self.events.front().is_some_and(|oldest| self.is_expired(oldest, rules, now_ms)) {
            self.events.pop_front();
            self.head = self.head.next();
        }
    }

    fn is_expired(&self, event: &LoggedEvent, rules: &Rules, now_ms: u64) -> bool {
        let size = |event: &LoggedEvent| event.event.encoded().len() as u64;
        let others = self.events.iter().skip(1).filter(|other| other.channel == event.channel);
        let newer = others.fold(Newer::default(), |newer, other| Newer {
            count: newer.count + 1,
            bytes: newer.bytes + size(other),
        });
        let age = Duration::from_millis(now_ms.saturating_sub(event.logged_at_ms));
        rules.of(&event.channel).retention.expires(age, size(event), newer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    crate::conformance_suite!(|| Arc::new(MemoryStore::new(Epoch::from_random(1 << 40))));
}
