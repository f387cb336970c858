use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connectrpc::client::ClientConfig as CallConfig;
use reqwest::header::{CONTENT_TYPE, IF_NONE_MATCH};
use reqwest::{Response, StatusCode, Url};
use rustls::ClientConfig;

use tl_model::limits::HTTP2_STREAMS_MAX;
use tl_model::{Form, IdempotencyKey, Position};
use tl_wire::draft::{Draft, Received};
use tl_wire::generated::throughline::v1::Receipt;
use tl_wire::{http_binding, page, receipts};

use crate::answer::{accepted, accepted_after, body};
use crate::error::ClientError;
use crate::protocol::Protocol;
use crate::rpc::{self, EventService};
use crate::session::Session;
use crate::subscription::{Subscribe, Subscription};
use crate::tls;
use crate::write::{ChangeOptions, Condition};

/// A server, seen by a client. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    /// For what cannot do with HTTP/1.1.
    pub(crate) http2: reqwest::Client,
    pub(crate) base: Url,
    pub(crate) calls: CallConfig,
    pub(crate) tls: Arc<ClientConfig>,
    http2_only: bool,
    publishes_over: Protocol,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    url: String,
    ca_file: Option<PathBuf>,
    http2_only: bool,
}

/// How events are to be published.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// All or none.
    pub atomic: bool,
    /// Pass them on without logging them.
    pub ephemeral: bool,
    /// What must be true of the channel.
    pub condition: Condition,
    /// The request's name. With it, the client repeats the request by itself if it cannot know what
    /// has become of it, or the server cannot take it right now; it has its effect once.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A page of events, as a client received it.
#[derive(Clone, Debug)]
pub struct Page {
    /// Events missed for good: where reading had been, and where it goes on.
    pub gap: Option<(Position, Position)>,
    /// The events.
    pub events: Vec<Received>,
    /// Where the next page begins.
    pub next: Position,
    /// Whether the log had nothing more.
    pub caught_up: bool,
    /// When the server would like to be asked again.
    pub poll_again_in: Option<Duration>,
    /// Validates the page: give it back, and an unchanged page is not sent again.
    pub etag: Option<String>,
}

impl ClientBuilder {
    /// A client for the server at an address such as `http://127.0.0.1:8080`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ca_file: None, http2_only: false }
    }

    /// Also trusts the certificates in a file, in PEM.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Speaks HTTP/2 only, without asking first.
    #[must_use]
    pub fn http2_only(mut self) -> Self {
        self.http2_only = true;
        self
    }

    /// Makes the client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The address or the certificate file cannot be used.
    pub fn build(self) -> Result<Client, ClientError> {
        let base = Url::parse(&self.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.ok_or_else(|| {
            let text = format!("`{}` is not an address such as http://127.0.0.1:8080", self.url);
            ClientError::Address(text)
        })?;
        let tls = Arc::new(tls::config(self.ca_file.as_deref())?);
        let (http2_only, publishes_over) = (self.http2_only, Protocol::default());
        let (http, http2) = connections(&tls, http2_only)?;
        let calls = rpc::config(&base)?;
        Ok(Client { http, http2, base, calls, tls, http2_only, publishes_over })
    }
}

impl Client {
    /// A client for the server at an address such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    ///
    /// The address cannot be used.
    pub fn new(url: impl Into<String>) -> Result<Self, ClientError> {
        ClientBuilder::new(url).build()
    }

    /// A client for the same server that shares no connections with this one. Over HTTP/2, clones
    /// share one, and with it its limits.
    ///
    /// # Errors
    ///
    /// The system allows no more.
    pub fn apart(&self) -> Result<Self, ClientError> {
        let (http, http2) = connections(&self.tls, self.http2_only)?;
        Ok(Self { http, http2, ..self.clone() })
    }

    /// The same client, with [`Client::publish`] and [`Client::publish_batch`] over this protocol.
    #[must_use]
    pub fn over(&self, protocol: Protocol) -> Self {
        Self { publishes_over: protocol, ..self.clone() }
    }

