//! Each line is a channel, a pattern, or neither; all lines together may be a selection.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

use tl_model::limits::SELECTION_PATTERNS_MAX;
use tl_model::{Channel, Pattern, Selection};

fuzz_target!(|text: &str| {
    let lines: Vec<_> = text.split('\n').take(SELECTION_PATTERNS_MAX).collect();
    let channels: Vec<_> = lines.iter().filter_map(|line| channel(line)).collect();
    let patterns: Vec<_> = lines.iter().filter_map(|line| Pattern::parse(line).ok()).collect();
    for channel in &channels {
        check_channel(channel);
        patterns.iter().for_each(|pattern| check_match(pattern, channel));
    }
    match Selection::parse(lines.iter().copied()) {
        Ok(selection) => check_selection(&selection, &patterns, &channels),
        Err(_) => assert!(patterns.len() < lines.len(), "all lines are patterns"),
    }
});

/// A name is legal or not, whatever buffer it is in.
fn channel(name: &str) -> Option<Channel> {
    let parsed = Channel::parse(name);
    assert_eq!(Channel::from_shared(Bytes::copy_from_slice(name.as_bytes())), parsed);
    parsed.ok()
}

fn check_channel(channel: &Channel) {
    let pattern = Pattern::from(channel.clone());
    assert_eq!(Pattern::parse(channel.as_str()).as_ref(), Ok(&pattern));
    assert_eq!(pattern.channel().as_ref(), Some(channel));
    assert!(pattern.matches(channel));
    assert!(Selection::from(channel.clone()).matches(channel));
}

fn check_match(pattern: &Pattern, channel: &Channel) {
    let tokens: Vec<_> = pattern.as_str().split('.').collect();
    let names: Vec<_> = channel.as_str().split('.').collect();
    let expected =
        pattern.as_str().starts_with('$') == channel.is_reserved() && tokens_match(&tokens, &names);
    assert_eq!(pattern.matches(channel), expected, "{pattern} {channel}");
}

fn tokens_match(tokens: &[&str], names: &[&str]) -> bool {
    match (tokens, names) {
        ([], []) => true,
        ([">"], [_, ..]) => true,
        ([token, tokens @ ..], [name, names @ ..]) => {
            (*token == "*" || token == name) && tokens_match(tokens, names)
        }
        _ => false,
    }
}

fn check_selection(selection: &Selection, patterns: &[Pattern], channels: &[Channel]) {
    assert!(selection.patterns().is_sorted_by(|a, b| a < b), "{selection:?}");
    assert!(patterns.iter().all(|pattern| selection.patterns().contains(pattern)));
    for channel in channels {
        let expected = patterns.iter().any(|pattern| pattern.matches(channel));
        assert_eq!(selection.matches(channel), expected, "{selection:?} {channel}");
    }
}
