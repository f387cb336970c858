use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use tl_transport::model::{Error, ErrorCode, Form};
use tl_transport::protocol::session::CloseReason;
use tl_transport::session::{Carrier, CarrierError, Incoming};
use tl_transport::wire::outbox::Outbox;

use crate::codec::{CloseCode, Message};
use crate::socket::WebSocket;

/// Carries a session: frames in JSON are text messages, frames in protobuf binary ones.
pub(crate) struct WebSocketCarrier<S> {
    pub(crate) socket: WebSocket<S>,
    pub(crate) form: Form,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Carrier for WebSocketCarrier<S> {
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
}

fn wrong_kind(form: Form) -> Error {
    let detail = match form {
        Form::Json => "this session speaks JSON, in text messages",
        Form::Protobuf => "this session speaks protobuf, in binary messages",
    };
    Error::new(ErrorCode::FrameInvalid, detail)
}
