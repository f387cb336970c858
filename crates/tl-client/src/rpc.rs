//! The methods of the server's `EventService`, called over gRPC, gRPC-Web or Connect.
//!
//! The library `connectrpc` speaks the three; the requests go over the same HTTP client as all
//! others.

mod http;
mod message;

use ::http::uri::InvalidUri;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use connectrpc::client::{CallOptions, ClientConfig, ServerStream, call_server_stream, call_unary};
use connectrpc::{ConnectError, ErrorCode, ErrorDetail, Protocol, Spec, StreamType};
use reqwest::Url;

use tl_model::Form;
use tl_model::limits::FRAME_BYTES_MAX;
use tl_wire::call::{decode, read_problem};
use tl_wire::draft::Draft;
use tl_wire::frame::read_server;
use tl_wire::generated::throughline::v1 as contract;
use tl_wire::generated::throughline::v1::Receipt;
use tl_wire::generated::throughline::v1::server_frame::Frame;

use crate::answer::{held_in_time, in_time, upload_time};
use crate::client::{Client, PublishOptions};
use crate::error::ClientError;
use crate::session::{conditions, problem};
use crate::write::repeated;
use http::Http;
use message::{Unread, UnreadView};

/// The service, over one protocol.
pub(crate) struct EventService {
    http: Http,
    config: ClientConfig,
}

