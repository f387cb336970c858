//! The reference model: a log is a list, and reading is a filter.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use tl_model::{Channel, Durability, NewEvent, Offset, Selection};

use super::{NOW_MS, event};
use crate::{Batch, LogStore, Read};

/// Random appends and reads give what a list and a filter give.
pub async fn reads_agree_with_the_reference_model(store: Arc<dyn LogStore>) {
    let mut runner = TestRunner::deterministic();
    let steps = prop::collection::vec(step(), 300..301);
    let steps = steps.new_tree(&mut runner).expect("strategy").current();
    let mut model = Vec::new();
    for step in steps {
        match step {
            Step::Append(durability, channels) => {
                append(&*store, &mut model, durability, channels).await
            }
            Step::Read(patterns, after, events_max) => {
                compare(&*store, &model, &patterns, after, events_max).await;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Durability, Vec<&'static str>),
    Read(Vec<&'static str>, prop::sample::Index, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let channel = prop::sample::select(vec!["a", "a.b", "a.c", "b", "c.a.b", "$sys.a"]);
    let pattern =
        prop::sample::select(vec!["a", "a.*", "a.>", "*", ">", "b", "c.*.b", "$sys.>", "d"]);
    let durability =
        prop::sample::select(vec![Durability::Memory, Durability::Os, Durability::Fsync]);
    prop_oneof![
        (durability, prop::collection::vec(channel, 1..8)).prop_map(|(d, c)| Step::Append(d, c)),
        (prop::collection::vec(pattern, 1..4), any::<prop::sample::Index>(), 1..20usize)
            .prop_map(|(patterns, after, events_max)| Step::Read(patterns, after, events_max)),
    ]
}

async fn append(
    store: &dyn LogStore,
    model: &mut Vec<(Offset, Channel)>,
    durability: Durability,
    channels: Vec<&str>,
) {
    let events: Vec<NewEvent> = channels.iter().map(|name| event(name, "x")).collect();
    let names = events.iter().map(|event| event.channel.clone()).collect::<Vec<_>>();
    let batch = Batch { durability, logged_at_ms: NOW_MS, events };
    let appended = store.append(batch).await.expect("appends");
    model.extend(appended.iter().map(|appended| appended.offset).zip(names));
}

async fn compare(
    store: &dyn LogStore,
    model: &[(Offset, Channel)],
    patterns: &[&str],
    after: prop::sample::Index,
    events_max: usize,
) {
    let after = Offset::new(after.index(model.len() + 2) as u64);
    let selection = Selection::parse(patterns.iter().copied()).expect("selection");
    let expected =
        model.iter().filter(|(offset, channel)| *offset > after && selection.matches(channel));
    let expected: Vec<_> = expected.take(events_max).cloned().collect();
    let read = Read { selection: selection.clone(), after, events_max, bytes_max: usize::MAX };
    let page = store.read(read).await.expect("reads");
    let found: Vec<_> =
        page.events.iter().map(|event| (event.offset, event.channel.clone())).collect();
    assert_eq!(found, expected, "{selection:?} after {after}");
    assert_eq!(page.gap, None);
}
