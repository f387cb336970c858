//! The suite every store passes: one function for each promise of [`LogStore`].
//!
//! [`conformance_suite!`](crate::conformance_suite) makes tests of all of them for a store,
//! [`durable_suite!`](crate::durable_suite) of those that outlive the process.

mod durable;
mod model;

use std::sync::Arc;
use std::time::Duration;

use tl_model::{
    Appended, AttributeValue, Channel, Durability, Event, Gap, LoggedEvent, NewEvent, Offset,
    Pattern, Retention, Rule, Rules, Selection,
};

use crate::{Batch, Bounds, LogStore, Page, Read};

pub use durable::*;
pub use model::reads_agree_with_the_reference_model;

/// Declares a test for every promise, on the store that the factory opens: an empty one, each time.
#[macro_export]
macro_rules! conformance_suite {
    ($factory:expr) => {
        $crate::conformance_suite!(@tests $factory =>
            a_new_log_is_empty
            appended_names_the_event_and_the_one_before_it_in_the_channel
            events_come_back_as_they_were_published
            every_durability_is_readable_when_append_returns
            last_names_the_newest_event_of_a_channel
            a_page_ends_at_its_limits_and_says_how_far_it_read
            patterns_read_across_channels_in_log_order
            reading_behind_the_tail_finds_nothing
            reads_agree_with_the_reference_model
            trimming_keeps_what_the_rules_keep
            a_gap_is_told_exactly_for_channels
            a_gap_may_be_told_for_patterns
            readers_see_whole_batches_while_the_log_grows
        );
    };
    (@tests $factory:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::conformance::$name(($factory)()).await;
        })*
    };
}

/// See [`LogStore::bounds`].
pub async fn a_new_log_is_empty(store: Arc<dyn LogStore>) {
    assert_eq!(store.bounds(), Bounds { head: Offset::FIRST, tail: Offset::FIRST });
    assert_eq!(store.last(&channel("a")), None);
    let page = read(&*store, &[">"], 0).await;
    assert!(page.events.is_empty() && page.gap.is_none());
    assert_eq!(page.read_to, Offset::START);
}

/// See [`Appended`].
pub async fn appended_names_the_event_and_the_one_before_it_in_the_channel(
    store: Arc<dyn LogStore>,
) {
    let batch = vec![event("a", "1"), event("b", "2"), event("a", "3")];
    let first = append(&*store, batch).await;
    let second = append(&*store, vec![event("b", "4")]).await;
    let offsets: Vec<_> = first.iter().chain(&second).map(|appended| appended.offset).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    assert_eq!(offsets[0], Offset::FIRST);
    assert_eq!(offsets[2], Offset::FIRST.next().next(), "a batch has no holes");
    assert_eq!(store.bounds(), Bounds { head: Offset::FIRST, tail: offsets[3].next() });
    let previous: Vec<_> = first.iter().chain(&second).map(|appended| appended.previous).collect();
    assert_eq!(previous, [Offset::START, Offset::START, offsets[0], offsets[1]]);
    let logged = read(&*store, &[">"], 0).await.events;
    let names = |event: &LoggedEvent| Appended { offset: event.offset, previous: event.previous };
    assert_eq!(logged.iter().map(names).collect::<Vec<_>>(), [first, second].concat());
}

