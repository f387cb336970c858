use axum::body::to_bytes;

use tl_engine::{Options, SystemEnvironment};
use tl_model::Epoch;
use tl_store::MemoryStore;

use super::*;
use crate::http::respond;

/// Two rooms that share an address.
fn service() -> HttpService {
    let store = MemoryStore::new(Epoch::from_random(1 << 40));
    let environment = Arc::new(SystemEnvironment);
    let engine = Engine::start(Arc::new(store), environment, Options::default());
    let origins = Origins::new(["https://listed.example".to_owned()]);
    let mut host = Host::new(engine, origins);
    let path = "/v1/things/{thing}";
    host.route(Route::new(Method::GET, path, &["application/json"], |exchange| async move {
        exchange.query().finish()?;
        let body = exchange.param("thing").as_bytes().to_vec();
        Ok(respond(StatusCode::OK, "application/json", body))
    }));
    host.route(Route::new(Method::GET, path, &["text/event-stream"], |_| async {
        Ok(respond(StatusCode::OK, "text/event-stream", b"stream".to_vec()))
    }));
    host.route(Route::new(Method::POST, path, &[], |exchange| async move {
        let has_deadline = exchange.call.deadline.is_some();
        Ok(respond(StatusCode::OK, "text/plain", has_deadline.to_string().into_bytes()))
    }));
    host.into_service()
}

async fn ask(method: Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String, String) {
    let mut request = ::http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = service().answer(request).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("text");
    (parts.status, format!("{:?}", parts.headers), body)
}

#[tokio::test]
async fn method_path_and_media_type_choose_the_room() {
    let path = "/v1/things/a%2Fb";
    let (status, _, body) = ask(Method::GET, path, &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "a/b"));
    let (_, _, body) = ask(Method::GET, path, &[("accept", "text/event-stream")]).await;
    assert_eq!(body, "stream");
    let (status, headers, body) = ask(Method::HEAD, path, &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
    assert!(headers.contains("\"content-length\": \"3\""), "as a GET would have it: {headers}");
}

#[tokio::test]
async fn what_cannot_be_is_told_in_one_form() {
    let (status, headers, body) = ask(Method::GET, "/nowhere", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(headers.contains("application/problem+json"), "{headers}");
    assert!(body.contains("\"code\":\"not_found\""), "{body}");
    let (status, headers, _) = ask(Method::DELETE, "/v1/things/x", &[]).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(headers.contains("\"allow\": \"GET, HEAD, OPTIONS, POST\""), "{headers}");
    let (status, _, body) = ask(Method::GET, "/v1/things/x", &[("accept", "image/png")]).await;
    assert_eq!(status, StatusCode::NOT_ACCEPTABLE);
    assert!(body.contains("application/json, text/event-stream"), "{body}");
    let (status, _, body) = ask(Method::GET, "/v1/things/x?token=secret", &[]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("no parameter `token`") && !body.contains("secret"), "{body}");
}

#[tokio::test]
async fn options_says_what_is_possible() {
    let (status, headers, _) = ask(Method::OPTIONS, "/v1/things/x", &[]).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(headers.contains("GET, HEAD, OPTIONS, POST"), "{headers}");
}

#[tokio::test]
async fn a_request_timeout_becomes_the_deadline() {
    for seconds in ["2.5", "0", "1e300"] {
        let headers = [("request-timeout", seconds)];
        let (_, _, body) = ask(Method::POST, "/v1/things/x", &headers).await;
        assert_eq!(body, "true", "{seconds}");
    }
    for nonsense in ["soon", "-1", "NaN"] {
        let headers = [("request-timeout", nonsense)];
        let (status, _, _) = ask(Method::POST, "/v1/things/x", &headers).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{nonsense}");
    }
}

#[tokio::test]
async fn only_listed_origins_and_the_servers_own_may_ask() {
    let get = async |origin: &str| {
        let headers = [("origin", origin), ("host", "server.example")];
        let (status, headers, _) = ask(Method::GET, "/v1/things/x", &headers).await;
        (status, headers.contains("access-control-allow-origin"))
    };
    assert_eq!(get("https://listed.example").await, (StatusCode::OK, true));
    assert_eq!(get("http://server.example").await, (StatusCode::OK, true));
    assert_eq!(get("https://evil.example").await, (StatusCode::FORBIDDEN, false));
    assert_eq!(get("null").await, (StatusCode::FORBIDDEN, false));
    let headers = [("origin", "https://listed.example"), ("access-control-request-method", "POST")];
    let (status, headers, _) = ask(Method::OPTIONS, "/v1/things/x", &headers).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(headers.contains("access-control-allow-methods"), "{headers}");
}
