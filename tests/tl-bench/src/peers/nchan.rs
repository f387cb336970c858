//! Nchan, a module of nginx: one worker, in memory.

use std::fs;

use super::contender::{Contender, Opening, post};
use super::server::{Server, of_debian};

/// Subscribers over Server-Sent Events.
pub(super) const SSE: Contender =
    Contender { name: "nchan, SSE", start, opening: || Opening::sse("/sse"), publication };

/// Subscribers over WebSocket.
pub(super) const WEB_SOCKET: Contender = Contender {
    name: "nchan, WebSocket",
    start,
    opening: || Opening::web_socket("/websocket", ""),
    publication,
};

/// Starts nginx with nothing else in it.
pub(super) fn start() -> Server {
    of_debian(MODULE);
    Server::start(&of_debian("/usr/sbin/nginx"), |home, port| {
        let home = home.display().to_string();
        let config = format!("{home}/nginx.conf");
        let text = CONFIG.replace("MODULE", MODULE).replace("PORT", &port.to_string());
        fs::write(&config, text)?;
        Ok(["-c", &config, "-p", &home, "-e", "stderr"].map(str::to_owned).into())
    })
}

/// Publishes over HTTP.
pub(super) fn publication(data: &str) -> String {
    post("/publish", "application/json", "", data)
}

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// Room for all connections, no log of requests, connections that stay, and as many events kept as a
/// subscriber may be behind: the default of ten would lose some for the slightest delay.
const CONFIG: &str = "\
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log stderr error;
pid nginx.pid;
load_module MODULE;
events { worker_connections 18000; }
http {
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    nchan_shared_memory_size 256M;
    nchan_message_buffer_length 1000;
    nchan_message_timeout 1m;
    server {
        listen 127.0.0.1:PORT backlog=4096;
        location = /publish { nchan_publisher http; nchan_channel_id bench; }
        location = /sse {
            nchan_subscriber eventsource;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
        }
        location = /websocket {
            nchan_subscriber websocket;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
        }
    }
}
";
