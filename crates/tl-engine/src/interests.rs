//! Who is interested in a channel: found without asking everybody.

use std::collections::HashMap;

use tl_model::{Channel, Pattern};

/// Values filed under channel names and patterns.
#[derive(Debug)]
pub(crate) struct Interests<T> {
    channels: HashMap<Channel, T>,
    /// Patterns of ordinary and of reserved channels, which never match each other's.
    patterns: [Node<T>; 2],
}

/// One token of a pattern, and what may come behind it.
#[derive(Debug)]
struct Node<T> {
    /// Of the pattern that ends here.
    here: Option<T>,
    /// Of the pattern that goes on with `>`.
    rest: Option<T>,
    star: Option<Box<Self>>,
    tokens: HashMap<Box<str>, Self>,
}

impl<T> Interests<T> {
    pub(crate) fn new() -> Self {
        Self { channels: HashMap::new(), patterns: [Node::new(), Node::new()] }
    }

    /// The value of a pattern, made if there is none.
    pub(crate) fn obtain(&mut self, pattern: &Pattern, make: impl FnOnce() -> T) -> &mut T {
        match pattern.channel() {
            Some(channel) => self.channels.entry(channel).or_insert_with(make),
            None => self.root(pattern.as_str()).place(pattern.as_str()).get_or_insert_with(make),
        }
    }

    /// Removes the value of a pattern, and whatever of the tree only led to it.
    pub(crate) fn remove(&mut self, pattern: &Pattern) {
        match pattern.channel() {
            Some(channel) => drop(self.channels.remove(&channel)),
            None => drop(self.root(pattern.as_str()).remove(Some(pattern.as_str()))),
        }
    }

    /// Shows every value whose pattern matches the channel.
    pub(crate) fn each_match(&self, channel: &Channel, mut show: impl FnMut(&T)) {
        if let Some(value) = self.channels.get(channel) {
            show(value);
        }
        let root = &self.patterns[usize::from(channel.is_reserved())];
        if !root.is_empty() {
            root.each_match(Some(channel.as_str()), &mut show);
        }
    }

    fn root(&mut self, text: &str) -> &mut Node<T> {
        &mut self.patterns[usize::from(text.starts_with('$'))]
    }
}

impl<T> Node<T> {
    fn new() -> Self {
        Self { here: None, rest: None, star: None, tokens: HashMap::new() }
    }

    fn is_empty(&self) -> bool {
        self.here.is_none() && self.rest.is_none() && self.star.is_none() && self.tokens.is_empty()
    }

    /// Where the value of a pattern belongs.
    fn place(&mut self, pattern: &str) -> &mut Option<T> {
        let (token, rest) = split(pattern);
        let next = match token {
            ">" => return &mut self.rest,
            "*" => self.star.get_or_insert_with(|| Box::new(Self::new())),
            token => self.tokens.entry(token.into()).or_insert_with(Self::new),
        };
        match rest {
            Some(rest) => next.place(rest),
            None => &mut next.here,
        }
    }

    fn remove(&mut self, pattern: Option<&str>) -> Option<T> {
        let Some(pattern) = pattern else {
            return self.here.take();
        };
        let (token, rest) = split(pattern);
        match token {
            ">" => self.rest.take(),
            "*" => {
                let star = self.star.as_mut()?;
                let removed = star.remove(rest);
                if star.is_empty() {
                    self.star = None;
                }
                removed
            }
            token => {
                let next = self.tokens.get_mut(token)?;
                let removed = next.remove(rest);
                if next.is_empty() {
                    self.tokens.remove(token);
                }
                removed
            }
        }
    }

    fn each_match(&self, name: Option<&str>, show: &mut impl FnMut(&T)) {
        let Some(name) = name else {
            return self.here.iter().for_each(show);
        };
        let (token, rest) = split(name);
        self.rest.iter().for_each(&mut *show);
        if let Some(star) = &self.star {
            star.each_match(rest, show);
        }
        if let Some(next) = self.tokens.get(token) {
            next.each_match(rest, show);
        }
    }
}

/// The first token, and what comes behind it.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('.') {
        Some((token, rest)) => (token, Some(rest)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern() -> impl Strategy<Value = Pattern> {
        let token = prop::sample::select(vec!["a", "b", "*"]);
        let tokens = prop::collection::vec(token, 1..4);
        let end = prop::sample::select(vec!["", ".>"]);
        let start = prop::sample::select(vec!["", "$x."]);
        (start, tokens, end).prop_map(|(start, tokens, end)| {
            Pattern::parse(&format!("{start}{}{end}", tokens.join("."))).expect("legal")
        })
    }

    proptest! {
        #[test]
        fn finds_exactly_the_patterns_that_match(
            patterns in prop::collection::hash_set(pattern(), 0..30),
            removed in prop::collection::vec(pattern(), 0..15),
            name in "([$]x[.])?[ab]([.][ab]){0,3}",
        ) {
            let mut interests = Interests::new();
            for pattern in &patterns {
                interests.obtain(pattern, || pattern.clone());
            }
            for pattern in &removed {
                interests.remove(pattern);
            }
            let channel = Channel::parse(&name).expect("legal");
            let mut found = Vec::new();
            interests.each_match(&channel, |pattern| found.push(pattern.clone()));
            let kept = patterns.iter().filter(|pattern| !removed.contains(pattern));
            let mut expected: Vec<_> =
                kept.clone().filter(|pattern| pattern.matches(&channel)).cloned().collect();
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
            for pattern in kept.cloned().collect::<Vec<_>>() {
                interests.remove(&pattern);
            }
            prop_assert!(interests.channels.is_empty());
            prop_assert!(interests.patterns.iter().all(Node::is_empty), "nothing is left behind");
        }
    }
}
