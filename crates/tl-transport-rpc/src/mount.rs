//! Services of `connectrpc` on the host's paths.
//!
//! Whatever mounts here is served as gRPC, gRPC-Web and Connect by the server's own listener, with its
//! bounds on bodies. Of an unknown path the library would make an answer of its own, so every service is
//! mounted by its name.

use std::sync::Arc;

use connectrpc::{
    ConnectError, ConnectRpcBody, ConnectRpcService, DeadlinePolicy, Dispatcher, Limits,
    MethodDescriptor, MethodKind,
};
use futures_util::FutureExt;
use tower::Service;

use tl_transport::Host;
use tl_transport::http::axum::body::Body;
use tl_transport::http::types::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use tl_transport::http::types::{Method, StatusCode, Version};
use tl_transport::http::{Request, Response, Room, Taken, http_body};
use tl_transport::model::Error;
use tl_transport::model::limits::FRAME_BYTES_MAX;

use crate::bounds::Bounded;
use crate::error::failure;
use crate::text;

/// The methods of a dispatcher, within the server's limits: messages of up to 4 MiB, and deadlines that
/// end streams, too.
pub fn service<D: Dispatcher>(methods: D) -> ConnectRpcService<D> {
    let deadlines = DeadlinePolicy::new().with_enforce_on_streams(true);
    let limits = limits(FRAME_BYTES_MAX);
    ConnectRpcService::new(methods).with_limits(limits).with_deadline_policy(deadlines)
}

/// Messages of up to so many bytes.
pub fn limits(message_bytes_max: usize) -> Limits {
    Limits::default()
        .with_max_message_size(message_bytes_max)
        .with_max_request_body_size(message_bytes_max + AROUND_BYTES_MAX)
}

/// Serves the methods of a service, such as `package.Service`.
pub fn mount<D: Dispatcher>(host: &mut Host, name: &str, service: &ConnectRpcService<D>) {
    let service = service.clone();
    let answer = move |request, room| {
        let service = service.clone();
        answer(service, request, room).boxed()
    };
    host.delegate(format!("/{name}"), Arc::new(answer));
}

async fn answer<D: Dispatcher>(
    service: ConnectRpcService<D>,
    mut request: Request,
    room: Room,
) -> Response {
    if is_grpc(request.headers()) && request.version() < Version::HTTP_2 {
        return needs_http2();
    }
    let is_text = text::is_text(request.headers());
    if is_text {
        text::to_binary(&mut request);
    }
    let is_get = request.method() == Method::GET;
    let mut response = call(service, request, &room).await;
    if is_get {
        // What is read by an address may be another thing the next time.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if is_text { text::to_text(response) } else { response }
}

async fn call<D: Dispatcher>(
    mut service: ConnectRpcService<D>,
    request: Request,
    room: &Room,
) -> Response {
    let path = request.uri().path();
    let method = service.dispatcher().lookup(path.strip_prefix('/').unwrap_or(path));
    let (request, _taken) = match method {
        Some(method) if has_many_messages(method) => {
            (request.map(|body| Body::new(Bounded::new(body, room.clone()))), Taken::default())
        }
        method => {
            let limits = method.and_then(|method| method.limits).unwrap_or(*service.limits());
            match read(request, &limits, room).await {
                Ok(read) => read,
                Err(refusal) => return refusal,
            }
        }
    };
    match service.call(request).await {
        Ok(response) => respond(response),
        Err(infallible) => match infallible {},
    }
}

/// Whether requests are read message by message. Others are read whole.
fn has_many_messages(method: MethodDescriptor) -> bool {
    matches!(method.kind, MethodKind::ClientStreaming | MethodKind::BidiStreaming)
}

/// Reads the body within the bounds that hold for all bodies.
async fn read(
    request: Request,
    limits: &Limits,
    room: &Room,
) -> Result<(Request, Taken), Response> {
    let (parts, body) = request.into_parts();
    match room.read(body, limits.max_request_body_size()).await {
        Ok((body, taken)) => Ok((Request::from_parts(parts, Body::from(body)), taken)),
        Err(error) => Err(refuse(&error, &parts.headers)),
    }
}

fn refuse(error: &Error, headers: &HeaderMap) -> Response {
    let failure: ConnectError = failure(error);
    respond(failure.into_http_response(headers))
}

fn respond(response: tl_transport::http::types::Response<ConnectRpcBody>) -> Response {
    let (mut parts, body) = response.into_parts();
    if !matches!(body, ConnectRpcBody::Full(_)) {
        leave_status_to_trailers(&mut parts.headers);
    }
    let body = match body {
        ConnectRpcBody::Full(body) => {
            let len = http_body::Body::size_hint(&body).exact().unwrap_or_default();
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
            Body::new(body)
        }
        ConnectRpcBody::Streaming(body) => {
            // Asks nginx, and others that follow it, to pass every message on at once.
            parts.headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
            Body::new(body)
        }
        body => Body::new(body),
    };
    Response::from_parts(parts, body)
}

/// Of a call that is refused at once the library tells the status twice: in the headers without its
/// details, and then in the trailers. Clients that look at the headers look no further.
fn leave_status_to_trailers(headers: &mut HeaderMap) {
    headers.remove(STATUS);
    headers.remove(MESSAGE);
}

/// gRPC says how a call has ended in trailers, which clients of HTTP/1.1 do not read.
fn needs_http2() -> Response {
    let mut response = Response::new(Body::from(
        "gRPC needs HTTP/2; over HTTP/1.1 there are gRPC-Web and Connect at the same address\n",
    ));
    *response.status_mut() = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|content_type| {
        content_type.starts_with("application/grpc")
            && !content_type.starts_with("application/grpc-web")
    })
}

/// What stands around a message in a body.
const AROUND_BYTES_MAX: usize = 1_024;
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
