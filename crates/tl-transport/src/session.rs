//! The one driver of two-way sessions.
//!
//! A carrier moves messages; the session machine decides what to say; the driver joins the two with
//! the engine. It takes nothing from a subscription while the carrier has enough to send, so a slow
//! client holds back its own reading and nothing else.

mod carrier;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::TryFutureExt;
use futures_util::future::{BoxFuture, Either};
use futures_util::stream::{FuturesOrdered, Stream};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use tl_engine::{Answer, Engine, Publish, Receipts, Subscription};
use tl_model::{Call, Error, Form, SharedEvent};
use tl_protocol::frame::{self, ClientFrame, LastSeen, RequestId, Subscribe, SubscriptionId};
use tl_protocol::session::{CloseReason, Opening, Output, Session};
use tl_wire::frame::{read_client, write_server};
use tl_wire::outbox::Outbox;

use crate::stamp::EngineStamp;

pub use carrier::{Carrier, CarrierError, Incoming};

/// How sessions behave.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// How often each side shows that it is alive.
    pub heartbeat: Duration,
    /// Over how long reconnects are spread when the server stops.
    pub reconnect_within: Duration,
    /// How long receipts are waited for when the server stops.
    pub drain_grace: Duration,
}

/// Runs a session on a carrier until either side ends it, or its client is to go on elsewhere; gives the
/// carrier back then, so that it can be ended in its own way.
///
/// # Errors
///
/// What the carrier failed with. The client has seen an error or lost its connection already.
pub fn drive<C: Carrier>(
    carrier: C,
    form: Form,
    engine: &Engine,
    call: Call,
    options: Arc<SessionOptions>,
    leaving: CancellationToken,
) -> impl Future<Output = Result<C, CarrierError>> + use<C> {
    let mut driver = Driver::new(form, engine, call, options, leaving);
    let mut carrier = Some(carrier);
    // Not an async block: that would hold what it is made of twice, in every idle session.
    std::future::poll_fn(move |cx| {
        if let Some(carrier) = &mut carrier {
            ready!(driver.poll(carrier, cx))?;
        }
        carrier.take().map_or(Poll::Pending, |carrier| Poll::Ready(Ok(carrier)))
    })
}

/// Queues what a client publishes, at once and in the order of the calls; only the answer is waited for.
pub fn queue(
    engine: &Engine,
    call: &Call,
    publish: frame::Publish,
) -> impl Future<Output = Result<Answer, Error>> + Send + use<> {
    let frame::Publish { events, atomic, ephemeral, conditions, once, .. } = publish;
    let condition = |seen: LastSeen| engine.last_is(&seen.channel, seen.at);
    let conditions = match conditions.into_iter().map(condition).collect() {
        Ok(conditions) => conditions,
        Err(error) => return Either::Right(rare(std::future::ready(Err(error)))),
    };
    let publish = Publish { events, atomic, ephemeral, conditions };
    let Some(once) = once else {
        let receipts = engine.publish(call, publish);
        return Either::Left(receipts.map_ok(|receipts| Answer { receipts, is_replayed: false }));
    };
    Either::Right(rare(engine.publish_once(call, &once, publish)))
}

/// A box, so that the usual publish need not be as large.
fn rare(
    answer: impl Future<Output = Result<Answer, Error>> + Send + 'static,
) -> BoxFuture<'static, Result<Answer, Error>> {
    Box::pin(answer)
}

type Publishes = FuturesOrdered<BoxFuture<'static, (RequestId, Receipts)>>;

struct Driver {
    engine: Engine,
    call: Call,
    form: Form,
    options: Arc<SessionOptions>,
    session: Session<Arc<SharedEvent>>,
    subscriptions: Vec<(SubscriptionId, Subscription)>,
    /// Answered in the order of their frames; none while there are none.
    publishes: Option<Box<Publishes>>,
    leaving: BoxFuture<'static, ()>,
    timer: Pin<Box<Sleep>>,
    /// The carrier did not take all there was.
    is_blocked: bool,
    /// The client says no more, and listens still.
    has_finished: bool,
    /// The session is over; what is queued may still leave until then.
    closing: Option<Instant>,
}

impl Driver {
    fn new(
        form: Form,
        engine: &Engine,
        call: Call,
        options: Arc<SessionOptions>,
        leaving: CancellationToken,
    ) -> Self {
        let opening = Opening {
            session: engine.environment().new_id(),
            epoch: engine.epoch(),
            heartbeat: options.heartbeat,
        };
        let (now, heartbeat) = (now(), options.heartbeat);
        Self {
            engine: engine.clone(),
            call,
            form,
            options,
            session: Session::new(now, opening),
            subscriptions: Vec::new(),
            publishes: None,
            leaving: Box::pin(leaving.cancelled_owned()),
            timer: Box::pin(tokio::time::sleep_until((now + heartbeat).into())),
            is_blocked: false,
            has_finished: false,
            closing: None,
        }
    }

