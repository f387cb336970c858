//! Centrifugo with its engine in memory, as it ships: without history.

use std::fs;

use serde_json::json;

use super::contender::{CHANNEL, Contender, Opening, post};
use super::server::{Server, installed};
use super::token::{SECRET, json_web_token};

/// Subscribers over Server-Sent Events, which is one-way: the token names the channel.
pub(super) const SSE: Contender = Contender {
    name: "centrifugo, SSE",
    start,
    opening: || {
        let connect = format!("%7B%22token%22:%22{}%22%7D", token());
        Opening::sse(&format!("/connection/uni_sse?cf_connect={connect}"))
    },
    publication,
};

/// Subscribers over WebSocket, in JSON.
pub(super) const WEB_SOCKET: Contender = Contender {
    name: "centrifugo, WebSocket",
    start,
    opening: || {
        let connect = json!({ "id": 1, "connect": { "token": json_web_token(r#"{"sub":"1"}"#) } });
        let subscribe = json!({ "id": 2, "subscribe": { "channel": CHANNEL } });
        Opening::web_socket("/connection/websocket", "")
            .then(connect.to_string(), "\"id\":1")
            .then(subscribe.to_string(), "\"id\":2")
    },
    publication,
};

/// Starts it without a log, and with pings so far apart that nobody has to answer one.
pub(super) fn start() -> Server {
    Server::start(&installed("centrifugo"), |home, port| {
        let config = home.join("config.json").display().to_string();
        let text = json!({
            "address": "127.0.0.1",
            "port": port.to_string(),
            "log_level": "none",
            "usage_stats_disable": true,
            "token_hmac_secret_key": SECRET,
            "api_key": SECRET,
            "allow_subscribe_for_client": true,
            "uni_sse": true,
            "ping_interval": "1h",
            "pong_timeout": "10s",
            "websocket_use_write_buffer_pool": true,
        });
        fs::write(&config, text.to_string())?;
        Ok(["-c", &config].map(str::to_owned).into())
    })
}

/// Publishes over its HTTP API.
pub(super) fn publication(data: &str) -> String {
    let body = format!("{{\"channel\":\"{CHANNEL}\",\"data\":{data}}}");
    post("/api/publish", "application/json", &format!("X-API-Key: {SECRET}\r\n"), &body)
}

fn token() -> String {
    json_web_token(&json!({ "sub": "1", "channels": [CHANNEL] }).to_string())
}
