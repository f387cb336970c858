//! Sockudo, which speaks the protocol of Pusher: on one node, in memory.

use std::fmt::Write as _;
use std::fs;
use std::time::SystemTime;

use serde_json::json;

use super::contender::{CHANNEL, Contender, Opening, post};
use super::server::{Server, installed};
use super::token::{SECRET, signature};

/// Subscribers over WebSocket.
pub(super) const WEB_SOCKET: Contender = Contender {
    name: "sockudo, WebSocket",
    start,
    opening: || {
        let subscribe = json!({ "event": "pusher:subscribe", "data": { "channel": CHANNEL } });
        Opening::web_socket("/app/key?protocol=7&client=bench&version=1", "")
            .then(subscribe.to_string(), "subscription_succeeded")
    },
    publication,
};

/// Starts it without what costs and is not used here: figures for others, limits, other protocols.
pub(super) fn start() -> Server {
    Server::start(&installed("sockudo"), |home, port| {
        let config = home.join("config.json").display().to_string();
        let app = json!({
            "id": "app", "key": "key", "secret": SECRET, "enabled": true,
            "policy": {
                "limits": { "max_connections": 100_000, "max_client_events_per_second": 0 },
            },
        });
        let text = json!({
            "debug": false,
            "host": "127.0.0.1",
            "port": port,
            "activity_timeout": 3_600,
            "adapter": { "driver": "local" },
            "app_manager": { "driver": "memory", "array": { "apps": [app] } },
            "metrics": { "enabled": false },
            "rate_limiter": { "enabled": false },
            "delta_compression": { "enabled": false },
            "tag_filtering": { "enabled": false },
            "idempotency": { "enabled": false },
            "event_name_filtering": { "enabled": false },
            "websocket": {
                "auto_ping": false,
                "idle_timeout": 3_600,
                "compression": "disabled",
            },
        });
        fs::write(&config, text.to_string())?;
        Ok(["--config", &config].map(str::to_owned).into())
    })
}

/// Publishes over its HTTP API, signed.
pub(super) fn publication(data: &str) -> String {
    let body = json!({ "name": "event", "channel": CHANNEL, "data": data }).to_string();
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let query = format!(
        "auth_key=key&auth_timestamp={now}&auth_version=1.0&body_md5={:x}",
        md5::compute(&body)
    );
    let signed = signature(&format!("POST\n{PATH}\n{query}"));
    let hexadecimal = signed.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    });
    post(&format!("{PATH}?{query}&auth_signature={hexadecimal}"), "application/json", "", &body)
}

const PATH: &str = "/apps/app/events";
