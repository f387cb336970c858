//! Whether `docs/openapi.json` describes what the server does, no more and no less.

use std::collections::BTreeSet;

use serde_json::Value;
use tl_model::ErrorCode;
use tl_transport::http::status;
use tl_transport::http::types::Method;
use tl_transport_openapi::DOCUMENT;

use crate::contract;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("the document is JSON")
}

#[tokio::test]
async fn every_route_is_described_and_every_operation_has_a_route() {
    let routes: BTreeSet<_> = contract::methods_and_paths()
        .into_iter()
        .filter(|(method, _)| !has_no_name_in_openapi(method))
        .map(|(method, path)| format!("{} {path}", method.as_str().to_lowercase()))
        .collect();
    let document = document();
    let paths = document["paths"].as_object().expect("there are paths");
    let operations: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |it| (path, it)))
        .filter(|(_, (method, _))| *method != "parameters")
        .map(|(path, (method, _))| format!("{method} {path}"))
        .collect();
    assert_eq!(operations, routes);
}

/// OpenAPI 3.1 can describe eight methods. What others do is told in the document's description.
fn has_no_name_in_openapi(method: &Method) -> bool {
    *method == Method::CONNECT || method.as_str() == "QUERY"
}

#[test]
fn the_document_has_every_error_code() {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(document()["components"]["schemas"]["ErrorCode"]["enum"], Value::from(codes));
}

#[test]
fn every_example_of_an_error_is_what_the_server_says() {
    let document = document();
    let responses = document["components"]["responses"].as_object().expect("there are responses");
    let contents = responses.values().map(|it| &it["content"]["application/problem+json"]);
    let examples = contents.filter_map(|content| content["examples"].as_object()).flatten();
    let mut count = 0;
    for (name, example) in examples {
        let told = &example["value"];
        let code: ErrorCode = told["code"].as_str().expect("a code").parse().expect("it is known");
        assert_eq!(told["title"], code.title(), "{name}");
        assert_eq!(told["retryable"], code.is_retryable(), "{name}");
        assert_eq!(told["status"], status(code).as_u16(), "{name}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn the_document_has_the_version_of_the_server() {
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}
