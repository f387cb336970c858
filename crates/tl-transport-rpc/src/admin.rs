//! What operators want to know of the server.

use tl_transport::engine::Engine;
use tl_transport::wire::call;
use tl_transport::wire::generated::throughline::v1::{
    GetServerStatusRequest, GetServerStatusResponse,
};

use crate::calls::{Asked, Handler, Method, answer};
use crate::error::Refusal;

pub(crate) const METHODS: &[Method] = &[Method {
    path: "throughline.v1.AdminService/GetServerStatus",
    handler: Handler::Query(|asked| answer(read_status(asked))),
}];

async fn read_status(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let _: GetServerStatusRequest = call::decode(context.form, &message)?;
    Ok(call::encode(context.form, &status(&context.engine)))
}

fn status(engine: &Engine) -> GetServerStatusResponse {
    let stats = engine.stats();
    GetServerStatusResponse {
        // The whole workspace has one.
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: engine.uptime().as_millis() as u64,
        draining: engine.draining().is_cancelled(),
        epoch: engine.cursor_prefix(),
        earliest: engine.earliest().cursor().to_string(),
        latest: engine.latest().cursor().to_string(),
        events_logged: stats.events,
        batches_logged: stats.batches,
        reads: stats.reads,
    }
}
