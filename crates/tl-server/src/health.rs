//! Whether the server lives, and whether it wants to be sent anything new.

use tl_transport::http::types::{Method, StatusCode};
use tl_transport::http::{Exchange, Response, respond};
use tl_transport::model::{Error, ErrorCode};
use tl_transport::{Host, Route, Transport};

/// `/health/live` and `/health/ready`.
pub(crate) struct Health;

impl Transport for Health {
    fn mount(&self, host: &mut Host) {
        host.route(Route::new(Method::GET, "/health/live", &[], |_| async { Ok(fine()) }));
        host.route(Route::new(Method::GET, "/health/ready", &[], ready));
    }
}

async fn ready(exchange: Exchange) -> Result<Response, Error> {
    match exchange.engine.draining().is_cancelled() {
        true => Err(Error::new(ErrorCode::Draining, "send new requests elsewhere")),
        false => Ok(fine()),
    }
}

fn fine() -> Response {
    respond(StatusCode::OK, "text/plain", b"ok\n".to_vec())
}
