//! `/v1/schemas`: what events of a type look like.

use tl_transport::Bytes;
use tl_transport::engine::{NewSchema, PutSchema, SchemaKind, SchemaVersion};
use tl_transport::http::types::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION,
};
use tl_transport::http::types::{Method, StatusCode};
use tl_transport::http::{Exchange, Response, respond};
use tl_transport::model::limits::SCHEMA_BYTES_MAX;
use tl_transport::model::{Error, ErrorCode, content_type};
use tl_transport::wire::page::JSON;
use tl_transport::wire::schemas as wire;
use tl_transport::{Host, Route};

use crate::event::is_known;
use crate::write;

pub(crate) fn mount(host: &mut Host) {
    let one = "/v1/schemas/{type}";
    host.route(Route::new(Method::GET, "/v1/schemas", &[JSON], list));
    host.route(Route::new(Method::GET, one, &[], read));
    host.route(Route::new(Method::PUT, one, &[], put).taking(TAKES));
    host.route(Route::new(Method::GET, "/v1/schemas/{type}/versions/{version}", &[], read_version));
    let check = Route::new(Method::POST, "/v1/schemas/{type}/check", &[], check);
    host.route(check.taking(TAKES));
}

async fn list(exchange: Exchange) -> Result<Response, Error> {
    exchange.query().finish()?;
    let schemas = exchange.engine.schemas().into_iter().map(|it| {
        let SchemaVersion { event_type, version, kind, message, time, .. } = it;
        let (event_type, kind) = (event_type.to_string(), kind.to_string());
        wire::SchemaVersion { event_type, version, kind, message, time: Some(time) }
    });
    let mut response = respond(StatusCode::OK, JSON, wire::many(schemas.collect()));
    response.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    Ok(response)
}

async fn read(exchange: Exchange) -> Result<Response, Error> {
    respond_with(exchange, None).await
}

async fn read_version(exchange: Exchange) -> Result<Response, Error> {
    let version = exchange.param("version").parse().map_err(|_| {
        Error::new(ErrorCode::ParameterInvalid, "a version is a number, counted from 1")
    })?;
    respond_with(exchange, Some(version)).await
}

/// The schema as it was put.
async fn respond_with(exchange: Exchange, version: Option<u32>) -> Result<Response, Error> {
    exchange.query().finish()?;
    let event_type = exchange.param("type");
    let (found, source) = exchange.engine.schema(&exchange.call, event_type, version).await?;
    let tag = tag(found.version);
    if is_known(exchange.headers(), &tag) {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().extend([(ETAG, tag), (CACHE_CONTROL, NO_CACHE)]);
        return Ok(response);
    }
    let mut response = respond(StatusCode::OK, found.kind.content_type(), source.to_vec());
    let headers = response.headers_mut();
    headers.extend([(ETAG, tag), (CACHE_CONTROL, NO_CACHE)]);
    // The names of messages are plain text.
    let message = found.message.and_then(|message| HeaderValue::from_str(&message).ok());
    headers.extend(message.map(|message| (MESSAGE, message)));
    Ok(response)
}

/// 201 for a new version, 200 if it is the same as the latest.
async fn put(mut exchange: Exchange) -> Result<Response, Error> {
    let new = new_schema(&mut exchange).await?;
    let put = exchange.engine.put_schema(&exchange.call, new.clone()).await?;
    let mut response = told(&new, put);
    if put.is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    let location = format!("{}/versions/{}", exchange.request.uri().path(), put.version);
    let location = HeaderValue::from_str(&location).ok();
    response.headers_mut().extend(location.map(|location| (LOCATION, location)));
    Ok(response)
}

async fn check(mut exchange: Exchange) -> Result<Response, Error> {
    let new = new_schema(&mut exchange).await?;
    let put = exchange.engine.check_schema(&exchange.call, new.clone()).await?;
    Ok(told(&new, put))
}

fn told(new: &NewSchema, put: PutSchema) -> Response {
    let (event_type, kind) = (new.event_type.clone(), new.kind.to_string());
    let (version, message) = (put.version, new.message.clone());
    let body = wire::one(&wire::SchemaVersion { event_type, version, kind, message, time: None });
    let mut response = respond(StatusCode::OK, JSON, body);
    response.headers_mut().insert(ETAG, tag(version));
    response
}

async fn new_schema(exchange: &mut Exchange) -> Result<NewSchema, Error> {
    let mut query = exchange.query();
    let message = query.one("message")?;
    query.finish()?;
    let event_type = exchange.param("type").to_owned();
    let kind = kind(exchange)?;
    let source: Bytes = exchange.body(SCHEMA_BYTES_MAX).await?;
    let condition = write::precondition(exchange.headers(), version)?;
    Ok(NewSchema { event_type, kind, message, source, condition })
}

fn kind(exchange: &Exchange) -> Result<SchemaKind, Error> {
    let content_type = exchange.header(CONTENT_TYPE.as_str())?.map(content_type::essence);
    content_type.and_then(SchemaKind::of).ok_or_else(|| {
        let names = SchemaKind::ALL.map(SchemaKind::content_type).join(", ");
        let detail = format!("the `Content-Type` of a schema is one of {names}");
        Error::new(ErrorCode::MediaTypeUnsupported, detail)
    })
}

/// A version never changes, so its number validates it.
fn tag(version: u32) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits are legal in any header")
}

/// The version that an entity tag names.
fn version(tag: &str) -> Option<u32> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// What a schema may be written in.
const TAKES: &[&str] =
    &["application/schema+json", JSON, "text/x-protobuf", "application/x-protobuf"];
const NO_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");
/// The protobuf message that is meant.
const MESSAGE: HeaderName = HeaderName::from_static("schema-message");
