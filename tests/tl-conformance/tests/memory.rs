//! X4: a subscription holds no events. A thousand subscribers that have stopped reading cost what one
//! costs, however much is published.

use std::process::Command;
use std::sync::Arc;

use tl_conformance::say;
use tl_engine::{Engine, Options, Publish, Subscription, SystemEnvironment};
use tl_model::{After, Call, Channel, Event, NewEvent, Selection};
use tl_protocol::subscription::{Credit, Delivery};
use tl_store_disk::DiskStore;

const EVENTS: usize = 1_000_000;
const BATCH: usize = 1_000;

/// Each measurement has a process of its own: this test, told how many subscribers there are to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_stopped_subscribers_cost_what_one_costs() {
    if let Ok(count) = std::env::var(STOPPED) {
        let growth = growth_with_stopped(count.parse().expect("a number")).await;
        return say(&format!("{STOPPED}={growth}"));
    }
    let (with_one, with_many) = (measure(1), measure(1_000));
    say(&format!("one: {with_one} KiB, a thousand: {with_many} KiB"));
    let allowed = with_one + with_one / 10 + 4 * 1024;
    assert!(with_many < allowed, "{with_many} KiB with a thousand, {with_one} KiB with one");
}

fn measure(count: usize) -> u64 {
    let test = std::env::current_exe().expect("the test knows itself");
    let mut child = Command::new(test);
    let output = child.arg("--nocapture").env(STOPPED, count.to_string()).output();
    let said = String::from_utf8(output.expect("the test runs").stdout).expect("text");
    let growth = said.split(&format!("{STOPPED}=")).nth(1).and_then(|rest| rest.lines().next());
    growth.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no figure in: {said}"))
}

/// By how many KiB this process grows while a million events are published and none of so many live
/// subscribers takes any. Afterwards one of them reads on and misses nothing.
async fn growth_with_stopped(count: usize) -> u64 {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = DiskStore::open(&tl_store_disk::Options::new(home.path())).expect("opens");
    let options = Options::default();
    let engine = Engine::start(Arc::new(store), Arc::new(SystemEnvironment), options);
    let mut subscriptions = Vec::new();
    for _ in 0..count {
        let selection = Selection::parse(["a"]).expect("selection");
        let (call, credit) = (Call::default(), Credit::Unlimited);
        let subscription = engine.subscribe(&call, selection, After::Latest, credit);
        let mut subscription = subscription.expect("subscribes");
        let first = subscription.next().await.expect("delivers");
        assert!(matches!(first, Delivery::CaughtUp { .. }));
        subscriptions.push(subscription);
    }
    let before = resident_kib();
    publish(&engine).await;
    let growth = resident_kib() - before;
    let mut last = subscriptions.pop().expect("there is one");
    assert_eq!(read_all(&mut last).await, EVENTS);
    growth
}

async fn publish(engine: &Engine) {
    let channel = Channel::parse("a").expect("channel");
    let event = Event::builder("1", "/s", "t").data(&[b'x'; 200]).build().expect("legal");
    let batch = vec![Ok(NewEvent { channel, event }); BATCH];
    for _ in 0..EVENTS / BATCH {
        let publish = Publish { events: batch.clone(), ..Publish::default() };
        engine.publish(&Call::default(), publish).await.expect("publishes");
    }
}

async fn read_all(subscription: &mut Subscription) -> usize {
    let mut count = 0;
    while count < EVENTS {
        if let Delivery::Events(events) = subscription.next().await.expect("delivers") {
            count += events.len();
        }
    }
    count
}

/// What this process holds in memory.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

const STOPPED: &str = "THROUGHLINE_TEST_STOPPED";
