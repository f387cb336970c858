//! The servers that people would pick instead, side by side in the same harness: each alone on one core,
//! whatever loads it on the other, all in turns within a run.
//!
//! `cargo xtask bench peers-install` installs them. What is missing is said, never passed over.

mod audience;
mod centrifugo;
mod contender;
mod fan_out;
mod idle;
mod mercure;
mod nats;
mod nchan;
mod ours;
mod postgresql;
mod publish;
mod publisher;
mod server;
mod sockudo;
mod token;

pub(crate) use fan_out::run as fan_out;
pub(crate) use idle::run as idle;
pub(crate) use publish::run as publish;

use std::future::Future;

use tokio::task::LocalSet;

use crate::machine;
use contender::Contender;

/// All that pass events on to subscribers.
const CONTENDERS: &[Contender] = &[
    ours::SSE,
    ours::WEB_SOCKET,
    centrifugo::SSE,
    centrifugo::WEB_SOCKET,
    mercure::BOLT,
    mercure::LOCAL,
    nchan::SSE,
    nchan::WEB_SOCKET,
    sockudo::WEB_SOCKET,
];

/// Those of a list that were asked for: all, or those with a name that begins with a word in
/// `TL_PEERS`.
fn asked<T>(list: &'static [T], name: fn(&T) -> &str) -> Vec<&'static T> {
    let words = std::env::var("TL_PEERS").unwrap_or_default();
    let is_asked =
        |it: &&T| words.is_empty() || words.split(' ').any(|word| name(it).starts_with(word));
    let asked: Vec<_> = list.iter().filter(is_asked).collect();
    assert!(
        !asked.is_empty(),
        "TL_PEERS names none of {:?}",
        list.iter().map(name).collect::<Vec<_>>()
    );
    asked
}

/// Runs a measurement with all its tasks on the core that loads the server.
fn on_the_load_core<T>(measurement: impl Future<Output = T>) -> T {
    machine::stay_on(machine::LOAD_CORE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), measurement)
}
