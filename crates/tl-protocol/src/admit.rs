//! Which publishes go into the next batch of the log.
//!
//! The engine takes waiting requests in order and shows each to [`Admission::admit`], until one no
//! longer fits. What was admitted goes to the log as one batch, and is synced once.

use std::ops::Range;

use tl_model::{Channel, Durability, Error, ErrorCode, NewEvent, Offset};

/// Events that belong together, all or none.
#[derive(Clone, Debug)]
pub struct Request {
    /// At least one.
    pub events: Vec<NewEvent>,
    /// How safe before the receipt.
    pub durability: Durability,
    /// What must still be true of the channels when the events are appended.
    pub conditions: Vec<Condition>,
}

impl Request {
    /// What the request costs in limits counted in bytes.
    pub fn cost(&self) -> usize {
        self.events.iter().map(|new| new.event.encoded().len() + new.channel.as_str().len()).sum()
    }
}

/// "Append only if the channel's last event is still this one."
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Condition {
    /// Which channel.
    pub channel: Channel,
    /// Its last offset; `START` if it must not have had an event yet.
    pub last: Offset,
}

/// What may go into one batch: enough for a sync to be shared widely, little enough for its receipts
/// not to be late.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Events.
    pub events_max: usize,
    /// Bytes.
    pub bytes_max: usize,
}

/// The batch being gathered.
#[derive(Debug)]
pub struct Admission {
    limits: BatchLimits,
    events: Vec<NewEvent>,
    bytes: usize,
    durability: Durability,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// Its events are at these places of the batch.
    Admitted(Range<usize>),
    /// It no longer fits; it comes first in the next batch.
    Full(Request),
    /// A condition does not hold.
    Refused(Error),
}

impl Admission {
    /// An empty batch.
    pub fn new(limits: BatchLimits) -> Self {
        Self { limits, events: Vec::new(), bytes: 0, durability: Durability::None }
    }

    /// Decides on a request. `last` tells the last offset of a channel in the log.
    pub fn admit(
        &mut self,
        request: Request,
        last: impl Fn(&Channel) -> Option<Offset>,
    ) -> Verdict {
        let cost = request.cost();
        if !self.events.is_empty() && !self.fits(request.events.len(), cost) {
            return Verdict::Full(request);
        }
        if let Some(broken) = request.conditions.iter().find(|it| !self.holds(it, &last)) {
            return Verdict::Refused(refusal(broken));
        }
        let start = self.events.len();
        self.events.extend(request.events);
        self.bytes += cost;
        self.durability = self.durability.max(request.durability);
        Verdict::Admitted(start..self.events.len())
    }

    /// Whether nothing has been admitted.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The strongest durability any request asked for, and the events in order.
    pub fn into_batch(self) -> (Durability, Vec<NewEvent>) {
        (self.durability, self.events)
    }

    fn fits(&self, events: usize, cost: usize) -> bool {
        self.events.len() + events <= self.limits.events_max
            && self.bytes + cost <= self.limits.bytes_max
    }

    /// An event of the same channel earlier in this batch breaks any condition: its offset is not
    /// known to anybody yet, so nobody can have named it.
    fn holds(&self, condition: &Condition, last: impl Fn(&Channel) -> Option<Offset>) -> bool {
        last(&condition.channel).unwrap_or(Offset::START) == condition.last
            && !self.events.iter().any(|event| event.channel == condition.channel)
    }
}

fn refusal(broken: &Condition) -> Error {
    let detail = format!(
        "the channel {} has had another event since; read it again and decide anew",
        broken.channel
    );
    Error::new(ErrorCode::ConditionFailed, detail)
}

#[cfg(test)]
mod tests {
    use tl_model::Event;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits { events_max: 3, bytes_max: 1_000 };

    fn channel(name: &str) -> Channel {
        Channel::parse(name).expect("channel")
    }

    fn request(channels: &[&str], data_bytes: usize) -> Request {
        let data = vec![0; data_bytes];
        let event = Event::builder("1", "/s", "t").data(&data).build().expect("legal");
        let new = |name: &&str| NewEvent { channel: channel(name), event: event.clone() };
        Request {
            events: channels.iter().map(new).collect(),
            durability: Durability::Os,
            conditions: Vec::new(),
        }
    }

    fn only_if(name: &str, last: u64) -> Request {
        let condition = Condition { channel: channel(name), last: Offset::new(last) };
        Request { conditions: vec![condition], ..request(&[name], 1) }
    }

    /// Shows the requests to one admission: the places of those admitted, or a word for the rest.
    fn verdicts(requests: Vec<Request>) -> Vec<String> {
        let mut admission = Admission::new(LIMITS);
        let last = |channel: &Channel| (channel.as_str() == "seen").then_some(Offset::new(7));
        let verdict = |request| match admission.admit(request, last) {
            Verdict::Admitted(places) => format!("{places:?}"),
            Verdict::Full(_) => "full".to_owned(),
            Verdict::Refused(error) => error.code.to_string(),
        };
        requests.into_iter().map(verdict).collect()
    }

    #[test]
    fn requests_are_gathered_until_one_does_not_fit() {
        let requests = || vec![request(&["a", "b"], 1), request(&["a"], 1), request(&["a"], 1)];
        assert_eq!(verdicts(requests()), ["0..2", "2..3", "full"]);
        assert_eq!(verdicts(vec![request(&["a"], 900), request(&["a"], 900)]), ["0..1", "full"]);
    }

    #[test]
    fn a_request_larger_than_the_limits_gets_a_batch_of_its_own() {
        assert_eq!(verdicts(vec![request(&["a"; 5], 1), request(&["a"], 1)]), ["0..5", "full"]);
    }

    #[test]
    fn a_condition_holds_only_for_the_very_last_offset() {
        let verdict = |request| verdicts(vec![request]).remove(0);
        assert_eq!(verdict(only_if("seen", 7)), "0..1");
        assert_eq!(verdict(only_if("seen", 6)), "condition_failed");
        assert_eq!(verdict(only_if("seen", 0)), "condition_failed");
        assert_eq!(verdict(only_if("new", 0)), "0..1");
        assert_eq!(verdict(only_if("new", 1)), "condition_failed");
    }

    #[test]
    fn of_two_equal_conditions_in_one_batch_only_the_first_holds() {
        let requests = vec![only_if("seen", 7), only_if("seen", 7), only_if("new", 0)];
        assert_eq!(verdicts(requests), ["0..1", "condition_failed", "1..2"]);
    }

    #[test]
    fn the_batch_is_as_safe_as_its_most_demanding_request() {
        let mut admission = Admission::new(LIMITS);
        for durability in [Durability::Memory, Durability::Fsync, Durability::Os] {
            admission.admit(Request { durability, ..request(&["a"], 1) }, |_| None);
        }
        let (durability, events) = admission.into_batch();
        assert_eq!((durability, events.len()), (Durability::Fsync, 3));
    }
}
