//! What is known of every channel that has kept events, in little memory: a channel at rest takes 48
//! bytes, its name, and some ten bytes of the table that finds it.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use tl_model::Offset;

/// The channels with kept events.
#[derive(Default)]
pub(crate) struct Heads {
    ids: HashTable<ChannelId>,
    pages: Vec<Vec<Named>>,
    free: Vec<ChannelId>,
    names: Names,
    hasher: RandomState,
}

/// A channel for as long as it has kept events; afterwards the number is used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ChannelId(u32);

/// What is known of one channel.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Its last event; before its first is kept, the end of what was trimmed.
    pub(crate) last: Offset,
    /// The event before the oldest kept one; `START` if there was none.
    pub(crate) trimmed_to: Offset,
    /// When the last event was logged.
    pub(crate) logged_at_ms: u64,
    /// Bytes of the records of kept events.
    pub(crate) bytes: u64,
    /// Kept events.
    pub(crate) count: u32,
    /// Whether the writer is about to add one.
    pub(crate) is_linked: bool,
}

#[derive(Clone, Debug)]
struct Named {
    head: Head,
    name: Name,
}

impl Heads {
    /// The channel's id, if it is known.
    pub(crate) fn find(&self, name: &str) -> Option<ChannelId> {
        let is_it = |id: &ChannelId| self.name(*id) == name;
        self.ids.find(self.hasher.hash_one(name), is_it).copied()
    }

    /// The channel's id. A new one begins behind `trimmed_to`.
    pub(crate) fn find_or_add(&mut self, name: &str, trimmed_to: Offset) -> ChannelId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let (last, logged_at_ms) = (trimmed_to, 0);
        let head = Head { last, trimmed_to, logged_at_ms, bytes: 0, count: 0, is_linked: false };
        self.add(name, head)
    }

    /// Adds a channel that is not known.
    pub(crate) fn add(&mut self, name: &str, head: Head) -> ChannelId {
        let name = self.names.add(name);
        let id = self.place(Named { head, name });
        let Self { ids, pages, names, hasher, .. } = self;
        let hash = |id: &ChannelId| hasher.hash_one(names.text(named(pages, *id).name));
        ids.insert_unique(hash(&id), id, hash);
        id
    }

    /// Makes room for so many channels at once.
    pub(crate) fn reserve(&mut self, channels: usize) {
        let Self { ids, pages, names, hasher, .. } = self;
        ids.reserve(channels, |id| hasher.hash_one(names.text(named(pages, *id).name)));
    }

    /// How many channels there are, or were at most.
    pub(crate) fn len(&self) -> usize {
        self.pages.iter().map(Vec::len).sum()
    }

    /// Some of the channels: those in these places.
    pub(crate) fn range(&self, places: std::ops::Range<usize>) -> impl Iterator<Item = ChannelId> {
        (places.start..places.end.min(self.len())).map(|place| ChannelId(place as u32))
    }

    pub(crate) fn head(&self, id: ChannelId) -> &Head {
        &named(&self.pages, id).head
    }

    pub(crate) fn head_mut(&mut self, id: ChannelId) -> &mut Head {
        &mut self.pages[id.0 as usize / PAGE_HEADS][id.0 as usize % PAGE_HEADS].head
    }

    pub(crate) fn name(&self, id: ChannelId) -> &str {
        self.names.text(named(&self.pages, id).name)
    }

    /// Forgets a channel.
    pub(crate) fn remove(&mut self, id: ChannelId) {
        let hash = self.hasher.hash_one(self.name(id));
        if let Ok(entry) = self.ids.find_entry(hash, |other| *other == id) {
            entry.remove();
            self.names.remove(named(&self.pages, id).name);
            self.free.push(id);
            self.compact_names();
        }
    }

    fn place(&mut self, named: Named) -> ChannelId {
        if let Some(id) = self.free.pop() {
            self.pages[id.0 as usize / PAGE_HEADS][id.0 as usize % PAGE_HEADS] = named;
            return id;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE_HEADS) {
            self.pages.push(Vec::with_capacity(PAGE_HEADS));
        }
        let before = (self.pages.len() - 1) * PAGE_HEADS;
        let page = self.pages.last_mut().expect("a page was added if there was no room");
        page.push(named);
        ChannelId((before + page.len() - 1) as u32)
    }

    /// Once most names belong to nobody, the others move together.
    fn compact_names(&mut self) {
        if self.names.are_mostly_garbage() {
            let mut names = Names::default();
            for id in &self.ids {
                let named = &mut self.pages[id.0 as usize / PAGE_HEADS][id.0 as usize % PAGE_HEADS];
                named.name = names.add(self.names.text(named.name));
            }
            self.names = names;
        }
    }
}

fn named(pages: &[Vec<Named>], id: ChannelId) -> &Named {
    &pages[id.0 as usize / PAGE_HEADS][id.0 as usize % PAGE_HEADS]
}

/// Names, one behind the other in pages that never move.
#[derive(Default)]
struct Names {
    pages: Vec<Vec<u8>>,
    garbage: usize,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    page: u16,
    len: u8,
    start: u16,
}

impl Names {
    fn add(&mut self, text: &str) -> Name {
        let has_room = |page: &Vec<u8>| page.len() + text.len() <= PAGE_BYTES;
        if !self.pages.last().is_some_and(has_room) {
            self.pages.push(Vec::with_capacity(PAGE_BYTES));
        }
        let page = self.pages.last_mut().expect("a page was added if there was no room");
        let start = page.len() as u16;
        page.extend_from_slice(text.as_bytes());
        Name { page: (self.pages.len() - 1) as u16, len: text.len() as u8, start }
    }

    fn text(&self, name: Name) -> &str {
        let page = &self.pages[usize::from(name.page)];
        let start = usize::from(name.start);
        let text = std::str::from_utf8(&page[start..start + usize::from(name.len)]);
        text.expect("it was text when it was added")
    }

    fn remove(&mut self, name: Name) {
        self.garbage += usize::from(name.len);
    }

    fn are_mostly_garbage(&self) -> bool {
        self.garbage > PAGE_BYTES && self.garbage * 2 > self.pages.len() * PAGE_BYTES
    }
}

/// Heads that are allocated together.
const PAGE_HEADS: usize = 4_096;
/// Names that are allocated together, in bytes: as far as 16 bits reach.
const PAGE_BYTES: usize = 1 << 16;
