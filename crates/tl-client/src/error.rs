use std::time::Duration;

use tl_model::Error;

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address, or a certificate, cannot be used.
    #[error("{0}")]
    Address(String),
    /// The connection could not be made, or broke.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// The server said something this client does not understand.
    #[error("the server's answer makes no sense: {0}")]
    Protocol(String),
    /// The server refused, and says why.
    #[error("{0}")]
    Refused(#[from] Error),
}

impl ClientError {
    /// Whether the same may work later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Address(_) => false,
            Self::Connection(_) | Self::Protocol(_) => true,
            Self::Refused(error) => error.code.is_retryable(),
        }
    }

    /// When trying again makes sense, if the server has said so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(error) => error.retry_after,
            Self::Address(_) | Self::Connection(_) | Self::Protocol(_) => None,
        }
    }
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        Self::Connection(innermost(&error))
    }
}

impl From<tokio_tungstenite::tungstenite::Error> for ClientError {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

/// The innermost reason, which is the one that says something.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
