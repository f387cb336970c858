use std::time::Duration;

use crate::channel::Channel;
use crate::limits::EVENT_DATA_BYTES_MAX;
use crate::schema_rules::{SchemaRule, SchemaRules};
use crate::selection::Pattern;

/// How safe an event is before its publisher gets the receipt.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Durability {
    /// Not logged at all: passed to whoever is subscribed right now.
    None,
    /// Accepted in memory, written within a second: lost when the process dies.
    Memory,
    /// Handed to the operating system: lost when the machine loses power.
    Os,
    /// On disk, or replicated.
    #[default]
    Fsync,
}

/// How long the events of a channel are kept. An event goes when it is beyond any of the limits;
/// space is given back in whole segments, so events can stay readable for longer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Retention {
    /// Not older than this.
    pub age: Option<Duration>,
    /// Not more than the newest so many, in each channel. One makes a channel a stored value.
    pub count: Option<u64>,
    /// Not more than the newest so many bytes, in each channel; its last event stays in any case.
    pub bytes: Option<u64>,
}

impl Retention {
    /// Whether nothing is ever trimmed.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event of this age and size is beyond a limit, given what its channel has had
    /// since.
    pub fn expires(&self, age: Duration, bytes: u64, newer: Newer) -> bool {
        self.age.is_some_and(|limit| age > limit)
            || self.count.is_some_and(|limit| newer.count >= limit)
            || self.bytes.is_some_and(|limit| newer.count > 0 && newer.bytes + bytes > limit)
    }
}

/// The events of one channel that are newer than a certain one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Newer {
    /// How many.
    pub count: u64,
    /// Their encoded size together.
    pub bytes: u64,
}

/// What operators decide about the channels of a pattern. What a rule leaves open, an earlier rule
/// or the default decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Which channels.
    pub pattern: Pattern,
    /// How safe before the receipt.
    pub durability: Option<Durability>,
    /// How long kept; replaces the whole retention of earlier rules.
    pub retention: Option<Retention>,
    /// Largest data of one event.
    pub event_bytes_max: Option<usize>,
    /// Whether every publish must name the state of the channel it has seen.
    pub require_condition: Option<bool>,
    /// Whether every publish must have an idempotency key.
    pub require_idempotency_key: Option<bool>,
}

impl Rule {
    /// A rule that decides nothing yet.
    pub fn of(pattern: Pattern) -> Self {
        Self {
            pattern,
            durability: None,
            retention: None,
            event_bytes_max: None,
            require_condition: None,
            require_idempotency_key: None,
        }
    }
}

/// The rules that hold for one channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChannelRules {
    /// How safe before the receipt.
    pub durability: Durability,
    /// How long kept.
    pub retention: Retention,
    /// Largest data of one event.
    pub event_bytes_max: usize,
    /// Whether every publish must name the state of the channel it has seen.
    pub require_condition: bool,
    /// Whether every publish must have an idempotency key.
    pub require_idempotency_key: bool,
}

impl Default for ChannelRules {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            retention: Retention::default(),
            event_bytes_max: EVENT_DATA_BYTES_MAX,
            require_condition: false,
            require_idempotency_key: false,
        }
    }
}

/// All rules, in the order operators wrote them. Every rule whose pattern matches applies; where two
/// speak of the same thing, the later one holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    rules: Vec<Rule>,
    schemas: SchemaRules,
}

impl Rules {
    /// These rules, in this order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, schemas: SchemaRules::default() }
    }

    /// The same rules, and which schemas hold in which channels; of these, the last that matches.
    #[must_use]
    pub fn with_schemas(self, schemas: Vec<(Pattern, SchemaRule)>) -> Self {
        Self { schemas: SchemaRules::new(schemas), ..self }
    }

    /// Which schema the events of a channel are checked with.
    pub fn schema_of(&self, channel: &Channel) -> &SchemaRule {
        self.schemas.of(channel)
    }

    /// What holds for a channel.
    pub fn of(&self, channel: &Channel) -> ChannelRules {
        let matching = self.rules.iter().filter(|rule| rule.pattern.matches(channel));
        matching.fold(ChannelRules::default(), |rules, rule| ChannelRules {
            durability: rule.durability.unwrap_or(rules.durability),
            retention: rule.retention.unwrap_or(rules.retention),
            event_bytes_max: rule.event_bytes_max.unwrap_or(rules.event_bytes_max),
            require_condition: rule.require_condition.unwrap_or(rules.require_condition),
            require_idempotency_key: rule
                .require_idempotency_key
                .unwrap_or(rules.require_idempotency_key),
        })
    }

    /// These rules, and one that operators need not know.
    #[must_use]
    pub fn and(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Whether no rule ever trims anything.
    pub fn keep_everything(&self) -> bool {
        self.rules
            .iter()
            .all(|rule| rule.retention.is_none_or(|retention| retention.is_unlimited()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str) -> Rule {
        Rule::of(Pattern::parse(pattern).expect("pattern"))
    }

    #[test]
    fn later_rules_override_field_by_field() {
        let day = Retention { age: Some(Duration::from_secs(86_400)), ..Retention::default() };
        let rules = Rules::new(vec![
            Rule { retention: Some(day), durability: Some(Durability::Os), ..rule(">") },
            Rule { durability: Some(Durability::Fsync), ..rule("orders.>") },
            Rule { event_bytes_max: Some(10), ..rule("orders.eu") },
        ]);
        let of = |name| rules.of(&Channel::parse(name).expect("channel"));
        assert_eq!(
            of("orders.eu"),
            ChannelRules {
                durability: Durability::Fsync,
                retention: day,
                event_bytes_max: 10,
                ..ChannelRules::default()
            }
        );
        assert_eq!(of("other").durability, Durability::Os);
        assert_eq!(of("other").event_bytes_max, EVENT_DATA_BYTES_MAX);
        assert!(!rules.keep_everything());
    }

    #[test]
    fn an_event_goes_when_it_is_beyond_any_limit() {
        let hour = Duration::from_secs(3_600);
        let newer = |count, bytes| Newer { count, bytes };
        let age = Retention { age: Some(hour), ..Retention::default() };
        assert!(!age.expires(hour, 1, newer(9, 9)));
        assert!(age.expires(hour + Duration::from_millis(1), 1, newer(0, 0)));
        let latest = Retention { count: Some(1), ..Retention::default() };
        assert!(!latest.expires(hour, 1, newer(0, 0)));
        assert!(latest.expires(hour, 1, newer(1, 1)));
        let bytes = Retention { bytes: Some(10), ..Retention::default() };
        assert!(!bytes.expires(hour, 100, newer(0, 0)));
        assert!(!bytes.expires(hour, 4, newer(1, 6)));
        assert!(bytes.expires(hour, 5, newer(1, 6)));
    }

    #[test]
    fn without_rules_events_are_durable_and_kept() {
        let rules = Rules::default();
        assert_eq!(rules.of(&Channel::parse("a").expect("channel")), ChannelRules::default());
        assert!(rules.keep_everything());
    }
}
