//! What the log must hold: the reference that everything told is compared with.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;

use tl_model::{
    Appended, Channel, Durability, Event, LoggedEvent, NewEvent, Newer, Offset, Pattern, Rules,
    Selection,
};

/// All that was sent, and all that was ever logged.
pub(crate) struct Model {
    rules: Rules,
    sent: HashMap<String, Sent>,
    log: BTreeMap<Offset, Known>,
    /// The batch that the log failed on: it may be there after a crash, as a whole.
    doubtful: Vec<NewEvent>,
}

/// What a publisher sends under some id.
pub(crate) struct Sent {
    pub(crate) channel: String,
    pub(crate) data: Bytes,
    /// It is passed on to whoever is there, and never logged.
    pub(crate) is_ephemeral: bool,
}

struct Known {
    id: String,
    channel: Channel,
    logged_at_ms: u64,
    durability: Durability,
    state: State,
    /// Its rules let it go when the log was trimmed last.
    has_expired: bool,
    /// It is a stored value that was replaced, of which only those are told who read its channel.
    is_superseded: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Kept,
    Trimmed,
    /// Lost in a crash, with a durability that allows it. Nothing else may ever be at its offset.
    Lost,
}

/// How a life of the server ends, the gentlest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum End {
    Close,
    ProcessDeath,
    PowerLoss,
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, sent: HashMap::new(), log: BTreeMap::new(), doubtful: Vec::new() }
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A publisher sends this.
    pub(crate) fn sent(&mut self, id: String, sent: Sent) {
        self.sent.insert(id, sent);
    }

    /// Whether an event was sent to be passed on only.
    pub(crate) fn is_ephemeral(&self, id: &str) -> bool {
        self.sent.get(id).is_some_and(|sent| sent.is_ephemeral)
    }

    /// The store has appended a batch.
    pub(crate) fn appended(
        &mut self,
        events: &[NewEvent],
        appended: &[Appended],
        logged_at_ms: u64,
    ) -> Result<(), String> {
        ensure(events.len() == appended.len(), || "the store forgot an event".to_owned())?;
        for (new, appended) in events.iter().zip(appended) {
            self.log_event(appended.offset, &new.channel, &new.event, logged_at_ms)?;
        }
        Ok(())
    }

    /// The store has failed on a batch.
    pub(crate) fn failed(&mut self, events: Vec<NewEvent>) {
        self.doubtful = events;
    }

    /// The log was trimmed, and this is left. All that is gone must have expired. Tells how much is
    /// gone, and how much of that behind something that is left.
    pub(crate) fn trimmed(
        &mut self,
        left: &[LoggedEvent],
        now_ms: u64,
    ) -> Result<(usize, usize), String> {
        let first = left.first().map_or(Offset::new(u64::MAX), |event| event.offset);
        let left: HashSet<_> = left.iter().map(|event| event.offset).collect();
        let mut newer = HashMap::<Channel, Newer>::new();
        let (mut trimmed, mut behind) = (0, 0);
        for (offset, known) in self.log.iter_mut().rev() {
            if known.state != State::Kept {
                continue;
            }
            let its = newer.entry(known.channel.clone()).or_default();
            let age = Duration::from_millis(now_ms.saturating_sub(known.logged_at_ms));
            let retention = self.rules.of(&known.channel).retention;
            known.has_expired |= retention.expires(age, 0, *its);
            known.is_superseded |= retention.count == Some(1) && its.count > 0;
            its.count += 1;
            if !left.contains(offset) {
                ensure(known.has_expired, || format!("{offset} was trimmed too early: {its:?}"))?;
                known.state = State::Trimmed;
                trimmed += 1;
                behind += usize::from(*offset > first);
            }
        }
        Ok((trimmed, behind))
    }

    /// The log was opened anew, and this was found. Tells how many events are lost.
    pub(crate) fn reopened(
        &mut self,
        end: End,
        found: &[LoggedEvent],
        tail: Offset,
    ) -> Result<usize, String> {
        let highest = self.log.keys().next_back().copied().unwrap_or_default();
        ensure(tail > highest, || format!("{highest} would be given out twice"))?;
        self.check_doubtful(found)?;
        for event in found {
            self.log_event(event.offset, &event.channel, &event.event, event.logged_at_ms)?;
        }
        let mut found = found.iter().map(|event| event.offset).peekable();
        let mut lost = 0;
        for (offset, known) in &mut self.log {
            if found.next_if_eq(offset).is_some() || known.state != State::Kept {
                continue;
            }
            let may_be_lost = known.durability < survives(end);
            if known.has_expired && !may_be_lost {
                // The crash came when it was just about to go.
                known.state = State::Trimmed;
                continue;
            }
            ensure(may_be_lost, || format!("{} at {offset} is lost after {end:?}", known.id))?;
            known.state = State::Lost;
            lost += 1;
        }
        Ok(lost)
    }

    /// Whether this event is at this offset.
    pub(crate) fn check_at(&self, offset: Offset, id: &str) -> Result<(), String> {
        match self.log.get(&offset) {
            Some(known) if known.id == id => Ok(()),
            Some(known) => Err(format!("{id} is said to be at {offset}, where {} is", known.id)),
            None => Err(format!("{id} is said to be at {offset}, where nothing was logged")),
        }
    }

    /// Whether an event is what was sent under its id.
    pub(crate) fn check_sent(&self, channel: &Channel, event: &Event) -> Result<(), String> {
        let sent = self.sent.get(event.id());
        let is_it = sent.is_some_and(|sent| {
            sent.channel == channel.as_str() && event.data().unwrap_or_default() == sent.data
        });
        ensure(is_it, || format!("{} in {channel} was never sent, or not like this", event.id()))
    }

    /// The first selected event behind one offset and up to another that a subscriber must hear of:
    /// lost ones are nothing it could get, and of trimmed ones up to `told_to` it knows.
    pub(crate) fn first_of(
        &self,
        selection: &Selection,
        after: Offset,
        through: Offset,
        told_to: Offset,
    ) -> Option<Offset> {
        self.find(selection, after, through, |offset, known| match known.state {
            State::Kept => true,
            State::Lost => false,
            State::Trimmed => {
                let is_by_name =
                    |pattern: &Pattern| pattern.channel() == Some(known.channel.clone());
                let is_told = selection.patterns().iter().any(is_by_name) || !known.is_superseded;
                offset > told_to && is_told
            }
        })
    }

    /// The last selected event that is gone.
    pub(crate) fn last_trimmed(&self, selection: &Selection) -> Offset {
        let is_it =
            |known: &Known| known.state == State::Trimmed && selection.matches(&known.channel);
        let last = self.log.iter().rev().find(|(_, known)| is_it(known));
        last.map_or(Offset::START, |(offset, _)| *offset)
    }

    /// The same of what is still there, which no gap may pass over.
    pub(crate) fn first_kept(
        &self,
        selection: &Selection,
        after: Offset,
        through: Offset,
    ) -> Option<Offset> {
        self.find(selection, after, through, |_, known| known.state == State::Kept)
    }

    /// Whether a crash has lost anything.
    pub(crate) fn has_lost(&self) -> bool {
        self.log.values().any(|known| known.state == State::Lost)
    }

    /// Events that were ever logged.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }

    fn find(
        &self,
        selection: &Selection,
        after: Offset,
        through: Offset,
        is_wanted: impl Fn(Offset, &Known) -> bool,
    ) -> Option<Offset> {
        if through <= after {
            return None;
        }
        let mut range = self.log.range(after.next()..=through);
        let is_it = |offset, it| is_wanted(offset, it) && selection.matches(&it.channel);
        let found = range.find(|(offset, it)| is_it(**offset, *it));
        found.map(|(offset, _)| *offset)
    }

    fn log_event(
        &mut self,
        offset: Offset,
        channel: &Channel,
        event: &Event,
        logged_at_ms: u64,
    ) -> Result<(), String> {
        self.check_sent(channel, event)?;
        let is_ephemeral = self.is_ephemeral(event.id());
        ensure(!is_ephemeral, || format!("{} is logged", event.id()))?;
        if self.log.contains_key(&offset) {
            self.check_at(offset, event.id())?;
            // What looks lost may have been removed, and removing is not for good at once.
            let known = &self.log[&offset];
            let is_lost = known.state == State::Lost && !known.has_expired;
            return ensure(!is_lost, || format!("{} at {offset} has come back", event.id()));
        }
        let durability = self.rules.of(channel).durability;
        let (id, channel, state) = (event.id().to_owned(), channel.clone(), State::Kept);
        let (has_expired, is_superseded) = (false, false);
        let known =
            Known { id, channel, logged_at_ms, durability, state, has_expired, is_superseded };
        self.log.insert(offset, known);
        Ok(())
    }

    /// What is found and was not known is the batch that the log failed on, all of it.
    fn check_doubtful(&mut self, found: &[LoggedEvent]) -> Result<(), String> {
        let doubtful = std::mem::take(&mut self.doubtful);
        let unknown = found.iter().filter(|event| !self.log.contains_key(&event.offset));
        let unknown: Vec<_> = unknown.map(|event| event.event.id()).collect();
        let batch: Vec<_> = doubtful.iter().map(|new| new.event.id()).collect();
        ensure(unknown.is_empty() || unknown == batch, || {
            format!("{unknown:?} are there, and {batch:?} could be")
        })
    }
}

/// The least durability that survives.
fn survives(end: End) -> Durability {
    match end {
        End::Close => Durability::None,
        End::ProcessDeath => Durability::Os,
        End::PowerLoss => Durability::Fsync,
    }
}

pub(crate) fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint()) }
}
