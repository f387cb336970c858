use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use tl_engine::{Script, Sink};
use tl_model::Error;
use tl_protocol::frame::SubscriptionId;
use tl_protocol::session::CloseReason;
use tl_wire::outbox::Outbox;

/// Moves messages both ways. What is queued leaves in order, with [`poll_flush`](Self::poll_flush).
pub trait Carrier {
    /// The next thing that came in.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Result<Poll<Incoming>, CarrierError>;

    /// Adds a message to what is to be sent, and empties it.
    fn queue_message(&mut self, message: &mut Outbox);

    /// Asks the peer for a sign of life.
    fn queue_probe(&mut self);

    /// Adds whatever ends the carrier in its own way. Nothing is queued after it.
    fn queue_close(&mut self, reason: CloseReason);

    /// Bytes that are queued and have not left.
    fn unsent(&self) -> usize;

    /// Sends what is queued. Ready once all of it has left.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, CarrierError>;

    /// Where lanes can write whole messages, and how they write the `events` frames of a subscription;
    /// none if only the carrier itself can.
    fn lane(&self, subscription: SubscriptionId) -> Option<(Arc<dyn Sink>, Script)>;

    /// When a lane wrote last.
    fn served_at(&self) -> Option<Instant>;
}

/// What comes in.
#[derive(Debug)]
pub enum Incoming {
    /// A sign of life.
    Alive,
    /// The peer has ended the carrier.
    Ended,
    /// The peer says no more, and listens still.
    Finished,
    /// A whole message.
    Message(Bytes),
    /// Something that is not taken, but does not end the carrier.
    Refused(Error),
}

/// Why a carrier failed.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The peer does not keep to the carrier's protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
}
