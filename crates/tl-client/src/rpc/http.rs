//! The requests of calls on the client's own connections, with its certificates and limits.

use ::http::{Request, Response};
use connectrpc::ConnectError;
use connectrpc::client::{BoxFuture, ClientBody, ClientTransport};
use http_body_util::BodyExt;

use crate::error::innermost;

#[derive(Clone)]
pub(super) struct Http {
    pub(super) http: reqwest::Client,
    pub(super) needs_http2: bool,
}

impl ClientTransport for Http {
    type ResponseBody = reqwest::Body;
    type Error = ConnectError;

    fn send(
        &self,
        request: Request<ClientBody>,
    ) -> BoxFuture<'static, Result<Response<reqwest::Body>, ConnectError>> {
        let Self { http, needs_http2 } = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // A body in memory can be sent again when a server that stops has not looked at it.
            let body = body.collect().await?.to_bytes();
            let request = http.request(parts.method, parts.uri.to_string());
            let response = request.headers(parts.headers).body(body).send().await;
            Ok(response.map_err(|error| lost(&error, needs_http2))?.into())
        })
    }
}

fn lost(error: &reqwest::Error, needs_http2: bool) -> ConnectError {
    let reason = innermost(error);
    // Of a peer that answers in HTTP/1.1 one is told no more than that its frames make no sense.
    ConnectError::unavailable(match needs_http2 && !error.is_connect() {
        true => {
            format!("{reason}; gRPC needs HTTP/2 on the whole way, gRPC-Web and Connect do not")
        }
        false => reason,
    })
}
