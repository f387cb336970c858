use axum::body::to_bytes;

use tl_engine::{Options, SystemEnvironment};
use tl_model::Epoch;
use tl_store::MemoryStore;

use super::*;
use crate::http::respond;

fn host() -> Host {
    let store = MemoryStore::new(Epoch::from_random(1 << 40));
    let environment = Arc::new(SystemEnvironment);
    let engine = Engine::start(Arc::new(store), environment, Options::default());
    let origins = Origins::new(["https://listed.example".to_owned()]);
    Host::new(engine, origins)
}

/// Two rooms that share an address.
fn service() -> HttpService {
    let mut host = host();
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
    host.route(Route::new(Method::PUT, path, &[], |_| async {
        Err(Error::new(ErrorCode::MethodNotAllowed, "not over this version of HTTP"))
    }));
    host.into_service()
}

async fn ask(method: Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String, String) {
    ask_of(service(), method, path, headers).await
}

async fn ask_of(
    service: HttpService,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, String, String) {
    let mut request = ::http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = service.answer(request).await;
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
    for method in [Method::DELETE, Method::PUT] {
        let (status, headers, _) = ask(method, "/v1/things/x", &[]).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(headers.contains("\"allow\": \"GET, HEAD, OPTIONS, POST, PUT\""), "{headers}");
    }
    let (status, _, body) = ask(Method::GET, "/v1/things/x", &[("accept", "image/png")]).await;
    assert_eq!(status, StatusCode::NOT_ACCEPTABLE);
    assert!(body.contains("application/json, text/event-stream"), "{body}");
    let (status, _, body) = ask(Method::GET, "/v1/things/x?token=secret", &[]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("no parameter `token`") && !body.contains("secret"), "{body}");
}

#[tokio::test]
async fn rooms_see_tags_without_codings() {
    let mut host = host();
    for method in [Method::GET, Method::POST] {
        host.route(Route::new(method, "/tags", &[], |exchange| async move {
            let tags = [exchange.header("if-match")?, exchange.header("if-none-match")?];
            let tags = tags.map(Option::unwrap_or_default).join(" | ");
            Ok(respond(StatusCode::OK, "text/plain", tags.into_bytes()))
        }));
    }
    let service = host.into_service();
    let headers = [
        ("if-match", "\"a-br\", \"b\""),
        ("if-none-match", "W/\"c-gzip\", \"d-zstd\""),
        ("accept-encoding", "gzip"),
    ];
    // What GET is to be compared with is packed in one way.
    for (method, seen) in [
        (Method::GET, "\"a\", \"b\" | W/\"c\", \"d-zstd\""),
        (Method::POST, "\"a\", \"b\" | W/\"c\", \"d\""),
    ] {
        let (_, _, body) = ask_of(service.clone(), method, "/tags", &headers).await;
        assert_eq!(body, seen);
    }
}

#[tokio::test]
async fn every_error_names_its_trace() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let with_origin = |origin| [("traceparent", parent.as_str()), ("origin", origin)];
    for (path, headers) in [
        ("/nowhere", &[("traceparent", parent.as_str())][..]),
        ("/v1/things/x?y=z", &[("traceparent", parent.as_str())]),
        ("/v1/things/x", &with_origin("https://evil.example")),
    ] {
        let (status, headers, body) = ask(Method::GET, path, headers).await;
        assert!(status.is_client_error());
        assert!(body.ends_with(&format!(",\"traceId\":\"{trace}\"}}")), "{body}");
        assert!(headers.contains(&format!("\"content-length\": \"{}\"", body.len())), "{headers}");
    }
    let mut made_up = std::collections::BTreeSet::new();
    for headers in [&[][..], &[("traceparent", "nonsense")]] {
        let (_, _, body) = ask(Method::GET, "/nowhere", headers).await;
        let trace = body.split("\"traceId\":\"").nth(1).expect("a trace").to_owned();
        assert_eq!(trace.len(), 32 + "\"}".len(), "{body}");
        made_up.insert(trace);
    }
    assert_eq!(made_up.len(), 2, "each request has its own");
}

