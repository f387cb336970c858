//! What one subscription has been told, over all its connections, and whether that may be.

use tl_model::{Offset, Selection};
use tl_wire::draft::Received;

use crate::model::{Model, ensure};

/// A subscription that goes on from its last cursor after every cut.
pub(crate) struct Following {
    pub(crate) patterns: Vec<&'static str>,
    pub(crate) selection: Selection,
    /// How many events may be under way, if there is a limit.
    pub(crate) credit: Option<u32>,
    /// Everything up to here has been got, or told to be gone.
    pub(crate) place: Option<Offset>,
    /// Where it was some time ago.
    once: Option<Offset>,
    /// What the next delivery is linked to.
    link: Offset,
    /// How many more events may come.
    pub(crate) allowed: u32,
    /// What is missing up to here a gap has told, since the connection began.
    told_to: Offset,
}

impl Following {
    pub(crate) fn new(patterns: &[&'static str], credit: Option<u32>) -> Self {
        let selection = Selection::parse(patterns.iter().copied()).expect("legal patterns");
        let (patterns, start) = (patterns.to_vec(), Offset::START);
        let (place, once) = (None, None);
        let (link, told_to) = (start, start);
        Self { patterns, selection, credit, place, once, link, allowed: 0, told_to }
    }

    /// Remembers the place.
    pub(crate) fn keep_place(&mut self) {
        self.once = self.place;
    }

    /// Goes back to the place remembered, as somebody does who starts from a copy.
    pub(crate) fn go_back(&mut self) {
        self.place = self.once;
    }

    /// The subscription has begun, right where it was to.
    pub(crate) fn handle_subscribed(&mut self, model: &Model, at: Offset) -> Result<(), String> {
        match self.place {
            Some(place) => ensure(place == at, || format!("begins at {at}, not at {place}"))?,
            None => self.check_kept(model, Offset::START, at)?,
        }
        (self.place, self.link, self.told_to) = (Some(at), at, Offset::START);
        Ok(())
    }

    /// The cursor was refused: only a log that has lost something may do so.
    pub(crate) fn handle_ahead(&mut self, model: &Model) -> Result<(), String> {
        ensure(model.has_lost(), || format!("{:?} is not ahead of the log", self.place))?;
        self.place = None;
        Ok(())
    }

    pub(crate) fn handle_event(&mut self, model: &Model, event: &Received) -> Result<(), String> {
        let (at, id) = (event.at.offset, event.event.id());
        model.check_sent(&event.channel, &event.event)?;
        let is_selected = self.selection.matches(&event.channel);
        ensure(is_selected, || format!("{} was not asked for", event.channel))?;
        let previous = event.previous.map(|it| it.offset);
        ensure(previous == Some(self.link), || {
            format!("{at} follows {previous:?}, and {} was the last", self.link)
        })?;
        if let Some(credit) = self.credit {
            ensure(self.allowed > 0, || format!("{id} comes without credit, of {credit}"))?;
            self.allowed -= 1;
        }
        if model.is_ephemeral(id) {
            // It has no place of its own, and moves nobody on.
            return ensure(at == self.link, || format!("{id} is said to be at {at}"));
        }
        model.check_at(at, id)?;
        ensure(Some(at) > self.place, || format!("{at} comes twice, or too late"))?;
        self.handle_place(model, at.previous())?;
        (self.place, self.link) = (Some(at), at);
        Ok(())
    }

    /// What is told to be gone must be, and nothing before it may be missing.
    pub(crate) fn handle_gap(
        &mut self,
        model: &Model,
        after: Offset,
        through: Offset,
    ) -> Result<(), String> {
        ensure(self.link <= after && after < through, || format!("a gap from {after}"))?;
        self.handle_place(model, after)?;
        self.check_kept(model, after, through)?;
        (self.place, self.link) = (self.place.max(Some(through)), through);
        // More may be missing between what follows.
        self.told_to = self.told_to.max(model.last_trimmed(&self.selection));
        Ok(())
    }

    /// Nothing up to here is missing, the server says.
    pub(crate) fn handle_place(&mut self, model: &Model, at: Offset) -> Result<(), String> {
        let place = self.place.unwrap_or_default();
        let missing = model.first_of(&self.selection, place, at, self.told_to);
        ensure(missing.is_none(), || {
            format!("{missing:?} is missing between {place} and {at}, and no gap was told")
        })?;
        self.place = Some(place.max(at));
        Ok(())
    }

    /// Whether there is nothing left to get.
    pub(crate) fn has_everything(&self, model: &Model) -> bool {
        let end = Offset::new(u64::MAX);
        let first = |place| model.first_of(&self.selection, place, end, self.told_to);
        self.place.is_some_and(|place| first(place).is_none())
    }

    fn check_kept(&self, model: &Model, after: Offset, through: Offset) -> Result<(), String> {
        let kept = model.first_kept(&self.selection, after, through);
        ensure(kept.is_none(), || format!("{kept:?} is passed over, and is there"))
    }
}
