//! Answers to requests. For none does a client wait longer than a server that is there is silent: the
//! network can lose a server without a word, and the HTTP client a request.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Body, RequestBuilder, Response, StatusCode};

use tl_model::limits::BODY_TIMEOUT;
use tl_wire::problem;

use crate::error::ClientError;

/// The head of the answer to a request, unless it tells an error.
pub(crate) async fn accepted(request: RequestBuilder) -> Result<Response, ClientError> {
    accepted_after(Duration::ZERO, request).await
}

/// The same for a request that the server holds for a while.
pub(crate) async fn accepted_after(
    held: Duration,
    request: RequestBuilder,
) -> Result<Response, ClientError> {
    let (http, request) = request.build_split();
    let request = request?;
    let bytes = request.body().and_then(Body::as_bytes).map_or(0, <[u8]>::len);
    let held = held.saturating_add(upload_time(bytes));
    let response = held_in_time(held, http.execute(request)).await?;
    let status = response.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    let body = body(response).await?;
    Err(match problem::read(&body) {
        Some(error) => ClientError::Refused(error),
        // Not this server's own words: a proxy before it cannot reach it.
        None if status.is_server_error() => ClientError::Connection(format!("status {status}")),
        None => ClientError::Protocol(format!("status {status}")),
    })
}

/// The rest of an answer.
pub(crate) async fn body(mut response: Response) -> Result<Bytes, ClientError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = in_time(response.chunk()).await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Waits for what the server sends next, no longer than it is silent.
pub(crate) async fn in_time<T, E: Into<ClientError>>(
    what: impl Future<Output = Result<T, E>>,
) -> Result<T, ClientError> {
    held_in_time(Duration::ZERO, what).await
}

/// The same for something that the server, or the network, holds for a while.
pub(crate) async fn held_in_time<T, E: Into<ClientError>>(
    held: Duration,
    what: impl Future<Output = Result<T, E>>,
) -> Result<T, ClientError> {
    let came = tokio::time::timeout(held.saturating_add(SILENCE_MAX), what).await;
    came.map_err(|_| ClientError::Connection("no answer in time".into()))?.map_err(Into::into)
}

/// What a body may take on its way, beside the time for an answer: if it is large, all that the server
/// gives it.
pub(crate) fn upload_time(bytes: usize) -> Duration {
    if bytes > BODY_BYTES_SMALL { BODY_TIMEOUT } else { Duration::ZERO }
}

/// Longer than any server leaves between two heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// It comes within the time for an answer over any network.
const BODY_BYTES_SMALL: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use crate::{Client, Draft, Protocol};

    use super::*;

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        // Over HTTP/2 its pings would notice.
        for protocol in [Protocol::Http, Protocol::GrpcWeb, Protocol::Connect] {
            let (client, _server) = falls_silent().await;
            let start = Instant::now();
            let lost = client.over(protocol).publish("orders", &Draft::default()).await;
            assert!(matches!(lost, Err(ClientError::Connection(_))), "{protocol:?}: {lost:?}");
            let waited = start.elapsed();
            assert!(waited >= SILENCE_MAX && waited < SILENCE_MAX * 2, "{protocol:?}: {waited:?}");
            tokio::time::resume();
        }
    }

    #[tokio::test]
    async fn a_large_body_may_take_its_time() {
        let (client, _server) = falls_silent().await;
        let (start, data) = (Instant::now(), vec![0; 1024 * 1024]);
        let lost = client.publish_raw("orders", "1", "x/y", data.into()).await;
        assert!(matches!(lost, Err(ClientError::Connection(_))), "{lost:?}");
        assert!(start.elapsed() >= SILENCE_MAX + BODY_TIMEOUT, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_page_that_the_server_holds_is_waited_for() {
        let (client, _server) = falls_silent().await;
        let (start, wait) = (Instant::now(), SILENCE_MAX * 2);
        let lost = client.page(&["orders".into()], "latest", Some(wait), None).await;
        assert!(matches!(lost, Err(ClientError::Connection(_))), "{lost:?}");
        assert!(start.elapsed() >= wait + SILENCE_MAX, "{:?}", start.elapsed());
    }

    /// A connection over which a server has answered once and says nothing more. The clock stands still
    /// from then on, and goes on by itself when everybody waits.
    async fn falls_silent() -> (Client, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.expect("accepts");
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                connection.read_buf(&mut read).await.expect("reads");
            }
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
            connection.write_all(answer).await.expect("writes");
            while connection.read_buf(&mut read).await.is_ok_and(|read| read > 0) {}
        });
        let client = Client::new(format!("http://{address}")).expect("an address");
        assert!(client.page(&["orders".into()], "latest", None, None).await.is_err());
        tokio::time::pause();
        (client, server)
    }
}
