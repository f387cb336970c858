//! gRPC's interoperability tests: what `grpc.testing.TestService` does.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use connectrpc::{
    ConnectError, ErrorCode, RequestContext, Response, Router, ServiceResult, ServiceStream,
    bidi_streaming_handler_fn, client_streaming_handler_fn, handler_fn, streaming_handler_fn,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use tl_transport::{Host, Transport};
use tl_transport_rpc::mount;

use crate::generated::grpc::testing::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
    StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
    StreamingOutputCallResponse,
};

/// The test service. Of its methods `UnimplementedCall` is the one that is not there.
pub(crate) struct Interop;

impl Transport for Interop {
    fn mount(&self, host: &mut Host) {
        mount::mount(host, "grpc.testing.TestService", &mount::service(methods()));
    }
}

fn methods() -> Router {
    let input_call = client_streaming_handler_fn(streaming_input_call);
    let output_call = streaming_handler_fn(streaming_output_call);
    Router::new()
        .route(SERVICE, "EmptyCall", handler_fn(empty_call))
        .route(SERVICE, "UnaryCall", handler_fn(unary_call))
        .route_client_stream(SERVICE, "StreamingInputCall", input_call)
        .route_server_stream(SERVICE, "StreamingOutputCall", output_call)
        .route_bidi_stream(SERVICE, "FullDuplexCall", bidi_streaming_handler_fn(full_duplex_call))
}

async fn empty_call(_: RequestContext, empty: Empty) -> ServiceResult<Empty> {
    Response::ok(empty)
}

async fn unary_call(
    context: RequestContext,
    request: SimpleRequest,
) -> ServiceResult<SimpleResponse> {
    obey(request.response_status.as_option())?;
    let payload = payload(request.response_size).into();
    Ok(echo(&context, SimpleResponse { payload }))
}

async fn streaming_input_call(
    context: RequestContext,
    requests: ServiceStream<StreamingInputCallRequest>,
) -> ServiceResult<StreamingInputCallResponse> {
    let sizes = requests.map_ok(|request| request.payload.body.len());
    let size = sizes.try_fold(0, |sum, size| ready(Ok(sum + size))).await?;
    let size = i32::try_from(size).map_err(|_| ConnectError::out_of_range("too many bytes"))?;
    Ok(echo(&context, StreamingInputCallResponse { aggregated_payload_size: size }))
}

async fn streaming_output_call(
    context: RequestContext,
    request: StreamingOutputCallRequest,
) -> ServiceResult<ServiceStream<StreamingOutputCallResponse>> {
    obey(request.response_status.as_option())?;
    Ok(echo(&context, replies(request.response_parameters).boxed()))
}

async fn full_duplex_call(
    context: RequestContext,
    requests: ServiceStream<StreamingOutputCallRequest>,
) -> ServiceResult<ServiceStream<StreamingOutputCallResponse>> {
    let replies = requests.and_then(|request| {
        let obeyed = obey(request.response_status.as_option());
        ready(obeyed.map(|()| replies(request.response_parameters)))
    });
    Ok(echo(&context, replies.try_flatten().boxed()))
}

fn replies(
    parameters: Vec<ResponseParameters>,
) -> impl Stream<Item = Result<StreamingOutputCallResponse, ConnectError>> {
    stream::iter(parameters).then(|parameters| async move {
        let interval = u64::try_from(parameters.interval_us).unwrap_or_default();
        tokio::time::sleep(Duration::from_micros(interval)).await;
        Ok(StreamingOutputCallResponse { payload: payload(parameters.size).into() })
    })
}

fn payload(size: i32) -> Payload {
    Payload { body: Bytes::from(vec![0; usize::try_from(size).unwrap_or_default()]) }
}

/// Fails as the client wants it to.
fn obey(status: Option<&EchoStatus>) -> Result<(), ConnectError> {
    let Some(status) = status.filter(|status| status.code != 0) else { return Ok(()) };
    let code = u32::try_from(status.code).ok().and_then(ErrorCode::from_grpc_code);
    Err(ConnectError::new(code.unwrap_or(ErrorCode::Unknown), status.message.clone()))
}

/// Gives the client's own metadata back.
fn echo<B>(context: &RequestContext, body: B) -> Response<B> {
    let mut response = Response::new(body);
    let metadata = [(INITIAL, &mut response.headers), (TRAILING, &mut response.trailers)];
    for (name, into) in metadata {
        into.extend(context.header(name).map(|value| (name.parse().ok(), value.clone())));
    }
    response
}

const SERVICE: &str = "grpc.testing.TestService";
const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
