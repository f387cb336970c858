//! What operators are told.

use tl_transport::wire::call::decode;
use tl_transport::wire::generated::throughline::v1 as contract;

use super::*;

const STATUS: &str = "/throughline.v1.AdminService/GetServerStatus";

#[tokio::test]
async fn a_server_tells_how_it_is() {
    let kit = kit();
    let first = kit.publish("a", "1", "x").await;
    let last = kit.publish("a", "2", "y").await;
    let (code, status) = query(&kit, STATUS, &json!({})).await;
    assert_eq!(code, StatusCode::OK, "{status}");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(last.cursor().starts_with(status["epoch"].as_str().expect("an epoch")));
    assert_eq!(status["latest"], last.cursor().as_str());
    assert_eq!((&status["eventsLogged"], &status["batchesLogged"]), (&json!("2"), &json!("2")));
    let read = json!({"channels": ["a"], "after": status["earliest"]});
    let (_, page) = call(&kit, &format!("{EVENTS}/Read"), &read).await;
    assert_eq!(page["events"][0]["cursor"], first.cursor().as_str(), "all that is kept");
    assert_eq!(status["draining"], Value::Null);
    kit.engine.drain();
    let headers = [("content-type", "application/proto")];
    let answer = kit.ask(Method::POST, STATUS, &headers, "").await;
    let status: contract::GetServerStatusResponse =
        decode(Form::Protobuf, &answer.body).expect("reads");
    assert!(status.draining);
    assert_eq!(status.reads, 1);
}
