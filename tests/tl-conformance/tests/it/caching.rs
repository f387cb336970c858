//! Pages through a shared cache: a real nginx, set up as docs/rest.md says.

use http::{HeaderMap, StatusCode};
use reqwest::Response;
use tl_client::{Client, ClientBuilder, Draft};
use tl_conformance::Nginx;
use tl_server::{Config, Server};

struct Cached {
    server: Server,
    nginx: Nginx,
    client: Client,
}

impl Cached {
    /// In this process, so that what the server's log is asked for can be counted.
    async fn start() -> Self {
        let mut config = Config::default();
        config.listen.addresses = vec!["127.0.0.1:0".parse().expect("an address")];
        config.store.kind = tl_server::config::StoreKind::Memory;
        let server = Server::start(config).await.expect("it starts");
        let nginx = Nginx::start_caching(server.addresses()[0].port());
        let client = ClientBuilder::new(nginx.url()).build().expect("the address is legal");
        Self { server, nginx, client }
    }

    async fn publish(&self) -> String {
        let draft = Draft { data: Some("x".repeat(200).into()), ..Draft::default() };
        self.client.publish("a", &draft).await.expect("a receipt").cursor
    }

    async fn get(&self, query: &str, headers: &[(&'static str, &str)]) -> Response {
        let url = format!("{}/v1/channels/a/events?{query}", self.nginx.url());
        let request = headers.iter().fold(self.client.http().get(url), |request, (name, value)| {
            request.header(*name, *value)
        });
        request.send().await.expect("an answer")
    }

    fn reads(&self) -> u64 {
        self.server.engine().stats().reads
    }
}

fn from(headers: &HeaderMap) -> &str {
    headers.get("x-cache").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_pages_of_the_past_come_from_the_cache_in_every_form() {
    let cached = Cached::start().await;
    let first = cached.publish().await;
    for _ in 0..10 {
        cached.publish().await;
    }
    let past = format!("after={first}&limit=9");
    let forms = [
        [("accept", "application/json"), ("accept-encoding", "")],
        [("accept", "application/json"), ("accept-encoding", "gzip")],
        [("accept", "application/protobuf"), ("accept-encoding", "zstd")],
    ];
    let mut bodies = Vec::new();
    for form in &forms {
        let page = cached.get(&past, form).await;
        assert_eq!(from(page.headers()), "MISS", "{form:?}");
        bodies.push((page.headers()["etag"].clone(), page.bytes().await.expect("a body")));
    }
    let reads = cached.reads();
    for (form, (tag, body)) in forms.iter().zip(bodies) {
        let page = cached.get(&past, form).await;
        assert_eq!((from(page.headers()), &page.headers()["etag"]), ("HIT", &tag), "{form:?}");
        assert_eq!(page.bytes().await.expect("a body"), body, "{form:?}");
    }
    assert_eq!(cached.reads(), reads, "the server is not asked");
    for moving in [format!("after={first}"), "limit=9".to_owned(), "after=latest".to_owned()] {
        for _ in 0..2 {
            let page = cached.get(&moving, &[]).await;
            assert_eq!(from(page.headers()), "MISS", "{moving}");
        }
    }
    cached.publish().await;
    let page = cached.get(&format!("after={first}"), &[]).await.text().await.expect("text");
    assert_eq!(page.matches("\"id\":").count(), 11, "nothing new is missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_made_for_credentials_is_served_to_nobody_else() {
    let cached = Cached::start().await;
    let first = cached.publish().await;
    for _ in 0..3 {
        cached.publish().await;
    }
    let path = format!("after={first}&limit=1");
    let (ann, bob) = (("authorization", "Bearer ann"), ("cookie", "session=bob"));
    for _ in 0..2 {
        for credentials in [ann, bob] {
            let page = cached.get(&path, &[credentials]).await;
            assert_eq!(from(page.headers()), "MISS", "{credentials:?}");
        }
    }
    assert_eq!(from(cached.get(&path, &[]).await.headers()), "MISS", "theirs was not kept");
    assert_eq!(from(cached.get(&path, &[]).await.headers()), "HIT");
    for credentials in [ann, bob] {
        let page = cached.get(&path, &[credentials]).await;
        assert_eq!(from(page.headers()), "MISS", "{credentials:?} is not given everybody's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_polls_through_a_cache_read_no_log() {
    let cached = Cached::start().await;
    for _ in 0..10 {
        cached.publish().await;
    }
    for coding in ["", "gzip"] {
        let page = cached.get("", &[("accept-encoding", coding)]).await;
        let tag = page.headers()["etag"].to_str().expect("text").to_owned();
        let reads = cached.reads();
        for _ in 0..20 {
            let headers = [("accept-encoding", coding), ("if-none-match", tag.as_str())];
            let poll = cached.get("", &headers).await;
            assert_eq!(poll.status(), StatusCode::NOT_MODIFIED, "{coding}");
            assert_eq!(poll.headers()["etag"], tag);
        }
        assert_eq!(cached.reads(), reads, "{coding}");
    }
}
