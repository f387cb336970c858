//! What the conformance tests have in common: the real server, started and stopped.

mod certificate;
mod cutter;
pub mod http2;
mod meter;
mod nginx;
mod port;
mod program;
mod raw;
mod receipts;
mod server;
mod vitals;
pub mod web_socket;

pub use certificate::Certificate;
pub use cutter::Cutter;
pub use meter::Meter;
pub use nginx::Nginx;
pub use port::free_port;
pub use program::Program;
pub use raw::{Answer, RawSocket};
pub use receipts::{Found, Receipt, check_order, lost, read_on};
pub use server::{RunningServer, ServerOptions, cargo_built, tools};
pub use vitals::{Vitals, Witnessed};

/// A seed for what is random in a test: given by `THROUGHLINE_SEED`, or new; printed either way, so
/// that a failure can be had again.
pub fn seed(test: &str) -> u64 {
    let given = std::env::var("THROUGHLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    say(&format!("{test}: THROUGHLINE_SEED={seed}"));
    seed
}

/// Says something that is shown if the test fails.
#[expect(clippy::print_stdout, reason = "the test runner captures it")]
pub fn say(text: &str) {
    println!("{text}");
}
