//! How a subscription reads: one file for each transport.

mod call;
mod frame;
mod polling;
mod sse;
mod websocket;

use std::str::FromStr;
use std::time::Duration;

use connectrpc::Protocol;
use futures_util::future::BoxFuture;

use tl_model::{After, Form, Position};

use crate::client::Client;
use crate::error::ClientError;
use crate::subscription::{Subscribe, Update};

/// The transports a subscription can read over.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum TransportKind {
    /// Asks for a page, and again when the server suggests it.
    Poll,
    /// Asks for a page and waits until there is something in it.
    LongPoll,
    /// Server-Sent Events.
    Sse,
    /// A WebSocket session with frames in JSON.
    #[default]
    WebSocket,
    /// A WebSocket session with frames in protobuf.
    WebSocketProtobuf,
    /// A gRPC call, over HTTP/2.
    Grpc,
    /// A gRPC-Web call, over HTTP/1.1 or HTTP/2.
    GrpcWeb,
    /// A call of the Connect protocol, over HTTP/1.1 or HTTP/2.
    Connect,
}

impl TransportKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Poll,
        Self::LongPoll,
        Self::Sse,
        Self::WebSocket,
        Self::WebSocketProtobuf,
        Self::Grpc,
        Self::GrpcWeb,
        Self::Connect,
    ];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::LongPoll => "long-poll",
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
            Self::WebSocketProtobuf => "websocket-protobuf",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
            Self::Connect => "connect",
        }
    }
}

impl FromStr for TransportKind {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            ClientError::Address(format!("there is no transport `{text}`; there are {names}"))
        })
    }
}

/// One connection that brings updates.
pub(crate) trait Source: Send {
    /// The next thing that came.
    fn next(&mut self) -> BoxFuture<'_, Result<Step, Ended>>;

    /// The last update has been handled; there is room for another.
    fn handled(&mut self) -> BoxFuture<'_, Result<(), Ended>> {
        Box::pin(async { Ok(()) })
    }
}

/// What a connection brings.
pub(crate) enum Step {
    /// Nothing happened up to this place.
    Progress(Position),
    /// Something for whoever reads.
    Update(Update),
}

/// Why a connection has ended, and when to come back if the server said so.
pub(crate) struct Ended {
    pub(crate) error: ClientError,
    pub(crate) retry_after: Option<Duration>,
}

impl<E: Into<ClientError>> From<E> for Ended {
    fn from(error: E) -> Self {
        let error = error.into();
        let retry_after = error.retry_after();
        Self { error, retry_after }
    }
}

pub(crate) async fn open(
    client: &Client,
    subscribe: &Subscribe,
    after: After,
) -> Result<Box<dyn Source>, Ended> {
    let (client, channels) = (client.clone(), subscribe.channels.clone());
    let call = |protocol| call::Call::open(&client, channels.clone(), after, protocol);
    Ok(match subscribe.transport {
        TransportKind::Grpc => Box::new(call(Protocol::Grpc).await?),
        TransportKind::GrpcWeb => Box::new(call(Protocol::GrpcWeb).await?),
        TransportKind::Connect => Box::new(call(Protocol::Connect).await?),
        TransportKind::Poll => Box::new(polling::Polling::new(client, channels, after, None)),
        TransportKind::LongPoll => {
            Box::new(polling::Polling::new(client, channels, after, Some(LONG_POLL_WAIT)))
        }
        TransportKind::Sse => Box::new(sse::EventStream::open(&client, &channels, after).await?),
        TransportKind::WebSocket => {
            Box::new(websocket::Reader::open(&client, channels, after, Form::Json).await?)
        }
        TransportKind::WebSocketProtobuf => {
            Box::new(websocket::Reader::open(&client, channels, after, Form::Protobuf).await?)
        }
    })
}

/// The text of a place, as requests carry it.
pub(crate) fn after_text(after: After) -> String {
    match after {
        After::Earliest => "earliest".to_owned(),
        After::Latest => "latest".to_owned(),
        After::Position(position) => position.cursor().to_string(),
    }
}

/// Under the idle limit of every usual proxy.
const LONG_POLL_WAIT: Duration = Duration::from_secs(25);
