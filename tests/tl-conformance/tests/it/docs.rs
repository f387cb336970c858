//! The page that shows the description of HTTP, in a real browser.

use serde_json::{Value, json};

use tl_client::Draft;
use tl_conformance::{Program, RunningServer, ServerOptions};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_every_operation_and_sends_requests_to_this_server_only() {
    let server = RunningServer::start(&ServerOptions::default());
    let draft = Draft { id: Some("seen".into()), ..Draft::default() };
    server.client().publish("orders.eu", &draft).await.expect("a receipt");
    let mut browser = Program::node("docs.js");
    let shown = browser.call("open", json!([format!("{}/docs", server.url())]));
    for operation in ["publishToChannel", "readChannel", "readEvent", "isReady", "describe"] {
        assert!(shown.as_array().expect("a list").contains(&json!(operation)), "{shown}");
    }
    let answer = browser.call("tryOut", json!(["readChannel", {"channel": "orders.eu"}]));
    assert_eq!(answer["status"], 200, "{answer}");
    assert!(answer["body"].as_str().is_some_and(|body| body.contains("\"seen\"")), "{answer}");
    if let Some(path) = std::env::var_os("DOCS_PICTURE") {
        browser.call("picture", json!([path.to_string_lossy()]));
    }
    let requests = browser.call("requests", json!([]));
    let is_own = |url: &Value| {
        let url = url.as_str().expect("an address");
        url.starts_with(&format!("{}/", server.url())) || url.starts_with("data:")
    };
    assert!(requests.as_array().expect("a list").iter().all(is_own), "{requests}");
    assert_eq!(browser.call("complaints", json!([])), json!([]), "its policy is kept");
}
