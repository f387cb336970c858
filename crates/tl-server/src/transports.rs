//! The only list of transports.

use tl_transport::session::SessionOptions;
use tl_transport::{Host, Transport};
use tl_transport_openapi::OpenApi;
use tl_transport_rest::Rest;
use tl_transport_rpc::Rpc;
use tl_transport_sse::Sse;
use tl_transport_websocket::WebSockets;

use crate::Config;

/// Mounts all of them.
pub(crate) fn mount(config: &Config, host: &mut Host) {
    let heartbeat = config.connections.heartbeat.0;
    let reconnect_within = config.drain.reconnect_within.0;
    let drain_grace = config.drain.grace.0;
    let session = SessionOptions { heartbeat, reconnect_within, drain_grace };
    let transports: [&dyn Transport; 5] = [
        &OpenApi,
        &Rest { wait_max: config.polling.wait_max.0 },
        &Rpc { session, wait_max: config.polling.wait_max.0, reflection: config.rpc.reflection },
        &Sse { heartbeat, reconnect_within },
        &WebSockets { session },
    ];
    for transport in transports {
        transport.mount(host);
    }
}