/// Nothing of an event changes on its way through the store.
pub async fn events_come_back_as_they_were_published(store: Arc<dyn LogStore>) {
    let binary: Vec<u8> = (0..=255).cycle().take(1024 * 1024).collect();
    let builders = [
        Event::builder("none", "/s", "t"),
        Event::builder("empty", "/s", "t").data(b""),
        Event::builder("large", "/s", "t").data(&binary).data_content_type("image/png"),
        Event::builder("full", "urn:s", "made")
            .subject("subject ü")
            .time("2026-01-31T12:00:00.123456789+02:00")
            .data_content_type("application/json")
            .data_schema("https://example.com/schema")
            .extension("flag", AttributeValue::Boolean(true))
            .extension("number", AttributeValue::Integer(i32::MIN))
            .extension("text", AttributeValue::String("value"))
            .data(b"{\"a\":\n 1}\n"),
    ];
    let build = |builder: tl_model::EventBuilder<'_>| builder.build().expect("legal");
    let events: Vec<_> = builders.map(build).into();
    for event in events.clone() {
        append(&*store, vec![NewEvent { channel: channel("a.b"), event }]).await;
    }
    let logged = read(&*store, &["a.b"], 0).await.events;
    let published = logged.iter().map(|logged| logged.event.clone());
    assert_eq!(published.collect::<Vec<_>>(), events);
    assert!(logged.iter().all(|event| event.logged_at_ms == NOW_MS));
    assert!(logged.iter().all(|event| event.channel == channel("a.b")));
}

/// See [`Batch::durability`].
pub async fn every_durability_is_readable_when_append_returns(store: Arc<dyn LogStore>) {
    let all = [Durability::Memory, Durability::Os, Durability::Fsync, Durability::Memory];
    for (count, durability) in (1..).zip(all) {
        let events = vec![event("a", "x")];
        let batch = Batch { durability, logged_at_ms: NOW_MS, events };
        store.append(batch).await.expect("appends");
        assert_eq!(read(&*store, &["a"], 0).await.events.len(), count, "{durability:?}");
    }
}

/// See [`LogStore::last`].
pub async fn last_names_the_newest_event_of_a_channel(store: Arc<dyn LogStore>) {
    let appended = append(&*store, vec![event("a", "1"), event("a", "2"), event("b", "3")]).await;
    let last = store.last(&channel("a")).expect("known");
    assert_eq!((last.offset, last.logged_at_ms), (appended[1].offset, NOW_MS));
    assert_eq!(store.last(&channel("c")), None);
}

/// See [`Read`] and [`Page`].
pub async fn a_page_ends_at_its_limits_and_says_how_far_it_read(store: Arc<dyn LogStore>) {
    let events = (0..10).map(|n| event(if n % 2 == 0 { "a" } else { "b" }, "x")).collect();
    let offsets: Vec<_> = append(&*store, events).await.iter().map(|a| a.offset).collect();
    let whole = Read { events_max: usize::MAX, ..request(&["a"], 0) };
    let by_count = store.read(Read { events_max: 2, ..whole.clone() }).await.expect("reads");
    assert_eq!(by_count.events.len(), 2);
    assert_eq!((by_count.read_to, by_count.reached_end), (offsets[2], false));
    let by_bytes = store.read(Read { bytes_max: 1, ..whole.clone() }).await.expect("reads");
    assert_eq!(by_bytes.events.len(), 1, "a page always holds one event");
    let cost = by_bytes.events[0].cost();
    let three = Read { bytes_max: cost * 2 + 1, ..whole.clone() };
    assert_eq!(store.read(three).await.expect("reads").events.len(), 3);
    let all = store.read(whole).await.expect("reads");
    assert_eq!(all.events.len(), 5);
    assert_eq!(all.read_to, offsets[9], "what is not selected has been read past");
    assert!(all.reached_end);
    let exactly = Read { events_max: 5, ..request(&["a"], 0) };
    assert!(store.read(exactly).await.expect("reads").reached_end, "there is no sixth");
}

