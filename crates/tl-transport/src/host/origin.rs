//! Which web pages may use the server (Fetch Standard, CORS protocol).
//!
//! A browser says with `Origin` which page is asking. Pages that the server's own address serves may
//! ask; pages of other origins only if the operator has listed them. Whoever sends no `Origin` is not
//! a page. WebSockets are held to the same: for them a browser does not ask beforehand.

use ::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    HeaderMap, HeaderValue, ORIGIN,
};
use ::http::{Method, StatusCode};
use axum::body::Body;

use tl_model::{Error, ErrorCode};

use crate::http::{Request, Response, vary};

/// The origins that may use the server besides its own.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<String>);

/// The origin of one request that is allowed.
pub(super) struct Allowed(Option<Box<HeaderValue>>);

impl Origins {
    /// These, such as `https://example.com`; `*` for every one.
    pub fn new(origins: impl IntoIterator<Item = String>) -> Self {
        Self(origins.into_iter().collect())
    }

    pub(super) fn check(&self, request: &Request) -> Result<Allowed, Error> {
        let Some(origin) = request.headers().get(ORIGIN) else {
            return Ok(Allowed(None));
        };
        let text = origin.to_str().unwrap_or_default();
        let is_listed = self.0.iter().any(|listed| listed == "*" || listed == text);
        if is_listed || is_own(request, text) {
            return Ok(Allowed(Some(origin.clone().into())));
        }
        let detail = format!(
            "web pages of {} may not use this server; an operator can add them to `listen.origins`",
            text.chars().take(100).collect::<String>()
        );
        Err(Error::new(ErrorCode::OriginForbidden, detail))
    }
}

/// Whether a page comes from the very address the request goes to.
fn is_own(request: &Request, origin: &str) -> bool {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let origin_host = origin.split_once("://").map(|(_, host)| host);
    origin_host.is_some() && origin_host == authority.or(header)
}

impl Allowed {
    /// The answer to a browser that asks whether a page may send what it wants to send.
    pub(super) fn preflight(&self, request: &Request) -> Option<Response> {
        self.0.as_ref()?;
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        asks.then(|| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            self.expose(response.headers_mut());
            response
        })
    }

    /// Lets the page see the response.
    pub(super) fn expose(&self, headers: &mut HeaderMap) {
        if let Some(origin) = &self.0 {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, (**origin).clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            vary(headers, "origin");
        }
    }
}

const METHODS: &str = "DELETE, GET, HEAD, PATCH, POST, PUT, QUERY";
/// What pages send beyond what they always may. `*` does not cover everything in old browsers.
const HEADERS: &str = "content-encoding, content-type, idempotency-key, if-match, if-none-match, \
                       last-event-id, prefer, request-timeout, traceparent, \
                       connect-accept-encoding, connect-content-encoding, \
                       connect-protocol-version, connect-timeout-ms, \
                       grpc-accept-encoding, grpc-encoding, grpc-timeout, \
                       x-grpc-web, x-user-agent, \
                       ce-dataschema, ce-id, ce-source, ce-specversion, ce-subject, ce-time, ce-type";
/// What pages need to read beyond what they always may.
const EXPOSED: &str = "accept-patch, accept-query, deprecation, etag, idempotency-replayed, link, \
                       location, poll-interval, retry-after, sunset, \
                       connect-content-encoding, \
                       grpc-encoding, grpc-message, grpc-status, grpc-status-details-bin, \
                       ce-channel, ce-cursor, ce-dataschema, ce-id, ce-source, ce-specversion, \
                       ce-subject, ce-time, ce-type";
