//! Throughline, with its log on disk and durability `fsync`.

use tl_conformance::{RunningServer, ServerOptions};

use super::contender::{CHANNEL, Contender, Opening, post};
use super::server::Server;
use crate::machine;

/// Subscribers over Server-Sent Events.
pub(super) const SSE: Contender = Contender {
    name: "throughline, SSE",
    start,
    opening: || Opening::sse(&format!("/v1/channels/{CHANNEL}/events")),
    publication,
};

/// Subscribers over WebSocket.
pub(super) const WEB_SOCKET: Contender = Contender {
    name: "throughline, WebSocket",
    start,
    opening: || {
        let subscribe =
            format!("{{\"subscribe\":{{\"subscription\":1,\"channels\":[\"{CHANNEL}\"]}}}}");
        Opening::web_socket("/v1/session", "throughline.v1.json").then(subscribe, "\"subscribed\"")
    },
    publication,
};

/// Starts it with its defaults.
pub(super) fn start() -> Server {
    // Subscribers that only count do not answer heartbeats.
    let config = "[connections]\nheartbeat = \"10min\"".to_owned();
    let core = Some(machine::SERVER_CORE);
    RunningServer::start(&ServerOptions { config, core, ..Default::default() }).into()
}

/// Publishes over HTTP.
pub(super) fn publication(data: &str) -> String {
    post(&format!("/v1/channels/{CHANNEL}/events"), "application/json", "", data)
}