    /// Publishes one event, and waits until it is as safe as the channel's rules say.
    ///
    /// # Errors
    ///
    /// The server refused it, or could not be reached; then it may have been logged all the same.
    pub async fn publish(&self, channel: &str, event: &Draft) -> Result<Receipt, ClientError> {
        let options = PublishOptions::default();
        if let Some(protocol) = self.publishes_over.of_calls() {
            let calls = EventService::new(self, protocol);
            let receipt = calls.publish(channel, std::slice::from_ref(event), options).await?.pop();
            return receipt.ok_or_else(|| ClientError::Protocol("there is no receipt".into()));
        }
        let body = serde_json_bytes(event)?;
        let content_type = "application/cloudevents+json";
        let body = self.post(channel, content_type, body, options).await?;
        receipts::read_one(&body).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    /// Publishes one event whose data is the body of the request, with nothing around it: the
    /// CloudEvents HTTP binding in binary mode. This is always plain HTTP.
    ///
    /// # Errors
    ///
    /// The server refused it, or could not be reached; then it may have been logged all the same.
    pub async fn publish_raw(
        &self,
        channel: &str,
        id: &str,
        content_type: &str,
        data: Bytes,
    ) -> Result<Receipt, ClientError> {
        let url = self.url(&format!("/v1/channels/{channel}/events"));
        let id = http_binding::escape(id);
        let request = self.http.post(url).header(CONTENT_TYPE, content_type);
        let request = request.header("ce-specversion", "1.0").header("ce-id", id).body(data);
        let body = body(accepted(request).await?).await?;
        receipts::read_one(&body).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    /// Publishes several events at once. There is one receipt for each, in order, with an error in
    /// those that were refused. With an idempotency key the batch is sent again, a few times, if it
    /// was not answered.
    ///
    /// # Errors
    ///
    /// The batch as a whole was refused, or the server could not be reached; then it may have been
    /// logged all the same. With an idempotency key it can be published again to find out. A call is
    /// refused as a whole if none of its events is published, with what is wrong with the first.
    pub async fn publish_batch(
        &self,
        channel: &str,
        events: &[Draft],
        options: PublishOptions,
    ) -> Result<Vec<Receipt>, ClientError> {
        if let Some(protocol) = self.publishes_over.of_calls() {
            return EventService::new(self, protocol).publish(channel, events, options).await;
        }
        let mut body = Vec::new();
        for event in events {
            body.extend_from_slice(&serde_json_bytes(event)?);
            body.push(b'\n');
        }
        let body = self.post(channel, page::NDJSON, body, options).await?;
        let receipts = receipts::read_many(&body);
        receipts
            .map(|receipts| receipts.receipts)
            .map_err(|error| ClientError::Protocol(error.to_string()))
    }

    /// Reads from a cursor over a transport, reconnecting by itself.
    pub fn subscribe(&self, subscribe: Subscribe) -> Subscription {
        Subscription::start(self.clone(), subscribe)
    }

    /// Opens a two-way session to publish over.
    ///
    /// # Errors
    ///
    /// The server could not be reached.
    pub async fn session(&self, form: Form) -> Result<Session, ClientError> {
        Session::open(self, form).await
    }

    /// Asks for a page. `None` if it has not changed since `etag`.
    ///
    /// # Errors
    ///
    /// The server refused, or could not be reached.
    pub async fn page(
        &self,
        channels: &[String],
        after: &str,
        wait: Option<Duration>,
        etag: Option<&str>,
    ) -> Result<Option<Page>, ClientError> {
        let mut url = self.events_url(channels, after);
        if let Some(wait) = wait {
            url.query_pairs_mut().append_pair("wait", &wait.as_secs().to_string());
        }
        let mut request = self.http.get(url);
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = accepted_after(wait.unwrap_or_default(), request).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        read_page(response).await.map(Some)
    }

    /// The HTTP client below, for requests that have no method here.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        url
    }

    /// The address of the events of some channels, from a place on.
    pub(crate) fn events_url(&self, channels: &[String], after: &str) -> Url {
        self.page_url("/v1/events", channels, after)
    }

    pub(crate) fn page_url(&self, path: &str, channels: &[String], after: &str) -> Url {
        let mut url = self.url(path);
        let mut query = url.query_pairs_mut();
        for channel in channels {
            query.append_pair("channel", channel);
        }
        query.append_pair("after", after);
        drop(query);
        url
    }

    async fn post(
        &self,
        channel: &str,
        content_type: &'static str,
        body: Vec<u8>,
        options: PublishOptions,
    ) -> Result<Bytes, ClientError> {
        let mut url = self.url(&format!("/v1/channels/{channel}/events"));
        if options.atomic {
            url.query_pairs_mut().append_pair("atomic", "true");
        }
        if options.ephemeral {
            url.query_pairs_mut().append_pair("ephemeral", "true");
        }
        let request = self.http.post(url).header(CONTENT_TYPE, content_type).body(body);
        let PublishOptions { condition, idempotency_key, .. } = options;
        self.write(request, &ChangeOptions { condition, idempotency_key }).await
    }
}

/// Connections, none of which is made yet: those of all requests, and those over HTTP/2.
fn connections(
    tls: &ClientConfig,
    http2_only: bool,
) -> Result<(reqwest::Client, reqwest::Client), ClientError> {
    let http2 = connecting(tls, &[b"h2"]).http2_prior_knowledge().build()?;
    let http = match http2_only {
        true => http2.clone(),
        false => connecting(tls, &[b"h2", b"http/1.1"]).build()?,
    };
    Ok((http, http2))
}

fn connecting(tls: &ClientConfig, protocols: &[&[u8]]) -> reqwest::ClientBuilder {
    let mut tls = tls.clone();
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(STREAM_WINDOW_BYTES * HTTP2_STREAMS_MAX)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_INTERVAL)
}

/// The page that a response holds.
pub(crate) async fn read_page(response: Response) -> Result<Page, ClientError> {
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let seconds = header("poll-interval").and_then(|text| text.parse().ok());
    let poll_again_in = seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
    let etag = header("etag");
    let body = body(response).await?;
    let page = page::read(&body).map_err(|error| ClientError::Protocol(error.to_string()))?;
    let page::ReceivedPage { gap, events, next, caught_up } = page;
    Ok(Page { gap, events, next, caught_up, poll_again_in, etag })
}

fn serde_json_bytes(event: &Draft) -> Result<Vec<u8>, ClientError> {
    tl_wire::json::write(event).map_err(|error| ClientError::Protocol(error.to_string()))
}

/// Long enough for a slow network, short enough for somebody who waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// At a round trip of 50 ms this is 2.5 MB a second. A connection has it once for each of its streams:
/// those that are full of what nobody takes do not hold up the others.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// How soon it is noticed that the peer of an HTTP/2 connection in use is gone: after twice that.
const PING_INTERVAL: Duration = Duration::from_secs(20);
