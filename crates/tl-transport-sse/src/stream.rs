use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tl_transport::bytes::{Buf, Bytes};
use tl_transport::engine::{Engine, Script, Sink, Subscription};
use tl_transport::http::detached::Streaming;
use tl_transport::http::{Framing, status};
use tl_transport::model::{Epoch, Error, Position, SharedEvent};
use tl_transport::protocol::subscription::{Delivered, Delivery};
use tl_transport::session::{reconnect_after, spread};
use tl_transport::wire::outbox::Outbox;
use tl_transport::wire::sse::{self, Large};
use tokio_util::sync::CancellationToken;

use crate::Sse;

/// The body of a response: polled only when the connection can take more, so a slow reader holds
/// back its own reading and nothing else.
pub(crate) struct EventStream {
    engine: Engine,
    subscription: Subscription,
    large: Large,
    sse: Sse,
    deadline: Option<Instant>,
    leaving: Pin<Box<dyn Future<Output = ()> + Send>>,
    timer: Pin<Box<tokio::time::Sleep>>,
    out: Outbox,
    has_ended: bool,
}

impl EventStream {
    pub(crate) fn new(
        engine: &Engine,
        subscription: Subscription,
        large: Large,
        sse: Sse,
        deadline: Option<Instant>,
        leaving: CancellationToken,
    ) -> Self {
        let mut stream = Self {
            engine: engine.clone(),
            subscription,
            large,
            sse,
            deadline,
            leaving: Box::pin(leaving.cancelled_owned()),
            timer: Box::pin(tokio::time::sleep(sse.heartbeat)),
            out: Outbox::new(),
            has_ended: false,
        };
        // Something to read at once, so that the browser and all proxies see the stream open.
        let jitter = spread(RETRY_JITTER, engine.environment().random());
        sse::retry(&mut stream.out, RETRY_MIN + jitter);
        stream
    }

    /// Writes down what there is, up to a good size for one write.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while !self.has_ended && self.out.remaining() < FILL_BYTES {
            match self.subscription.poll_next(cx) {
                Poll::Ready(Ok(delivery)) => self.write(delivery),
                Poll::Ready(Err(error)) => self.fail(&error),
                Poll::Pending => return,
            }
        }
    }

    fn write(&mut self, delivery: Delivery<Arc<SharedEvent>>) {
        let log = self.subscription.position();
        let position = |offset| Position { offset, ..log };
        match delivery {
            Delivery::CaughtUp { at } => sse::caught_up(&mut self.out, position(at)),
            Delivery::Gap(gap) => sse::gap(&mut self.out, gap, log),
            Delivery::Events(events) => write_events(&mut self.out, &events, log.epoch, self.large),
        }
    }

    fn fail(&mut self, error: &Error) {
        let at = self.subscription.position();
        sse::failure(&mut self.out, error, status(error.code).as_u16(), at);
        self.has_ended = true;
    }

    /// Tells the client when to come back, and ends. Its last id is where it goes on.
    fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        self.subscription.unfollow();
        self.fill(cx);
        let retry = reconnect_after(&self.engine, self.sse.reconnect_within);
        sse::retry(&mut self.out, retry.unwrap_or(RETRY_MIN));
        self.has_ended = true;
    }

    /// Whether the time for a heartbeat has come and nothing else was to be said.
    fn beat(&mut self, cx: &mut Context<'_>) -> bool {
        if self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.reset_timer();
        // Nothing may overtake the position, and nothing of the selection may lie before it.
        self.subscription.unfollow();
        self.fill(cx);
        if self.out.remaining() == 0 {
            sse::heartbeat(&mut self.out, self.subscription.position());
        }
        true
    }

    fn reset_timer(&mut self) {
        self.beat_after(tokio::time::Instant::now());
    }

    /// Silence is counted from here.
    fn beat_after(&mut self, sent: tokio::time::Instant) {
        let beat = sent + self.sse.heartbeat;
        let deadline = self.deadline.map_or(beat, |deadline| beat.min(deadline.into()));
        self.timer.as_mut().reset(deadline);
    }

    fn is_overdue(&self) -> bool {
        self.deadline.is_some_and(|deadline| tokio::time::Instant::now() >= deadline.into())
    }
}

impl Streaming for EventStream {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if self.is_overdue() {
            self.subscription.unfollow();
            self.has_ended = true;
            return Poll::Ready(None);
        }
        self.fill(cx);
        if !self.has_ended && self.leaving.as_mut().poll(cx).is_ready() {
            self.say_goodbye(cx);
        }
        if self.out.remaining() == 0 && !self.beat(cx) {
            return Poll::Pending;
        }
        self.reset_timer();
        Poll::Ready(Some(self.out.take_all()))
    }

    fn follow(&mut self, cx: &mut Context<'_>, sink: &Arc<dyn Sink>, framing: Framing) {
        let variant = framing as u64 | (self.large as u64) << 1;
        let script = Script { name: "SSE", variant, write: write_framed };
        self.subscription.follow(cx, || sink.clone(), script);
    }

    fn handle_sent(&mut self, at: tokio::time::Instant) {
        if self.timer.deadline() < at + self.sse.heartbeat {
            self.beat_after(at);
        }
    }
}

/// Writes events for all streams of a lane that have the same framing and treat large ones alike.
fn write_framed(events: &[Delivered<Arc<SharedEvent>>], epoch: Epoch, variant: u64) -> Bytes {
    let framing = if variant & 1 == 0 { Framing::Chunked } else { Framing::Connection };
    let large = if variant & 2 == 0 { Large::Split } else { Large::Reference };
    let (mut data, mut framed) = (Outbox::new(), Outbox::new());
    write_events(&mut data, events, epoch, large);
    framing.put(&mut framed, &data.take_all());
    framed.take_all()
}

fn write_events(
    out: &mut Outbox,
    events: &[Delivered<Arc<SharedEvent>>],
    epoch: Epoch,
    large: Large,
) {
    let position = |offset| Position { epoch, offset };
    for event in events {
        sse::event(out, &event.event, position(event.offset), position(event.previous), large);
    }
}

/// A good size for one write, and all that is held for a client that has stopped reading.
const FILL_BYTES: usize = 32 * 1024;
/// How long a client waits before it reconnects, so that a restart does not bring all at once.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_JITTER: Duration = Duration::from_secs(2);
