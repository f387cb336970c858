//! The two-way protocol on the messages of a call.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use connectrpc::dispatcher::RequestStream;
use connectrpc::{ConnectError, EncodedBody, EncodedStream};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt};

use tl_transport::Bytes;
use tl_transport::engine::{Script, Sink};
use tl_transport::model::{Error, ErrorCode};
use tl_transport::protocol::frame::SubscriptionId;
use tl_transport::protocol::session::CloseReason;
use tl_transport::session::{Carrier, CarrierError, Incoming, drive};
use tl_transport::wire::outbox::Outbox;

use crate::calls::Context;
use crate::error::failure;

/// Opens a session.
pub(crate) fn open(context: Context, messages: RequestStream) -> EncodedStream {
    let Context { engine, call, form, rpc, leaving } = context;
    let out = Arc::new(Mutex::new(Out::default()));
    let carrier = CallCarrier { messages, out: out.clone(), is_asked: false, has_finished: false };
    let session = drive(carrier, form, &engine, call, Arc::new(rpc.session), leaving.token());
    Box::pin(Frames { session: Some(session.boxed()), out })
}

/// What the server says. It is polled for one message more than HTTP/2 lets be sent, and the session with it.
struct Frames {
    session: Option<BoxFuture<'static, Result<CallCarrier, CarrierError>>>,
    out: Arc<Mutex<Out>>,
}

/// What is on its way out.
#[derive(Default)]
struct Out {
    messages: VecDeque<Bytes>,
    bytes: usize,
    /// The peer has taken something since the session looked.
    was_taken: bool,
    /// What the call ends with.
    failure: Option<ConnectError>,
}

impl Stream for Frames {
    type Item = Result<EncodedBody, ConnectError>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<EncodedBody, ConnectError>>> {
        if let Some(message) = lock(&self.out).take() {
            return Poll::Ready(Some(Ok(message.into())));
        }
        if let Some(session) = &mut self.session {
            let ended = session.as_mut().poll(cx).is_ready();
            if ended {
                self.session = None;
            }
        }
        let mut out = lock(&self.out);
        match (out.take(), &self.session) {
            (Some(message), _) => Poll::Ready(Some(Ok(message.into()))),
            (None, Some(_)) => Poll::Pending,
            (None, None) => Poll::Ready(out.failure.take().map(Err)),
        }
    }
}

impl Out {
    fn take(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        self.was_taken = true;
        Some(message)
    }
}

/// Moves the frames of a session as messages of a call.
struct CallCarrier {
    messages: RequestStream,
    out: Arc<Mutex<Out>>,
    /// Whether the peer is to show that it is alive.
    is_asked: bool,
    has_finished: bool,
}

impl Carrier for CallCarrier {
    fn poll_receive(&mut self, cx: &mut TaskContext<'_>) -> Result<Poll<Incoming>, CarrierError> {
        let was_taken = std::mem::take(&mut lock(&self.out).was_taken);
        // Who takes what was said is alive, however slow.
        if std::mem::take(&mut self.is_asked) || was_taken {
            return Ok(Poll::Ready(Incoming::Alive));
        }
        if self.has_finished {
            return Ok(Poll::Pending);
        }
        Ok(self.messages.poll_next_unpin(cx).map(|message| match message {
            Some(Ok(message)) => Incoming::Message(message),
            Some(Err(error)) => {
                lock(&self.out).failure = Some(error);
                Incoming::Ended
            }
            None => {
                self.has_finished = true;
                Incoming::Finished
            }
        }))
    }

    fn queue_message(&mut self, message: &mut Outbox) {
        let message = message.take_all();
        let mut out = lock(&self.out);
        out.bytes += message.len();
        out.messages.push_back(message);
    }

    /// HTTP/2 itself asks the peer, with its pings, and ends the connection of one that is dead.
    fn queue_probe(&mut self) {
        self.is_asked = true;
    }

    fn queue_close(&mut self, reason: CloseReason) {
        let (code, detail) = match reason {
            CloseReason::Dead => (ErrorCode::DeadlineExceeded, "the client gave no sign of life"),
            CloseReason::GoingAway => {
                (ErrorCode::Draining, "this connection is about to end; open a new session")
            }
        };
        lock(&self.out).failure = Some(failure(&Error::new(code, detail)));
    }

    fn unsent(&self) -> usize {
        lock(&self.out).bytes
    }

    /// The stream wakes the session once all of it was taken.
    fn poll_flush(&mut self, _: &mut TaskContext<'_>) -> Result<Poll<()>, CarrierError> {
        Ok(match lock(&self.out).messages.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    }

    fn lane(&self, _: SubscriptionId) -> Option<(Arc<dyn Sink>, Script)> {
        None
    }

    fn served_at(&self) -> Option<Instant> {
        None
    }
}

fn lock(out: &Mutex<Out>) -> MutexGuard<'_, Out> {
    out.lock().unwrap_or_else(PoisonError::into_inner)
}