/// See [`Selection`].
pub async fn patterns_read_across_channels_in_log_order(store: Arc<dyn LogStore>) {
    let names = ["x.a", "y", "x.b", "x.a.c", "$sys.x", "x.a"];
    append(&*store, names.iter().map(|name| event(name, "x")).collect()).await;
    let channels = async |patterns: &[&str]| {
        let page = read(&*store, patterns, 0).await;
        page.events.iter().map(|event| event.channel.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(channels(&["x.*"]).await, ["x.a", "x.b", "x.a"]);
    assert_eq!(channels(&["x.>"]).await, ["x.a", "x.b", "x.a.c", "x.a"]);
    assert_eq!(channels(&["y", "x.b"]).await, ["y", "x.b"]);
    assert_eq!(channels(&["x.a", "x.*"]).await, ["x.a", "x.b", "x.a"]);
    assert_eq!(channels(&[">"]).await, ["x.a", "y", "x.b", "x.a.c", "x.a"]);
    assert_eq!(channels(&["$sys.>"]).await, ["$sys.x"]);
}

/// A reader that is up to date, or ahead, gets an empty page and keeps its place.
pub async fn reading_behind_the_tail_finds_nothing(store: Arc<dyn LogStore>) {
    let last = append(&*store, vec![event("a", "1")]).await[0].offset;
    for after in [last, last.plus(1_000)] {
        let page = read(&*store, &["a"], after.get()).await;
        assert!(page.events.is_empty() && page.gap.is_none());
        assert_eq!(page.read_to, after);
    }
}

/// See [`LogStore::trim`]: space comes in segments, so a store may keep more than the rules ask,
/// never less.
pub async fn trimming_keeps_what_the_rules_keep(store: Arc<dyn LogStore>) {
    let hour = Duration::from_secs(3_600);
    let rules = Rules::new(vec![
        retention("aged", Retention { age: Some(hour), ..Retention::default() }),
        retention("latest", Retention { count: Some(1), ..Retention::default() }),
        retention("sized", Retention { bytes: Some(4_000), ..Retention::default() }),
    ]);
    let names = ["aged", "latest", "sized"];
    for n in 0..300 {
        append(&*store, names.iter().map(|name| event(name, &n.to_string())).collect()).await;
    }
    store.trim(&rules, NOW_MS).await.expect("trims");
    let ids = async |name: &str| {
        let page = store.read(Read { events_max: 1_000, ..request(&[name], 0) }).await;
        let events = page.expect("reads").events;
        events.iter().map(|event| event.event.id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("aged").await.len(), 300, "no event is older than an hour yet");
    assert_eq!(ids("latest").await.last().map(String::as_str), Some("299"));
    assert_eq!(ids("sized").await.last().map(String::as_str), Some("299"));
    let size = event("sized", "299").event.encoded().len();
    assert!(ids("sized").await.len() >= 4_000 / size);
    store.trim(&rules, NOW_MS + 3_600_000).await.expect("trims");
    assert_eq!(ids("aged").await.len(), 300, "an hour old is not older than an hour");
    store.trim(&rules, NOW_MS + 3_600_001).await.expect("trims");
    assert_eq!(ids("latest").await.last().map(String::as_str), Some("299"));
}

/// See [`Page::gap`]: a channel that lost nothing is not told of a gap.
pub async fn a_gap_is_told_exactly_for_channels(store: Arc<dyn LogStore>) {
    let (first, head) = trimmed_log(&store).await;
    let through = head.previous();
    let gap = async |name, after: Offset| read(&*store, &[name], after.get()).await.gap;
    assert_eq!(gap("trimmed", first).await, Some(Gap { after: first, through }));
    assert_eq!(gap("trimmed", through).await, None, "nothing was lost behind this place");
    assert_eq!(gap("kept", first).await, None, "this channel lost nothing");
    assert_eq!(gap("gone", first).await, Some(Gap { after: first, through }), "all was lost");
    let page = read(&*store, &["trimmed"], first.get()).await;
    assert!(page.events.iter().all(|event| event.offset >= head));
}

/// See [`Page::gap`]: of a pattern any trimmed offset may have mattered, so it is told.
pub async fn a_gap_may_be_told_for_patterns(store: Arc<dyn LogStore>) {
    let (first, head) = trimmed_log(&store).await;
    let page = read(&*store, &["trimmed", "other.>"], first.get()).await;
    assert_eq!(page.gap, Some(Gap { after: first, through: head.previous() }));
    let page = read(&*store, &[">"], head.previous().get()).await;
    assert_eq!(page.gap, None);
}

/// See [`LogStore`]: a batch is atomic for readers too, and what was read stays.
pub async fn readers_see_whole_batches_while_the_log_grows(store: Arc<dyn LogStore>) {
    let appends = async {
        for n in 0..100 {
            append(&*store, (0..5).map(|_| event("a", &n.to_string())).collect()).await;
        }
    };
    let reads = async {
        let mut seen: Vec<LoggedEvent> = Vec::new();
        while seen.len() < 500 {
            let all = Read { events_max: usize::MAX, ..request(&["a"], 0) };
            let events = store.read(all).await.expect("reads").events;
            assert_eq!(events.len() % 5, 0);
            assert!(events.starts_with(&seen));
            seen = events;
            yield_now().await;
        }
    };
    join(appends, reads).await;
}

/// A log whose oldest segments are gone: `gone` and the beginning of `trimmed` with them. Returns the
/// first offset of the log and its present head.
pub(crate) async fn trimmed_log(store: &Arc<dyn LogStore>) -> (Offset, Offset) {
    let first = append(&**store, vec![event("trimmed", "0"), event("gone", "0")]).await[0].offset;
    let large = "x".repeat(4_096);
    for n in 0..200 {
        let channel = channel("trimmed");
        let event = Event::builder(&n.to_string(), "/s", "t").data(large.as_bytes()).build();
        append(&**store, vec![NewEvent { channel, event: event.expect("legal") }]).await;
    }
    append(&**store, vec![event("kept", "1"), event("trimmed", "201")]).await;
    let minute = Retention { age: Some(Duration::from_secs(60)), ..Retention::default() };
    let latest = Retention { count: Some(1), ..Retention::default() };
    let rules = Rules::new(vec![retention("trimmed", latest), retention("gone", minute)]);
    store.trim(&rules, NOW_MS + 61_000).await.expect("trims");
    let head = store.bounds().head;
    assert!(head > Offset::new(3), "a store must give space back: head {head}");
    (first, head)
}

pub(crate) fn retention(pattern: &str, retention: Retention) -> Rule {
    Rule { retention: Some(retention), ..Rule::of(Pattern::parse(pattern).expect("pattern")) }
}

pub(crate) fn channel(name: &str) -> Channel {
    Channel::parse(name).expect("channel")
}

pub(crate) fn event(name: &str, id: &str) -> NewEvent {
    let event = Event::builder(id, "/suite", "made").data(b"{\"some\":\"data\"}").build();
    NewEvent { channel: channel(name), event: event.expect("legal") }
}

pub(crate) async fn append(store: &dyn LogStore, events: Vec<NewEvent>) -> Vec<Appended> {
    let batch = Batch { durability: Durability::Fsync, logged_at_ms: NOW_MS, events };
    store.append(batch).await.expect("appends")
}

pub(crate) fn request(patterns: &[&str], after: u64) -> Read {
    let selection = Selection::parse(patterns.iter().copied()).expect("selection");
    Read { selection, after: Offset::new(after), events_max: 100, bytes_max: usize::MAX }
}

pub(crate) async fn read(store: &dyn LogStore, patterns: &[&str], after: u64) -> Page {
    store.read(request(patterns, after)).await.expect("reads")
}

/// Both futures, in turns, on this thread.
async fn join(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    let (mut a_done, mut b_done) = (false, false);
    std::future::poll_fn(|cx| {
        a_done = a_done || a.as_mut().poll(cx).is_ready();
        b_done = b_done || b.as_mut().poll(cx).is_ready();
        if a_done && b_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Lets other futures of the task run.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

pub(crate) const NOW_MS: u64 = 1_800_000_000_000;