#[tokio::test]
async fn a_deprecated_route_says_so_with_every_answer() {
    let mut host = host();
    let route = |method, path, answer: fn() -> Response| {
        Route::new(method, path, &["text/plain"], move |_| std::future::ready(Ok(answer())))
    };
    let old = |answer| {
        let (since, successor) = (1_688_169_599, "https://throughline.example/v2");
        let deprecation = Deprecation { since, sunset: Some(1_719_791_999), successor };
        route(Method::GET, "/old", answer).deprecated(deprecation)
    };
    host.route(old(|| respond(StatusCode::OK, "text/plain", b"old".to_vec())));
    host.route(route(Method::POST, "/old", Response::default));
    let open = Deprecation { since: 0, sunset: None, successor: "/new" };
    host.route(
        route(Method::GET, "/later", || detached::later(async { problem_response(&not_found()) }))
            .deprecated(open),
    );
    let service = host.into_service();
    for (method, path, told) in [
        (Method::GET, "/old", true),
        (Method::HEAD, "/old", true),
        (Method::POST, "/old", false),
        (Method::OPTIONS, "/old", false),
        (Method::GET, "/later", true),
    ] {
        let (_, headers, _) = ask_of(service.clone(), method.clone(), path, &[]).await;
        assert_eq!(headers.contains("\"deprecation\": \"@"), told, "{method} {path}: {headers}");
        let has_sunset = headers.contains("\"sunset\": \"Sun, 30 Jun 2024 23:59:59 GMT\"");
        assert_eq!(has_sunset, told && path == "/old", "{method} {path}: {headers}");
    }
    let (_, headers, _) = ask_of(service, Method::GET, "/old", &[]).await;
    for told in [
        "\"deprecation\": \"@1688169599\"",
        "\"<https://throughline.example/v2>; rel=\\\"deprecation\\\"\"",
        "\"<https://throughline.example/v2>; rel=\\\"sunset\\\"\"",
    ] {
        assert!(headers.contains(told), "{told} in {headers}");
    }
}

#[tokio::test]
async fn options_says_what_is_possible() {
    let (status, headers, _) = ask(Method::OPTIONS, "/v1/things/x", &[]).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(headers.contains("GET, HEAD, OPTIONS, POST, PUT"), "{headers}");
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
    for allowed in ["DELETE", "PATCH", "PUT", "if-match", "idempotency-key"] {
        assert!(headers.contains(allowed), "{allowed} in {headers}");
    }
}

/// The names in a list that a header of an answer has.
fn listed(response: &Response, header: &str) -> Vec<String> {
    let list = response.headers()[header].to_str().expect("text");
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

/// What the libraries of gRPC-Web and of Connect send from a page, and read.
#[tokio::test]
async fn pages_may_call_by_grpc_web_and_connect() {
    let grpc_web =
        "content-type, grpc-accept-encoding, grpc-encoding, grpc-timeout, x-grpc-web, x-user-agent";
    let connect = "connect-accept-encoding, connect-content-encoding, connect-protocol-version, \
                   connect-timeout-ms, content-encoding, content-type";
    for wanted in [grpc_web, connect] {
        let request = ::http::Request::options("/v1/things/x")
            .header("origin", "https://listed.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", wanted);
        let response = service().answer(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(listed(&response, "access-control-allow-methods").contains(&"POST".to_owned()));
        let allowed = listed(&response, "access-control-allow-headers");
        let refused: Vec<_> =
            wanted.split(", ").filter(|it| !allowed.contains(&(*it).to_owned())).collect();
        assert!(refused.is_empty(), "{refused:?} of {wanted}");
    }
    let request = ::http::Request::post("/v1/things/x").header("origin", "https://listed.example");
    let response = service().answer(request.body(Body::empty()).expect("a request")).await;
    let exposed = listed(&response, "access-control-expose-headers");
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding"] {
        assert!(exposed.contains(&name.to_owned()), "{name}");
    }
    assert!(exposed.contains(&"connect-content-encoding".to_owned()));
}
