//! What a subscription delivers, as a stream of messages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use connectrpc::{ConnectError, EncodedBody, EncodedStream};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep};

use tl_transport::engine::{Engine, Subscription};
use tl_transport::model::{Error, ErrorCode, Form, Position, SharedEvent};
use tl_transport::protocol::frame::{ServerFrame, SubscriptionId};
use tl_transport::protocol::subscription::Delivery;
use tl_transport::session::{RECONNECT_SOON, SessionOptions, reconnect_after};
use tl_transport::wire::frame::write_server;
use tl_transport::wire::outbox::Outbox;

use crate::calls::Context;
use crate::error::failure;

/// Delivers until the client cancels.
pub(crate) fn stream(context: &Context, subscription: Subscription) -> EncodedStream {
    let options = context.rpc.session;
    Box::pin(Deliveries {
        engine: context.engine.clone(),
        subscription,
        form: context.form,
        options,
        leaving: Box::pin(context.leaving.token().cancelled_owned()),
        written: Instant::now(),
        timer: Box::pin(tokio::time::sleep(options.heartbeat)),
        stage: Stage::Opening,
    })
}

/// Polled for one message more than HTTP/2 lets be sent, so a slow reader holds back its own reading and
/// nothing else.
struct Deliveries {
    engine: Engine,
    subscription: Subscription,
    form: Form,
    options: SessionOptions,
    leaving: BoxFuture<'static, ()>,
    /// When the last message was written.
    written: Instant,
    timer: Pin<Box<Sleep>>,
    stage: Stage,
}

enum Stage {
    Opening,
    Delivering,
    /// The client knows when to come back; why the call fails is still to be told.
    Leaving(Error),
    Ended,
}

type Message = Result<EncodedBody, ConnectError>;

impl Stream for Deliveries {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Message>> {
        match std::mem::replace(&mut self.stage, Stage::Delivering) {
            Stage::Opening => {
                let at = self.subscription.position();
                Poll::Ready(Some(self.write(&ServerFrame::Subscribed { subscription: ONLY, at })))
            }
            Stage::Delivering => self.poll_message(cx).map(Some),
            Stage::Leaving(error) => {
                self.stage = Stage::Ended;
                Poll::Ready(Some(Err(failure(&error))))
            }
            Stage::Ended => {
                self.stage = Stage::Ended;
                Poll::Ready(None)
            }
        }
    }
}

impl Deliveries {
    fn poll_message(&mut self, cx: &mut TaskContext<'_>) -> Poll<Message> {
        // Also while there is always something to deliver.
        if self.leaving.as_mut().poll(cx).is_ready() {
            return Poll::Ready(self.say_goodbye());
        }
        match self.subscription.poll_next(cx) {
            Poll::Ready(Ok(delivery)) => return Poll::Ready(self.deliver(delivery)),
            Poll::Ready(Err(error)) => {
                self.stage = Stage::Ended;
                return Poll::Ready(Err(failure(&error)));
            }
            Poll::Pending => {}
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let silent_until = self.written + self.options.heartbeat;
            if silent_until <= Instant::now() {
                return Poll::Ready(self.beat());
            }
            // Moved only here, and not by every message.
            self.timer.as_mut().reset(silent_until);
        }
        Poll::Pending
    }

    fn deliver(&mut self, delivery: Delivery<Arc<SharedEvent>>) -> Message {
        let log = self.subscription.position();
        let position = |offset| Position { offset, ..log };
        let frame = match delivery {
            Delivery::CaughtUp { at } => {
                ServerFrame::CaughtUp { subscription: ONLY, at: position(at) }
            }
            Delivery::Events(events) => ServerFrame::Events { subscription: ONLY, events },
            Delivery::Gap(gap) => ServerFrame::Gap {
                subscription: ONLY,
                after: position(gap.after),
                through: position(gap.through),
            },
        };
        self.write(&frame)
    }

    fn beat(&mut self) -> Message {
        self.subscription.look();
        let places = vec![(ONLY, self.subscription.position())];
        self.write(&ServerFrame::Heartbeat { places })
    }

    /// Tells the client when to come back, and where to go on.
    fn say_goodbye(&mut self) -> Message {
        let reconnect_after = reconnect_after(&self.engine, self.options.reconnect_within);
        let detail = match reconnect_after {
            Some(_) => "the server is about to stop; subscribe again, behind the last cursor",
            None => "this connection is about to end; subscribe again, behind the last cursor",
        };
        let reconnect_after = reconnect_after.unwrap_or(RECONNECT_SOON);
        let error = Error::new(ErrorCode::Draining, detail).retry_after(reconnect_after);
        self.stage = Stage::Leaving(error);
        let places = vec![(ONLY, self.subscription.position())];
        self.write(&ServerFrame::GoingAway { reconnect_after, places })
    }

    fn write(&mut self, frame: &ServerFrame<Arc<SharedEvent>>) -> Message {
        self.written = Instant::now();
        let mut message = Outbox::new();
        write_server(self.form, frame, self.engine.epoch(), &mut message);
        Ok(message.take_all().into())
    }
}

/// The number of the one subscription, which no message needs to name.
const ONLY: SubscriptionId = SubscriptionId(0);
