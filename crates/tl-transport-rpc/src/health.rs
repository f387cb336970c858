//! Whether the server wants to be sent anything new, as gRPC asks it (gRPC Health Checking Protocol).

use connectrpc::EncodedStream;
use futures_util::{FutureExt, StreamExt, stream};

use tl_transport::Bytes;
use tl_transport::model::{Error, ErrorCode, Form};
use tl_transport::wire::call;
use tl_transport::wire::generated::grpc::health::v1::health_check_response::ServingStatus;
use tl_transport::wire::generated::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};

use crate::calls::{Asked, Context, Handler, Method, answer, services};
use crate::error::{Refusal, failure};

pub(crate) const METHODS: &[Method] = &[
    Method {
        path: "grpc.health.v1.Health/Check",
        handler: Handler::Unary(|asked| answer(check(asked))),
    },
    Method { path: "grpc.health.v1.Health/Watch", handler: Handler::ServerStream(watch) },
];

async fn check(asked: Asked) -> Result<Vec<u8>, Refusal> {
    match status(&asked)? {
        Some(status) => Ok(write(asked.context.form, status)),
        None => Err(Error::new(ErrorCode::NotFound, "this server has no such service").into()),
    }
}

fn watch(asked: Asked) -> Result<EncodedStream, Refusal> {
    let status = status(&asked)?;
    let Context { engine, form, leaving, .. } = asked.context;
    let now = status.unwrap_or(ServingStatus::SERVICE_UNKNOWN);
    let told = stream::once(std::future::ready(Ok(message(form, now))));
    let later = leaving.token().cancelled_owned().map(move |()| {
        // It may be only the connection that ends.
        let is_new = now == ServingStatus::SERVING && engine.draining().is_cancelled();
        let not_serving = is_new.then(|| Ok(message(form, ServingStatus::NOT_SERVING)));
        // A stream that stays would hold the connection.
        stream::iter(not_serving).chain(stream::once(std::future::ready(Err(failure(&ending())))))
    });
    Ok(told.chain(later.flatten_stream()).boxed())
}

/// `None` if there is no such service.
fn status(asked: &Asked) -> Result<Option<ServingStatus>, Refusal> {
    let request: HealthCheckRequest = call::decode(asked.context.form, &asked.message)?;
    if !request.service.is_empty() && services().all(|service| service != request.service) {
        return Ok(None);
    }
    Ok(Some(match asked.context.engine.draining().is_cancelled() {
        true => ServingStatus::NOT_SERVING,
        false => ServingStatus::SERVING,
    }))
}

fn write(form: Form, status: ServingStatus) -> Vec<u8> {
    call::encode(form, &HealthCheckResponse { status: status.into() })
}

fn message(form: Form, status: ServingStatus) -> connectrpc::EncodedBody {
    Bytes::from(write(form, status)).into()
}

fn ending() -> Error {
    Error::new(ErrorCode::Draining, "this connection is about to end; watch over another one")
}
