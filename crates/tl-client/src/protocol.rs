use std::str::FromStr;

use crate::error::ClientError;

/// What a client publishes over.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// Plain HTTP.
    #[default]
    Http,
    /// gRPC, over HTTP/2.
    Grpc,
    /// gRPC-Web, over HTTP/1.1 or HTTP/2.
    GrpcWeb,
    /// The Connect protocol, over HTTP/1.1 or HTTP/2.
    Connect,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Http, Self::Grpc, Self::GrpcWeb, Self::Connect];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
            Self::Connect => "connect",
        }
    }

    /// What its calls speak; `None` if it has none.
    pub(crate) const fn of_calls(self) -> Option<connectrpc::Protocol> {
        match self {
            Self::Http => None,
            Self::Grpc => Some(connectrpc::Protocol::Grpc),
            Self::GrpcWeb => Some(connectrpc::Protocol::GrpcWeb),
            Self::Connect => Some(connectrpc::Protocol::Connect),
        }
    }
}

impl FromStr for Protocol {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            ClientError::Address(format!("one cannot publish over `{text}`; there are {names}"))
        })
    }
}