/// What a subscription delivers.
pub(crate) struct Frames(ServerStream<reqwest::Body, UnreadView<'static>>);

/// What all calls to a server have in common.
pub(crate) fn config(base: &Url) -> Result<ClientConfig, ClientError> {
    let base = base.as_str().parse().map_err(|error: InvalidUri| {
        ClientError::Address(format!("`{base}` is no address for calls: {error}"))
    })?;
    Ok(ClientConfig::new(base).with_default_max_message_size(FRAME_BYTES_MAX))
}

impl EventService {
    pub(crate) fn new(client: &Client, protocol: Protocol) -> Self {
        let needs_http2 = protocol == Protocol::Grpc;
        let http = if needs_http2 { client.http2.clone() } else { client.http.clone() };
        let config = client.calls.clone().with_protocol(protocol);
        Self { http: Http { http, needs_http2 }, config }
    }

    /// Publishes events; with a key, again and again until that is answered for good.
    pub(crate) async fn publish(
        &self,
        channel: &str,
        events: &[Draft],
        options: PublishOptions,
    ) -> Result<Vec<Receipt>, ClientError> {
        let PublishOptions { atomic, ephemeral, condition, idempotency_key: key } = options;
        let request = contract::PublishRequest {
            channel: channel.to_owned(),
            events: events.to_vec(),
            atomic,
            ephemeral,
            conditions: conditions(channel, condition),
            idempotency_key: key.as_ref().map_or_else(String::new, |key| key.as_str().to_owned()),
        };
        let bytes = events.iter().filter_map(|it| it.data.as_ref()).map(Bytes::len).sum();
        let attempt = || async {
            let (config, request) = (&self.config, request.clone());
            let options = CallOptions::default();
            let call =
                call_unary::<_, _, UnreadView<'_>>(&self.http, config, PUBLISH, request, options);
            // Kilobytes that whoever calls need not hold.
            let call = held_in_time(upload_time(bytes), Box::pin(call));
            let message = call.await?.into_view().into_bytes();
            let response = decode::<contract::PublishResponse>(Form::Protobuf, &message);
            response
                .map(|response| response.receipts)
                .map_err(|error| ClientError::Protocol(error.to_string()))
        };
        repeated(key.as_ref(), attempt).await
    }

    /// Opens a subscription.
    pub(crate) async fn subscribe(
        &self,
        channels: Vec<String>,
        after: String,
    ) -> Result<Frames, ClientError> {
        let request = contract::SubscribeRequest { channels, after };
        let (http, options) = (&self.http, CallOptions::default());
        let call = call_server_stream(http, &self.config, SUBSCRIBE, request, options);
        Ok(Frames(in_time(call).await?))
    }
}

impl Frames {
    /// The next frame. Nothing is read ahead of it but what the connection's window holds.
    pub(crate) async fn next(&mut self) -> Result<Frame, ClientError> {
        loop {
            let message = in_time(self.0.message::<Unread>()).await?;
            let Some(message) = message else {
                return Err(ClientError::Connection("the server ended the call".into()));
            };
            // The same fields with the same numbers as the frames of a session.
            let frame = read_server(Form::Protobuf, message.bytes());
            let frame = frame.map_err(|error| ClientError::Protocol(error.to_string()))?;
            // A frame of a newer server says nothing to this client.
            if let Some(frame) = frame.frame {
                return Ok(frame);
            }
        }
    }
}

impl From<ConnectError> for ClientError {
    /// Why a call has failed: what the server says, or what has come between.
    fn from(error: ConnectError) -> Self {
        if let Some(told) = error.details.iter().find_map(told) {
            return problem(Some(&told)).map_or_else(|senseless| senseless, ClientError::Refused);
        }
        let code = error.code;
        let text = error.message.unwrap_or_else(|| code.as_str().to_owned());
        // The page of a proxy would follow.
        let text = text.lines().next().unwrap_or_default();
        match code {
            // The library says `internal` of answers that break off.
            ErrorCode::Canceled
            | ErrorCode::DeadlineExceeded
            | ErrorCode::Internal
            | ErrorCode::Unavailable => Self::Connection(text.to_owned()),
            ErrorCode::Unimplemented => Self::Protocol(format!(
                "{text}; nothing takes calls at this address, so use a transport without"
            )),
            _ => Self::Protocol(text.to_owned()),
        }
    }
}

fn told(detail: &ErrorDetail) -> Option<contract::Problem> {
    let value = BASE64.decode(detail.value.as_deref()?).ok()?;
    read_problem(&detail.type_url, &value)
}

const PUBLISH: Spec = Spec::client("/throughline.v1.EventService/Publish", StreamType::Unary);
const SUBSCRIBE: Spec =
    Spec::client("/throughline.v1.EventService/Subscribe", StreamType::ServerStream);
/// Details come with padding and without, as the protocol has it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tl_model::Error;
    use tl_wire::call::details;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_failed_call_is_refused_in_the_words_of_the_server() {
        let wait = Duration::from_millis(2_500);
        let refused = Error::new(tl_model::ErrorCode::Overloaded, "too much").retry_after(wait);
        let unpadded = base64::engine::general_purpose::STANDARD_NO_PAD;
        let padded = base64::engine::general_purpose::STANDARD;
        for encode in [&unpadded, &padded] {
            let mut error = ConnectError::unavailable("too much");
            for detail in details(&refused) {
                let (type_url, value) = (detail.name.into(), Some(encode.encode(detail.value)));
                error = error.with_detail(ErrorDetail { type_url, value, debug: None });
            }
            let failure = ClientError::from(error);
            assert!(matches!(&failure, ClientError::Refused(it) if *it == refused), "{failure:?}");
            assert_eq!(failure.retry_after(), Some(wait));
        }
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_a_lost_connection() {
        // A message of seven bytes, of which three come.
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/connect+proto\r\n\r\n\
                      \0\0\0\0\x07abc";
        let lost = answered(answer, Protocol::Connect).await;
        assert!(matches!(lost, ClientError::Connection(_)), "{lost:?}");
    }

    #[tokio::test]
    async fn where_no_calls_are_taken_one_is_told_to_do_without() {
        let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        let strange = answered(answer, Protocol::Connect).await;
        assert!(matches!(strange, ClientError::Protocol(_)), "{strange:?}");
        assert!(strange.to_string().contains("use a transport without"), "{strange}");
    }

    #[tokio::test]
    async fn a_grpc_call_over_http1_says_what_to_do_instead() {
        let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let lost = answered(answer, Protocol::Grpc).await;
        assert!(matches!(lost, ClientError::Connection(_)), "{lost:?}");
        assert!(lost.to_string().contains("gRPC needs HTTP/2"), "{lost}");
    }

    /// Why a subscription ends that a server answers with this.
    async fn answered(answer: &'static str, protocol: Protocol) -> ClientError {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let serving = async {
            let (mut connection, _) = listener.accept().await.expect("accepts");
            let mut request = Vec::new();
            // A request of HTTP/1.1 ends with the name of its only channel, one of HTTP/2 begins so.
            while !request.ends_with(b"last") && !request.starts_with(b"PRI * HTTP/2.0") {
                connection.read_buf(&mut request).await.expect("reads");
            }
            connection.write_all(answer.as_bytes()).await.expect("writes");
        };
        let reading = async {
            let client = Client::new(format!("http://127.0.0.1:{port}")).expect("an address");
            let service = EventService::new(&client, protocol);
            let mut frames = service.subscribe(vec!["last".into()], String::new()).await?;
            frames.next().await
        };
        let ((), read) = tokio::join!(serving, reading);
        read.expect_err("it breaks off")
    }
}
