use std::sync::Arc;

use crate::channel::Channel;
use crate::selection::Pattern;

/// Which schema the events of a channel are checked with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum SchemaRule {
    /// That of their type, if it has one.
    #[default]
    Known,
    /// This one, whatever their type.
    Named(Arc<str>),
    /// None.
    Off,
    /// That of their type, which must have one.
    Required,
}

/// What operators decide about schemas. The last rule whose pattern matches holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SchemaRules(Vec<(Pattern, SchemaRule)>);

impl SchemaRules {
    pub(crate) fn new(rules: Vec<(Pattern, SchemaRule)>) -> Self {
        Self(rules)
    }

    pub(crate) fn of(&self, channel: &Channel) -> &SchemaRule {
        let last = self.0.iter().rfind(|(pattern, _)| pattern.matches(channel));
        last.map_or(&SchemaRule::Known, |(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_matches_holds() {
        let rule = |pattern, rule| (Pattern::parse(pattern).expect("pattern"), rule);
        let rules = SchemaRules::new(vec![
            rule("orders.>", SchemaRule::Required),
            rule("orders.raw", SchemaRule::Off),
        ]);
        let of = |name| rules.of(&Channel::parse(name).expect("channel"));
        assert_eq!(of("orders.eu"), &SchemaRule::Required);
        assert_eq!(of("orders.raw"), &SchemaRule::Off);
        assert_eq!(of("chat"), &SchemaRule::Known);
    }
}