    fn poll(
        &mut self,
        carrier: &mut impl Carrier,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CarrierError>> {
        if let Some(at) = carrier.served_at() {
            self.session.handle_sent(at);
        }
        loop {
            let mut has_moved = self.poll_incoming(carrier, cx)?;
            has_moved |= self.poll_receipts(cx);
            has_moved |= self.poll_time(cx);
            has_moved |= self.obey(carrier);
            has_moved |= self.poll_deliveries(carrier, cx);
            self.end_if_answered();
            if has_moved && carrier.unsent() < UNSENT_BYTES_MAX {
                continue;
            }
            // While this much waits, nobody is asked for more, and so nobody wakes the session.
            let was_full = carrier.unsent() >= UNSENT_BYTES_MAX;
            let is_flushed = self.poll_flush(carrier, cx)?;
            if self.closing.is_some_and(|deadline| is_flushed || now() >= deadline) {
                return Poll::Ready(Ok(()));
            }
            if !(is_flushed && (has_moved || was_full)) {
                self.follow(carrier, cx, is_flushed);
                self.session.rest();
                return Poll::Pending;
            }
        }
    }

    /// Leaves to lanes what comes live.
    fn follow(&mut self, carrier: &impl Carrier, cx: &mut Context<'_>, is_flushed: bool) {
        if !is_flushed || self.closing.is_some() {
            return;
        }
        for (id, subscription) in &mut self.subscriptions {
            if let Some((sink, script)) = carrier.lane(*id) {
                subscription.follow(cx, || sink, script);
            }
        }
    }

    /// Sends what is queued. A peer that takes more after it had taken no more is alive, however
    /// slow it reads; what the system merely buffers proves nothing.
    fn poll_flush(
        &mut self,
        carrier: &mut impl Carrier,
        cx: &mut Context<'_>,
    ) -> Result<bool, CarrierError> {
        let unsent = carrier.unsent();
        let is_flushed = carrier.poll_flush(cx)?.is_ready();
        if self.is_blocked && carrier.unsent() < unsent {
            self.session.handle_alive(now());
        }
        self.is_blocked = !is_flushed;
        Ok(is_flushed)
    }

    /// Reads a message, unless there is more under way for this client than it may have.
    fn poll_incoming(
        &mut self,
        carrier: &mut impl Carrier,
        cx: &mut Context<'_>,
    ) -> Result<bool, CarrierError> {
        if self.closing.is_some()
            || self.session.is_saturated()
            || carrier.unsent() >= UNSENT_BYTES_MAX
        {
            return Ok(false);
        }
        let Poll::Ready(incoming) = carrier.poll_receive(cx)? else {
            return Ok(false);
        };
        let now = now();
        match incoming {
            Incoming::Alive => self.session.handle_alive(now),
            Incoming::Message(message) => {
                let frame = read_client(self.form, &message, &EngineStamp(&self.engine));
                if let Ok(ClientFrame::Unsubscribe { subscription }) = &frame {
                    self.note_last_place(*subscription);
                }
                self.session.handle_frame(now, frame);
            }
            Incoming::Refused(error) => self.session.handle_frame(now, Err(error)),
            Incoming::Ended => {
                self.subscriptions.clear();
                self.closing = Some(now + CLOSE_TIMEOUT);
            }
            Incoming::Finished => self.has_finished = true,
        }
        Ok(true)
    }

    /// A client that says no more is listened for as long as there is something to tell it.
    fn end_if_answered(&mut self) {
        let is_answered = self.publishes.is_none() && self.subscriptions.is_empty();
        if self.has_finished && is_answered && self.closing.is_none() {
            self.closing = Some(now() + CLOSE_TIMEOUT);
        }
    }

    fn poll_receipts(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(publishes) = &mut self.publishes else { return false };
        match Pin::new(&mut **publishes).poll_next(cx) {
            Poll::Ready(Some((request, receipts))) => {
                self.session.handle_receipts(now(), request, receipts);
                true
            }
            Poll::Ready(None) => {
                self.publishes = None;
                false
            }
            Poll::Pending => false,
        }
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> bool {
        let now = now();
        if self.leaving.as_mut().poll(cx).is_ready() {
            self.leaving = Box::pin(std::future::pending());
            let reconnect_after = reconnect_after(&self.engine, self.options.reconnect_within);
            let reconnect_after = reconnect_after.unwrap_or(RECONNECT_SOON);
            self.note_places();
            self.session.handle_drain(now, reconnect_after, self.options.drain_grace);
            return true;
        }
        let Some(deadline) = self.closing.or(self.session.poll_timeout()) else {
            return false;
        };
        if now >= deadline {
            self.note_places();
            self.session.handle_timeout(now);
            return self.closing.is_none();
        }
        if self.timer.deadline() != deadline.into() {
            self.timer.as_mut().reset(deadline.into());
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    /// Does what the session says.
    fn obey(&mut self, carrier: &mut impl Carrier) -> bool {
        let (mut has_moved, mut message) = (false, Outbox::new());
        while let Some(output) = self.session.poll_output() {
            has_moved = true;
            match output {
                Output::Allow { subscription, events } => {
                    if let Some((_, it)) =
                        self.subscriptions.iter_mut().find(|it| it.0 == subscription)
                    {
                        it.allow(events);
                    }
                }
                Output::Close(reason) => self.close(carrier, reason),
                Output::Probe => carrier.queue_probe(),
                Output::Publish(publish) => self.publish(publish),
                Output::Send(frame) => {
                    write_server(self.form, &frame, self.engine.epoch(), &mut message);
                    carrier.queue_message(&mut message);
                }
                Output::Subscribe(subscribe) => self.subscribe(subscribe),
                Output::Unsubscribe { subscription } => {
                    self.subscriptions.retain(|(id, _)| *id != subscription);
                }
            }
        }
        has_moved
    }

    /// Takes one delivery from each subscription, as long as the carrier has little to send.
    fn poll_deliveries(&mut self, carrier: &impl Carrier, cx: &mut Context<'_>) -> bool {
        if self.closing.is_some() || carrier.unsent() >= UNSENT_BYTES_MAX {
            return false;
        }
        let now = now();
        let mut has_moved = false;
        let mut failed = Vec::new();
        for (id, subscription) in &mut self.subscriptions {
            match subscription.poll_next(cx) {
                Poll::Ready(Ok(delivery)) => {
                    let place = subscription.position().offset;
                    self.session.handle_delivery(now, *id, delivery, place);
                    has_moved = true;
                }
                Poll::Ready(Err(error)) => failed.push((*id, error)),
                Poll::Pending => {}
            }
        }
        for (id, error) in failed {
            self.subscriptions.retain(|(other, _)| *other != id);
            self.session.handle_ended(now, id, error);
            has_moved = true;
        }
        has_moved
    }

    fn publish(&mut self, publish: frame::Publish) {
        let (request, count) = (publish.request, publish.events.len());
        // Queued here, in the order of the frames; only the receipts are waited for.
        let answer = queue(&self.engine, &self.call, publish);
        let publishes = self.publishes.get_or_insert_default();
        publishes.push_back(Box::pin(async move {
            let receipts = answer.await.map(|answer| answer.receipts);
            (request, receipts.unwrap_or_else(|error| vec![Err(error); count]))
        }));
    }

    fn subscribe(&mut self, subscribe: Subscribe) {
        let Subscribe { subscription: id, selection, after, credit } = subscribe;
        let result = self.engine.subscribe(&self.call, selection, after, credit);
        let result = result.map(|subscription| {
            let place = subscription.position().offset;
            // Most sessions have one: room for four would be most of what an idle session takes.
            self.subscriptions.reserve_exact(1);
            self.subscriptions.push((id, subscription));
            place
        });
        self.session.handle_subscribed(now(), id, result);
    }

    fn close(&mut self, carrier: &mut impl Carrier, reason: CloseReason) {
        // Nobody waits for the dead.
        let wait = if reason == CloseReason::Dead { Duration::ZERO } else { CLOSE_TIMEOUT };
        self.closing = Some(now() + wait);
        self.subscriptions.clear();
        carrier.queue_close(reason);
    }

    /// Takes a subscription back from its lane, and tells the session where it ends.
    fn note_last_place(&mut self, id: SubscriptionId) {
        if let Some((_, subscription)) = self.subscriptions.iter_mut().find(|it| it.0 == id) {
            subscription.look();
            self.session.handle_progress(id, subscription.position().offset);
        }
    }

    /// Tells the session how far quiet subscriptions have come. They leave their lanes, so that nothing
    /// overtakes the frame that tells it.
    fn note_places(&mut self) {
        for (id, subscription) in &mut self.subscriptions {
            subscription.look();
            self.session.handle_progress(*id, subscription.position().offset);
        }
    }
}

/// The present moment on the runtime's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// When a client that has to leave is to come back: by chance within this time if the server stops, which
/// sends everybody away at once; `None` if only its connection ends.
pub fn reconnect_after(engine: &Engine, within: Duration) -> Option<Duration> {
    let is_for_all = engine.draining().is_cancelled();
    is_for_all.then(|| spread(within, engine.environment().random()))
}

/// A moment within a time, by chance.
pub fn spread(within: Duration, chance: u64) -> Duration {
    let share = chance as f64 / u64::MAX as f64;
    within.mul_f64(share)
}

/// As good as at once. A zero would be left out of the frame.
pub const RECONNECT_SOON: Duration = Duration::from_millis(100);
/// How long the last frames may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes on their way out at which the driver stops adding to them: a large write, and little enough
/// to be held for every client that has stopped reading.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
