//! The engine on a store in memory, on paused time.

mod faulty;
mod following;
mod lanes;
mod once;
mod publishing;
mod schemas;
mod state;
mod status;
mod subscribing;

use std::sync::Arc;
use std::time::Duration;

use tl_model::{
    After, Call, Channel, ChannelRules, Durability, Epoch, Error, ErrorCode, Event, Gap, NewEvent,
    Offset, Pattern, Position, Retention, Rule, Rules, Selection, SharedEvent,
};
use tl_protocol::subscription::{Credit, Delivery};
use tl_store::{LogStore, MemoryStore};

use crate::{Engine, Options, Publish, ReadRequest, Receipt, Subscription, SystemEnvironment};

fn epoch() -> Epoch {
    Epoch::from_random(1 << 40)
}

fn engine_on(store: Arc<dyn LogStore>, rules: Vec<Rule>) -> Engine {
    let options = Options { rules: Rules::new(rules), ..Options::default() };
    Engine::start(store, Arc::new(SystemEnvironment), options)
}

fn engine() -> Engine {
    engine_on(Arc::new(MemoryStore::new(epoch())), Vec::new())
}

fn rule(pattern: &str) -> Rule {
    let pattern = Pattern::parse(pattern).expect("pattern");
    Rule::of(pattern)
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).expect("channel")
}

fn selection(patterns: &[&str]) -> Selection {
    Selection::parse(patterns.iter().copied()).expect("selection")
}

fn event(name: &str, id: &str) -> NewEvent {
    let event = Event::builder(id, "/test", "made").data(b"{}").build().expect("legal");
    NewEvent { channel: channel(name), event }
}

fn events(events: Vec<NewEvent>) -> Publish {
    Publish { events: events.into_iter().map(Ok).collect(), ..Publish::default() }
}

async fn publish(engine: &Engine, publish: Publish) -> Vec<Result<Receipt, Error>> {
    engine.publish(&Call::default(), publish).await.expect("publishes")
}

/// Publishes one event and returns its offset.
async fn publish_one(engine: &Engine, name: &str, id: &str) -> Offset {
    let receipts = publish(engine, events(vec![event(name, id)])).await;
    let receipt = receipts[0].clone().expect("a receipt");
    receipt.at.expect("a place").offset
}

async fn read(engine: &Engine, patterns: &[&str], after: After) -> Result<crate::Page, Error> {
    let request = ReadRequest { selection: selection(patterns), after, events_max: 100 };
    engine.read(&Call::default(), request).await
}

fn subscribe(engine: &Engine, patterns: &[&str], after: After) -> Subscription {
    let selection = selection(patterns);
    let credit = Credit::Unlimited;
    engine.subscribe(&Call::default(), selection, after, credit).expect("subscribes")
}

/// The next delivery in a few words: `caught-up@3`, `gap 1..5`, or the ids of events.
async fn told(subscription: &mut Subscription) -> String {
    in_words(subscription.next().await.expect("delivers"))
}

fn in_words(delivery: Delivery<Arc<SharedEvent>>) -> String {
    match delivery {
        Delivery::CaughtUp { at } => format!("caught-up@{at}"),
        Delivery::Gap(Gap { after, through }) => format!("gap {after}..{through}"),
        Delivery::Events(events) => {
            let ids = events.iter().map(|it| it.event.logged().event.id().to_owned());
            ids.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Whether a subscription has nothing to tell for as long as anybody cares to wait.
async fn is_quiet(subscription: &mut Subscription) -> bool {
    tokio::time::timeout(Duration::from_secs(3_600), subscription.next()).await.is_err()
}
