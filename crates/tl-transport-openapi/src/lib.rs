//! The description of everything the server answers over HTTP.
//!
//! | request | what it answers |
//! | --- | --- |
//! | `GET /v1/openapi.json` | the document, `docs/openapi.json` (OpenAPI 3.1) |
//! | `GET /docs` | a page that shows it, and sends requests from it |
//! | `GET /docs/{file}` | what the page is made of |
//!
//! The document is written by hand and the files are committed: this room only hands them out. The page
//! is Swagger UI, needs no other host, and is held to that by its `Content-Security-Policy`.

mod file;

use std::future::ready;

use tl_transport::http::types::Method;
use tl_transport::http::types::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY};
use tl_transport::http::{Exchange, Response};
use tl_transport::model::{Error, ErrorCode};
use tl_transport::{Host, Route, Transport};

use file::File;

/// The room.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenApi;

/// The document, as it is served.
pub const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

impl Transport for OpenApi {
    fn mount(&self, host: &mut Host) {
        let document = File::new("openapi.json", "application/json", DOCUMENT.as_bytes());
        let read = move |exchange| ready(document.answer(&exchange));
        host.route(Route::new(Method::GET, "/v1/openapi.json", &[], read));
        let page = File::new("page.html", "text/html; charset=utf-8", PAGE);
        let open = move |exchange| ready(open(&page, &exchange));
        host.route(Route::new(Method::GET, "/docs", &[], open));
        let parts = PARTS.map(|(name, content_type, bytes)| File::new(name, content_type, bytes));
        let read = move |exchange| ready(part(&parts, &exchange));
        host.route(Route::new(Method::GET, "/docs/{file}", &[], read));
    }
}

/// The page may load and ask nothing but this server.
fn open(page: &File, exchange: &Exchange) -> Result<Response, Error> {
    let mut response = page.answer(exchange)?;
    let headers = [
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    response.headers_mut().extend(headers);
    Ok(response)
}

fn part(parts: &[File], exchange: &Exchange) -> Result<Response, Error> {
    let part = parts.iter().find(|part| part.name == exchange.param("file"));
    let missing = || Error::new(ErrorCode::NotFound, "the page has no such part; open /docs");
    part.ok_or_else(missing)?.answer(exchange)
}

/// Swagger UI draws its icons from `data:` addresses in its style sheet; it needs no other exception.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const PAGE: &[u8] = include_bytes!("../page/page.html");

/// What the page is made of, by name: its own beginning, and Swagger UI with its licences.
const PARTS: [(&str, &str, &[u8]); 6] = [
    ("LICENSE", TEXT, include_bytes!("../page/swagger-ui/LICENSE")),
    ("NOTICE", TEXT, include_bytes!("../page/swagger-ui/NOTICE")),
    ("page.js", SCRIPT, include_bytes!("../page/page.js")),
    ("swagger-ui-bundle.js", SCRIPT, include_bytes!("../page/swagger-ui/swagger-ui-bundle.js")),
    (
        "swagger-ui-bundle.js.LICENSE.txt",
        TEXT,
        include_bytes!("../page/swagger-ui/swagger-ui-bundle.js.LICENSE.txt"),
    ),
    ("swagger-ui.css", "text/css", include_bytes!("../page/swagger-ui/swagger-ui.css")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests;
