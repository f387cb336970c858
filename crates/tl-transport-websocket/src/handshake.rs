//! How a WebSocket begins: over HTTP/1.1 by an upgrade (RFC 6455 §4), over HTTP/2 by an extended
//! CONNECT (RFC 8441).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use tl_transport::http::Response;
use tl_transport::http::types::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tl_transport::http::types::{Method, Request, StatusCode, Version};
use tl_transport::model::{Error, ErrorCode};

/// The response that agrees to a handshake.
///
/// # Errors
///
/// `upgrade_required`, `parameter_invalid`, `method_not_allowed`.
pub fn agree(request: &Request<()>, subprotocol: Option<&'static str>) -> Result<Response, Error> {
    let mut response = match *request.method() {
        Method::CONNECT => agree_http2(request)?,
        // A HEAD is routed like a GET, and opens nothing (RFC 6455 §4.1).
        Method::GET if request.version() >= Version::HTTP_11 => agree_http1(request.headers())?,
        _ => return Err(upgrade_required("a WebSocket is opened by a GET of HTTP/1.1")),
    };
    if let Some(subprotocol) = subprotocol {
        let value = HeaderValue::from_static(subprotocol);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    Ok(response)
}

/// The first of our subprotocols that the client offers; `None` if it offers none at all.
///
/// # Errors
///
/// It offers some, but none of ours.
pub fn subprotocol(
    headers: &HeaderMap,
    ours: &[&'static str],
) -> Result<Option<&'static str>, Error> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = values.filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','));
    let mut has_offers = false;
    let chosen = offered.find_map(|offer| {
        has_offers = true;
        ours.iter().find(|own| **own == offer.trim()).copied()
    });
    if chosen.is_none() && has_offers {
        let detail = format!("the WebSocket subprotocols here are {}", ours.join(" and "));
        return Err(Error::new(ErrorCode::ParameterInvalid, detail));
    }
    Ok(chosen)
}

fn agree_http1(headers: &HeaderMap) -> Result<Response, Error> {
    if !has_token(headers, &CONNECTION, "upgrade") || !has_token(headers, &UPGRADE, "websocket") {
        let detail = "this address speaks WebSocket: connect with ws:// or wss://, and let proxies on \
                      the way pass `Upgrade` and `Connection` on";
        return Err(upgrade_required(detail));
    }
    check_version(headers)?;
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map_or(0, |key| key.len()) != KEY_BYTES {
        let detail = "`Sec-WebSocket-Key` is 16 bytes in base64";
        return Err(Error::new(ErrorCode::ParameterInvalid, detail));
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept(key));
    Ok(response)
}

fn agree_http2(request: &Request<()>) -> Result<Response, Error> {
    let protocol = request.extensions().get::<hyper::ext::Protocol>();
    if protocol.is_none_or(|protocol| protocol.as_str() != "websocket") {
        let detail = "CONNECT is possible here only for the protocol websocket (RFC 8441)";
        return Err(Error::new(ErrorCode::MethodNotAllowed, detail));
    }
    check_version(request.headers())?;
    Ok(Response::default())
}

fn check_version(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get(SEC_WEBSOCKET_VERSION) {
        Some(version) if version == VERSION => Ok(()),
        _ => Err(upgrade_required("the version of WebSocket here is 13")),
    }
}

fn upgrade_required(detail: &'static str) -> Error {
    Error::new(ErrorCode::UpgradeRequired, detail)
}

/// What a refusal says of how to do better (RFC 9110 §15.5.22, RFC 6455 §4.4).
pub fn advise(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
}

/// Proves that the server understood the handshake (RFC 6455 §4.2.2). No secret depends on it.
fn accept(key: &[u8]) -> HeaderValue {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    let text = STANDARD.encode(context.finish());
    // Base64 is legal in any header.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut tokens = values.flat_map(|value| value.split(','));
    tokens.any(|it| it.trim().eq_ignore_ascii_case(token))
}

const VERSION: &str = "13";
const KEY_BYTES: usize = 16;
/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::builder().uri("/v1/session");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_example_of_the_rfc() {
        let response = agree(&request(&GOOD), Some("throughline.v1.json")).expect("agrees");
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "throughline.v1.json");
    }

    #[test]
    fn what_is_no_handshake_is_told_what_is_missing() {
        let code = |headers: &[_]| agree(&request(headers), None).expect_err("refused").code;
        assert_eq!(code(&[]), ErrorCode::UpgradeRequired);
        assert_eq!(code(&GOOD[..2]), ErrorCode::UpgradeRequired);
        assert_eq!(code(&GOOD[..3]), ErrorCode::ParameterInvalid);
        let short = [GOOD[0], GOOD[1], GOOD[2], ("sec-websocket-key", "eA==")];
        assert_eq!(code(&short), ErrorCode::ParameterInvalid);
    }

    #[test]
    fn the_client_chooses_among_our_subprotocols() {
        let ours = ["a", "b"];
        let chosen = |offers: &'static str| {
            subprotocol(request(&[("sec-websocket-protocol", offers)]).headers(), &ours)
        };
        assert_eq!(chosen("x, b, a"), Ok(Some("b")));
        assert!(chosen("x").is_err());
        assert_eq!(subprotocol(&HeaderMap::new(), &ours), Ok(None));
    }
}
