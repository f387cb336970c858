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
use tl_transport::http::{self, Request, Response, Room, http_body};
use tl_transport::model::Error;
use tl_transport::model::limits::FRAME_BYTES_MAX;

use crate::bounds::{Bounded, Messages};
use crate::error::failure;
use crate::{mapping, text};

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
    let (service, room) = (service.clone(), host.room().clone());
    let answer = move |request| answer(service.clone(), request, room.clone()).boxed();
    host.delegate(format!("/{name}"), Arc::new(answer));
}

async fn answer<D: Dispatcher>(
    mut service: ConnectRpcService<D>,
    mut request: Request,
    room: Room,
) -> Response {
    let dialect = Dialect::of(request.headers());
    match dialect {
        Dialect::Grpc if request.version() < Version::HTTP_2 => return needs_http2(),
        Dialect::WebText => text::to_binary(&mut request),
        Dialect::Grpc | Dialect::Other => {}
    }
    let path = request.uri().path();
    let method = service.dispatcher().lookup(path.strip_prefix('/').unwrap_or(path));
    let is_get = request.method() == Method::GET;
    if is_get {
        mapping::name_version(&mut request);
    }
    let (parts, body) = request.into_parts();
    let messages = match method {
        Some(method) if has_many_messages(method) => Ok(Messages::Many(Bounded::new(body, room))),
        method => {
            let limits = method.and_then(|method| method.limits).unwrap_or(*service.limits());
            let read = room.read(body, limits.max_request_body_size()).await;
            read.map(|read| Messages::One(Some(read)))
        }
    };
    let mut response = match messages {
        Ok(messages) => {
            let request = http::types::Request::from_parts(parts, messages);
            service.call(request).await.map_or_else(|infallible| match infallible {}, respond)
        }
        Err(error) => refuse(&error, &parts.headers),
    };
    if is_get {
        // What is read by an address may be another thing the next time.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if dialect == Dialect::WebText { text::to_text(response) } else { response }
}

/// Whether requests are read message by message. Others are read whole, within the bounds that hold for
/// all bodies.
fn has_many_messages(method: MethodDescriptor) -> bool {
    matches!(method.kind, MethodKind::ClientStreaming | MethodKind::BidiStreaming)
}

fn refuse(error: &Error, headers: &HeaderMap) -> Response {
    let failure: ConnectError = failure(error);
    respond(failure.into_http_response(headers))
}

fn respond(response: http::types::Response<ConnectRpcBody>) -> Response {
    let (mut parts, body) = response.into_parts();
    leave_status_to_trailers(&mut parts.headers, &body);
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
fn leave_status_to_trailers(headers: &mut HeaderMap, body: &ConnectRpcBody) {
    let has_trailers = !matches!(body, ConnectRpcBody::Full(_));
    if has_trailers && headers.remove(STATUS).is_some() {
        headers.remove(MESSAGE);
    }
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

/// What of the protocol is not the library's business.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Dialect {
    Grpc,
    /// gRPC-Web in its text form.
    WebText,
    Other,
}

impl Dialect {
    fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        match content_type.strip_prefix(b"application/grpc") {
            Some(rest) if rest.starts_with(b"-web-text") => Self::WebText,
            Some(rest) if !rest.starts_with(b"-web") => Self::Grpc,
            _ => Self::Other,
        }
    }
}

/// What stands around a message in a body.
const AROUND_BYTES_MAX: usize = 1_024;
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
