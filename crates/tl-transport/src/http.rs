//! HTTP as rooms see it: one request and what belongs to it.

mod bare;
mod body;
mod coding;
pub mod detached;
mod exchange;
mod negotiate;
pub(crate) mod pack;
mod problem;
mod query;
mod tags;
pub(crate) mod unpack;
mod vary;

use axum::body::Body;

pub use bare::{Framing, serve_stream};
pub use body::{Room, Taken};
pub(crate) use coding::Coding;
pub use exchange::Exchange;
pub use negotiate::negotiate;
pub(crate) use pack::pack;
pub(crate) use problem::Refused;
pub use problem::{problem_response, status};
pub use query::Query;
pub(crate) use tags::{coded, uncoded};
pub(crate) use vary::vary;

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
