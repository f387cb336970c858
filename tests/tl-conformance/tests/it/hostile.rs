//! X7: bad input is refused in the transport's own words and changes nothing; no input makes the
//! server panic, hang or grow without bound; slow clients are cut off.

mod bodies;
mod http;
mod http2;
mod parameters;
mod sessions;
mod slow;
mod web_socket;

use tl_client::Client;
use tl_conformance::{RunningServer, ServerOptions};

/// What any attack here may cost in memory: several of the largest bodies and frames at once, and
/// what an allocator does not give back.
const GROWTH_KIB_MAX: u64 = 96 * 1024;

fn server() -> RunningServer {
    RunningServer::start(&ServerOptions::default())
}

/// How many events a channel has.
async fn events_in(client: &Client, channel: &str) -> usize {
    let page = client.page(&[channel.to_owned()], "earliest", None, None).await;
    page.expect("a page").expect("nothing is known of it").events.len()
}
