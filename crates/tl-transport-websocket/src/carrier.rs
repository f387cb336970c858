use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use tl_transport::bytes::{Buf, Bytes};
use tl_transport::engine::{Script, Sink};
use tl_transport::model::{Epoch, Error, ErrorCode, Form, SharedEvent};
use tl_transport::protocol::frame::SubscriptionId;
use tl_transport::protocol::session::CloseReason;
use tl_transport::protocol::subscription::Delivered;
use tl_transport::session::{Carrier, CarrierError, Incoming};
use tl_transport::wire::frame::write_events;
use tl_transport::wire::outbox::Outbox;

use crate::codec::{CloseCode, Message, ServerHeader};
use crate::socket::WebSocket;

/// Carries a session: frames in JSON are text messages, frames in protobuf binary ones.
pub(crate) struct WebSocketCarrier<S> {
    pub(crate) socket: WebSocket<S>,
    pub(crate) form: Form,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Carrier for WebSocketCarrier<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Result<Poll<Incoming>, CarrierError> {
        let Poll::Ready(message) = self.socket.poll_message(cx) else {
            return Ok(Poll::Pending);
        };
        Ok(Poll::Ready(match (message?, self.form) {
            (Message::Text(text), Form::Json) => Incoming::Message(text),
            (Message::Binary(bytes), Form::Protobuf) => Incoming::Message(bytes),
            (Message::Text(_) | Message::Binary(_), form) => Incoming::Refused(wrong_kind(form)),
            (Message::Ping(_) | Message::Pong, _) => Incoming::Alive,
            (Message::Close(_), _) => Incoming::Ended,
        }))
    }

    fn queue_message(&mut self, message: &mut Outbox) {
        self.socket.queue(self.form == Form::Json, message);
    }

    fn queue_probe(&mut self) {
        self.socket.queue_ping();
    }

    fn queue_close(&mut self, reason: CloseReason) {
        match reason {
            CloseReason::Dead => self.socket.queue_close(Some(CloseCode::GOING_AWAY), "no answer"),
            CloseReason::GoingAway => {
                self.socket.queue_close(Some(CloseCode::SERVICE_RESTART), "reconnect");
            }
        }
    }

    fn unsent(&self) -> usize {
        self.socket.unsent()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, CarrierError> {
        Ok(match self.socket.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed?),
            Poll::Pending => Poll::Pending,
        })
    }

    fn lane(&self, subscription: SubscriptionId) -> Option<(Arc<dyn Sink>, Script)> {
        let variant = u64::from(subscription.0) << 1 | self.form as u64;
        let script = Script { name: "WebSocket", variant, write: write_message };
        Some((self.socket.line().clone(), script))
    }

    fn served_at(&self) -> Option<Instant> {
        self.socket.line().served_at().map(Into::into)
    }
}

/// The variant of a session's script is the number of its subscription, and its form.
fn write_message(events: &[Delivered<Arc<SharedEvent>>], epoch: Epoch, variant: u64) -> Bytes {
    let form = if variant & 1 == 0 { Form::Json } else { Form::Protobuf };
    let subscription = SubscriptionId(u32::try_from(variant >> 1).unwrap_or(u32::MAX));
    let mut frame = Outbox::new();
    write_events(form, subscription, events, epoch, &mut frame);
    let header = ServerHeader::message(form == Form::Json, frame.remaining());
    let mut message = Vec::with_capacity(header.as_bytes().len() + frame.remaining());
    message.extend_from_slice(header.as_bytes());
    message.extend_from_slice(&frame.take_all());
    message.into()
}

fn wrong_kind(form: Form) -> Error {
    let detail = match form {
        Form::Json => "this session speaks JSON, in text messages",
        Form::Protobuf => "this session speaks protobuf, in binary messages",
    };
    Error::new(ErrorCode::FrameInvalid, detail)
}
