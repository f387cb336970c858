//! Answers to requests. For none does a client wait longer than a server that is there is silent: the
//! network can lose a server without a word, and the HTTP client a request.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{RequestBuilder, Response, StatusCode};

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
    let response = within(held + SILENCE_MAX, request.send()).await?;
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
    within(SILENCE_MAX, what).await
}

async fn within<T, E: Into<ClientError>>(
    limit: Duration,
    what: impl Future<Output = Result<T, E>>,
) -> Result<T, ClientError> {
    let came = tokio::time::timeout(limit, what).await;
    came.map_err(|_| ClientError::Connection("no answer in time".into()))?.map_err(Into::into)
}

/// Longer than any server leaves between two heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use crate::{Client, Draft, Protocol};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_given_up() {
        let (client, _listener) = silent_server().await;
        for protocol in Protocol::ALL {
            let start = Instant::now();
            let lost = client.over(protocol).publish("orders", &Draft::default()).await;
            assert!(matches!(lost, Err(ClientError::Connection(_))), "{protocol:?}: {lost:?}");
            let waited = start.elapsed();
            assert!(
                waited > SILENCE_MAX / 2 && waited <= SILENCE_MAX * 2,
                "{protocol:?}: {waited:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_the_server_holds_is_waited_for() {
        let (client, _listener) = silent_server().await;
        let (start, wait) = (Instant::now(), SILENCE_MAX * 2);
        let lost = client.page(&["orders".into()], "latest", Some(wait), None).await;
        assert!(matches!(lost, Err(ClientError::Connection(_))), "{lost:?}");
        assert!(start.elapsed() > wait, "{:?}", start.elapsed());
    }

    /// A server that takes connections and says nothing.
    async fn silent_server() -> (Client, TcpListener) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listens");
        let address = listener.local_addr().expect("an address");
        (Client::new(format!("http://{address}")).expect("an address"), listener)
    }
}
