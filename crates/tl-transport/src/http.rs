//! HTTP as rooms see it: one request and what belongs to it.

mod bare;
mod body;
pub mod detached;
mod exchange;
mod negotiate;
mod problem;
mod query;

use axum::body::Body;

pub use bare::{Framing, serve_stream};
pub(crate) use body::Room;
pub use exchange::Exchange;
pub use negotiate::negotiate;
pub use problem::{problem_response, status};
pub use query::Query;

/// A request of any HTTP version.
pub type Request = ::http::Request<Body>;
/// Its response.
pub type Response = ::http::Response<Body>;
/// The media type that negotiation has chosen: one that the route produces.
pub type Served = &'static str;

/// A response with a body of a media type.
pub fn respond(status: ::http::StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = ::http::HeaderValue::from_static(content_type);
    response.headers_mut().insert(::http::header::CONTENT_TYPE, content_type);
    response
}

pub use axum;
pub use http as types;
pub use http_body;
