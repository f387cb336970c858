//! The methods: each does what the request says it is to do, and tells what it has seen.

use std::collections::VecDeque;
use std::future::ready;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use buffa::{Message, MessageName};
use buffa_types::google::protobuf::Any;
use bytes::Bytes;
use connectrpc::{
    ConnectError, ErrorCode, ErrorDetail, RequestContext, Response, Router, ServiceResult,
    ServiceStream, bidi_streaming_handler_fn, client_streaming_handler_fn, handler_fn,
    streaming_handler_fn,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use tl_transport::http::types::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::generated::connectrpc::conformance::v1::conformance_payload::{
    ConnectGetInfo, RequestInfo,
};
use crate::generated::connectrpc::conformance::v1::unary_response_definition::Response as Outcome;
use crate::generated::connectrpc::conformance::v1::{
    BidiStreamRequest, ClientStreamRequest, ConformancePayload, Error, Header,
    IdempotentUnaryRequest, Reply, ServerStreamRequest, StreamResponseDefinition, UnaryRequest,
    UnaryResponseDefinition,
};

/// All but `Unimplemented`, which is not to be there.
pub(super) fn all() -> Router {
    Router::new()
        .route(SERVICE, "Unary", handler_fn(unary))
        .route_idempotent(SERVICE, "IdempotentUnary", handler_fn(idempotent_unary))
        .route_client_stream(SERVICE, "ClientStream", client_streaming_handler_fn(client_stream))
        .route_server_stream(SERVICE, "ServerStream", streaming_handler_fn(server_stream))
        .route_bidi_stream(SERVICE, "BidiStream", bidi_streaming_handler_fn(bidi_stream))
}

async fn unary(context: RequestContext, request: UnaryRequest) -> ServiceResult<Reply> {
    let info = info(&context, vec![packed(&request)]);
    reply(info, request.response_definition.into_option()).await
}

async fn idempotent_unary(
    context: RequestContext,
    request: IdempotentUnaryRequest,
) -> ServiceResult<Reply> {
    let mut info = info(&context, vec![packed(&request)]);
    // Only what has a body has a type.
    let is_get = context.header(CONTENT_TYPE).is_none();
    info.connect_get_info = is_get.then(ConnectGetInfo::default).into();
    reply(info, request.response_definition.into_option()).await
}

async fn client_stream(
    context: RequestContext,
    requests: ServiceStream<ClientStreamRequest>,
) -> ServiceResult<Reply> {
    let mut requests: Vec<_> = requests.try_collect().await?;
    let info = info(&context, requests.iter().map(packed).collect());
    let first = requests.first_mut();
    let definition = first.and_then(|first| first.response_definition.take());
    reply(info, definition).await
}

async fn server_stream(
    context: RequestContext,
    request: ServerStreamRequest,
) -> ServiceResult<ServiceStream<Reply>> {
    let info = info(&context, vec![packed(&request)]);
    replies(info, request.response_definition.into_option(), None)
}

async fn bidi_stream(
    context: RequestContext,
    mut requests: ServiceStream<BidiStreamRequest>,
) -> ServiceResult<ServiceStream<Reply>> {
    let Some(mut first) = requests.try_next().await? else {
        return replies(info(&context, Vec::new()), None, None);
    };
    let packed_first = packed(&first);
    let definition = first.response_definition.take();
    if first.full_duplex {
        let requests = requests.map_ok(|request| packed(&request));
        let requests = stream::once(ready(Ok(packed_first))).chain(requests).boxed();
        return replies(info(&context, Vec::new()), definition, Some(requests));
    }
    let mut seen = vec![packed_first];
    while let Some(request) = requests.try_next().await? {
        seen.push(packed(&request));
    }
    replies(info(&context, seen), definition, None)
}

/// What the server has seen of a call.
fn info(context: &RequestContext, requests: Vec<Any>) -> RequestInfo {
    let headers = context.headers();
    let header = |name: &HeaderName| Header {
        name: name.to_string(),
        value: headers.get_all(name).iter().map(text).collect(),
    };
    let timeout = context.time_remaining();
    RequestInfo {
        request_headers: headers.keys().map(header).collect(),
        timeout_ms: timeout.and_then(|timeout| timeout.as_millis().try_into().ok()),
        requests,
        ..RequestInfo::default()
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn packed<M: Message + MessageName>(message: &M) -> Any {
    Any::pack(message, M::TYPE_URL)
}

/// The one answer to a call.
async fn reply(
    info: RequestInfo,
    definition: Option<UnaryResponseDefinition>,
) -> ServiceResult<Reply> {
    let definition = definition.unwrap_or_default();
    pause(definition.response_delay_ms).await;
    let headers = map(&definition.response_headers)?;
    let trailers = map(&definition.response_trailers)?;
    let data = match definition.response {
        None => Bytes::new(),
        Some(Outcome::ResponseData(data)) => data,
        Some(Outcome::Error(error)) => {
            let failure = failure(&error, Some(&info));
            return Err(failure.with_headers(headers).with_trailers(trailers));
        }
    };
    let mut response = Response::new(payload(data, Some(info)));
    (response.headers, response.trailers) = (headers, trailers);
    Ok(response)
}

/// The answers to a call. With requests there is one for each of them, and the rest once they have ended.
fn replies(
    info: RequestInfo,
    definition: Option<StreamResponseDefinition>,
    requests: Option<ServiceStream<Any>>,
) -> ServiceResult<ServiceStream<Reply>> {
    let definition = definition.unwrap_or_default();
    let replies = Replies {
        data: definition.response_data.into(),
        delay_ms: definition.response_delay_ms,
        error: definition.error.into_option(),
        info: Some(info),
        requests,
        is_first: true,
    };
    let replies = stream::unfold(replies, |mut replies| async {
        let reply = replies.next().await?;
        Some((reply, replies))
    });
    let mut response = Response::stream(replies);
    response.headers = map(&definition.response_headers)?;
    response.trailers = map(&definition.response_trailers)?;
    Ok(response)
}

/// Answers that are still to be given.
struct Replies {
    data: VecDeque<Bytes>,
    delay_ms: u32,
    error: Option<Error>,
    /// What was seen since the last answer.
    info: Option<RequestInfo>,
    requests: Option<ServiceStream<Any>>,
    is_first: bool,
}

impl Replies {
    async fn next(&mut self) -> Option<Result<Reply, ConnectError>> {
        if let Err(error) = self.listen().await {
            return Some(Err(error));
        }
        let info = self.info.take();
        let Some(data) = self.data.pop_front() else {
            let info = info.filter(|_| self.is_first);
            return self.error.take().map(|error| Err(failure(&error, info.as_ref())));
        };
        self.is_first = false;
        pause(self.delay_ms).await;
        Some(Ok(payload(data, info)))
    }

    /// Waits for the next request, if any is to come.
    async fn listen(&mut self) -> Result<(), ConnectError> {
        let Some(requests) = &mut self.requests else { return Ok(()) };
        match requests.try_next().await? {
            Some(request) => self.info.get_or_insert_default().requests.push(request),
            None => self.requests = None,
        }
        Ok(())
    }
}

fn payload(data: Bytes, info: Option<RequestInfo>) -> Reply {
    Reply { payload: ConformancePayload { data, request_info: info.into() }.into() }
}

/// An error with its details, the last of which tells what was seen.
fn failure(error: &Error, info: Option<&RequestInfo>) -> ConnectError {
    let code = u32::try_from(error.code.to_i32()).ok().and_then(ErrorCode::from_grpc_code);
    let message = error.message.clone().unwrap_or_default();
    let failure = ConnectError::new(code.unwrap_or(ErrorCode::Unknown), message);
    let seen = info.map(packed);
    error.details.iter().chain(&seen).fold(failure, |failure, any| failure.with_detail(detail(any)))
}

fn detail(any: &Any) -> ErrorDetail {
    let name = any.type_url.rsplit('/').next().unwrap_or(&any.type_url);
    let value = Some(STANDARD_NO_PAD.encode(&any.value));
    ErrorDetail { type_url: name.to_owned(), value, debug: None }
}

fn map(headers: &[Header]) -> Result<HeaderMap, ConnectError> {
    let mut map = HeaderMap::new();
    for Header { name, value } in headers {
        for value in value {
            let name = HeaderName::try_from(name).map_err(illegal)?;
            map.append(name, HeaderValue::try_from(value).map_err(illegal)?);
        }
    }
    Ok(map)
}

fn illegal(error: impl std::fmt::Display) -> ConnectError {
    ConnectError::invalid_argument(format!("a header cannot be sent: {error}"))
}

async fn pause(ms: u32) {
    tokio::time::sleep(Duration::from_millis(ms.into())).await;
}

const SERVICE: &str = "connectrpc.conformance.v1.ConformanceService";
