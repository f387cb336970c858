//! Mercure, a module of Caddy: with its log in a Bolt database, which is the default, and in memory.

use std::fs;

use super::contender::{CHANNEL, Contender, Opening, post};
use super::server::{Server, installed};
use super::token::{SECRET, json_web_token};

/// Subscribers over Server-Sent Events; every event is synced to the database.
pub(super) const BOLT: Contender =
    Contender { name: "mercure, SSE, Bolt", start: start_with_bolt, opening, publication };

/// The same without a log.
pub(super) const LOCAL: Contender =
    Contender { name: "mercure, SSE, local", start: || start("local"), opening, publication };

/// Starts it with its default.
pub(super) fn start_with_bolt() -> Server {
    start("bolt {\n path mercure.db\n }")
}

/// Publishes over HTTP. What it calls a channel is another word, and has to be spelled so.
pub(super) fn publication(data: &str) -> String {
    let data: String = form_urlencoded::byte_serialize(data.as_bytes()).collect();
    let token = json_web_token(r#"{"mercure":{"publish":["*"]}}"#);
    let authorization = format!("Authorization: Bearer {token}\r\n");
    let body = format!("%74opic={CHANNEL}&data={data}");
    post(PATH, "application/x-www-form-urlencoded", &authorization, &body)
}

fn opening() -> Opening {
    Opening::sse(&format!("{PATH}?%74opic={CHANNEL}"))
}

fn start(log: &str) -> Server {
    Server::start(&installed("mercure"), |home, port| {
        let config = home.join("Caddyfile").display().to_string();
        let text =
            CONFIG.replace("PORT", &port.to_string()).replace("SECRET", SECRET).replace("LOG", log);
        fs::write(&config, text)?;
        Ok(["run", "--adapter", "caddyfile", "--config", &config].map(str::to_owned).into())
    })
}

const PATH: &str = "/.well-known/mercure";
/// No certificates, no log of requests, anybody may subscribe.
const CONFIG: &str = "\
{
    admin off
    auto_https off
    persist_config off
    log {
        output discard
    }
}
http://:PORT {
    bind 127.0.0.1
    mercure {
        publisher_jwt SECRET
        anonymous
        transport LOG
    }
}
";
