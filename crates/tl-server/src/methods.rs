//! What every address answers to every method, looked for at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tl_engine::{Engine, Options, SystemEnvironment};
use tl_model::Epoch;
use tl_store::MemoryStore;
use tl_transport::HttpService;
use tl_transport::http::Response;
use tl_transport::http::axum::body::Body;
use tl_transport::http::types::{Method, Request, StatusCode};

use crate::{Config, server};

/// The server, and the methods of each of its paths.
fn addresses() -> (HttpService, BTreeMap<&'static str, BTreeSet<String>>) {
    let store = Arc::new(MemoryStore::new(Epoch::from_random(1)));
    let engine = Engine::start(store, Arc::new(SystemEnvironment), Options::default());
    let host = server::host(&Config::default(), &engine);
    let mut addresses: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for route in host.routes() {
        addresses.entry(route.path).or_default().insert(route.method.to_string());
    }
    (host.into_service(), addresses)
}

async fn ask(service: &HttpService, method: &str, path: &str) -> Response {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let path = path.replace(['{', '}'], "");
    let request = Request::builder().method(method).uri(path).body(Body::empty());
    service.clone().answer(request.expect("a request")).await
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[tokio::test]
async fn every_address_says_what_is_possible_there() {
    let (service, addresses) = addresses();
    for (path, mut methods) in addresses {
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        methods.insert("OPTIONS".to_owned());
        let all: Vec<_> = methods.iter().map(String::as_str).collect();
        let allow = all.join(", ");
        let options = ask(&service, "OPTIONS", path).await;
        assert_eq!(options.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(header(&options, "allow"), allow, "{path}");
        let others = METHODS.iter().filter(|method| !methods.contains(**method));
        for method in others {
            let refused = ask(&service, method, path).await;
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(header(&refused, "allow"), allow, "{method} {path}");
            assert_eq!(header(&refused, "content-type"), "application/problem+json");
        }
    }
}

#[tokio::test]
async fn head_answers_everywhere_what_get_does() {
    let (service, addresses) = addresses();
    let readable = addresses.iter().filter(|(_, methods)| methods.contains("GET"));
    for (path, _) in readable {
        let (get, head) = (ask(&service, "GET", path).await, ask(&service, "HEAD", path).await);
        assert_eq!(head.status(), get.status(), "{path}");
        if get.status() == StatusCode::UPGRADE_REQUIRED {
            // The reason is another one: no session is opened with HEAD, whatever goes with it.
            continue;
        }
        for name in ["content-type", "content-length", "cache-control", "etag", "vary"] {
            assert_eq!(header(&head, name), header(&get, name), "{path}: {name}");
        }
    }
}

/// All that are in use, and one that is not.
const METHODS: &[&str] =
    &["BREW", "CONNECT", "DELETE", "GET", "HEAD", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
