//! The two-way protocol, from the server's side.
//!
//! The shell tells the machine what came in ([`handle_frame`](Session::handle_frame) and the other
//! `handle_` methods) and when time is up ([`handle_timeout`](Session::handle_timeout)), and after
//! each of these does what [`poll_output`](Session::poll_output) says until it says nothing more.
//! It reads no further frames while [`is_saturated`](Session::is_saturated).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tl_model::limits::{HEARTBEATS_DEAD, SESSION_PUBLISHES_MAX, SESSION_SUBSCRIPTIONS_MAX};
use tl_model::{Epoch, Error, ErrorCode, Offset, Position};

use crate::frame::{
    About, ClientFrame, Publish, Receipt, RequestId, ServerFrame, Subscribe, SubscriptionId,
};
use crate::subscription::Delivery;

/// One client's session.
#[derive(Debug)]
pub struct Session<E> {
    epoch: Epoch,
    heartbeat: Duration,
    state: State,
    is_first_frame: bool,
    subscriptions: Vec<Subscription>,
    publishes: usize,
    last_heard: Instant,
    is_probed: bool,
    last_sent: Instant,
    outputs: VecDeque<Output<E>>,
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Output<E> {
    /// Allow a subscription more events.
    Allow {
        /// Which.
        subscription: SubscriptionId,
        /// How many.
        events: u64,
    },
    /// Send what is queued, then close. The last output there is.
    Close(CloseReason),
    /// Ask the peer for a sign of life below the frames, such as a WebSocket ping.
    Probe,
    /// Publish, and hand the results to [`Session::handle_receipts`].
    Publish(Publish),
    /// Send a frame.
    Send(ServerFrame<E>),
    /// Subscribe, tell [`Session::handle_subscribed`], and then hand over what it delivers.
    Subscribe(Subscribe),
    /// Drop a subscription.
    Unsubscribe {
        /// Which.
        subscription: SubscriptionId,
    },
}

/// Why a session ends; carriers translate it into their close codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CloseReason {
    /// The peer has shown no sign of life for too long.
    Dead,
    /// The server is about to stop; the client has been told where to resume.
    GoingAway,
}

/// How a session begins.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The session's name, for logs.
    pub session: String,
    /// The log that offsets belong to.
    pub epoch: Epoch,
    /// How often to show signs of life, and to expect them.
    pub heartbeat: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    /// Waits for the receipts of what is under way, no longer than this.
    Draining {
        until: Instant,
    },
    Closed,
}

#[derive(Debug)]
struct Subscription {
    id: SubscriptionId,
    /// None until the engine has begun it.
    at: Option<Offset>,
}

impl<E> Session<E> {
    /// A session that has just been opened; its first output welcomes the client.
    pub fn new(now: Instant, opening: Opening) -> Self {
        let heartbeat = opening.heartbeat;
        let mut session = Self {
            epoch: opening.epoch,
            heartbeat,
            state: State::Open,
            is_first_frame: true,
            subscriptions: Vec::new(),
            publishes: 0,
            last_heard: now,
            is_probed: false,
            last_sent: now,
            outputs: VecDeque::new(),
        };
        session.send(now, ServerFrame::Welcome { session: opening.session, heartbeat });
        session
    }

    /// A frame, or why what came is none.
    pub fn handle_frame(&mut self, now: Instant, frame: Result<ClientFrame, Error>) {
        self.handle_alive(now);
        let is_first = std::mem::take(&mut self.is_first_frame);
        match frame {
            Err(error) => self.refuse(now, About::Session, error),
            Ok(ClientFrame::Credit { subscription, events }) => {
                self.handle_credit(now, subscription, events);
            }
            Ok(ClientFrame::Hello { .. }) if is_first => {}
            Ok(ClientFrame::Hello { .. }) => {
                let error =
                    Error::new(ErrorCode::FrameInvalid, "hello can only be the first frame");
                self.refuse(now, About::Session, error);
            }
            Ok(ClientFrame::Ping { nonce }) => self.send(now, ServerFrame::Pong { nonce }),
            Ok(ClientFrame::Publish(publish)) => self.handle_publish(now, publish),
            Ok(ClientFrame::Subscribe(subscribe)) => self.handle_subscribe(now, subscribe),
            Ok(ClientFrame::Unsubscribe { subscription }) => {
                self.handle_unsubscribe(now, subscription);
            }
        }
    }

    /// A sign of life below the frames, such as a WebSocket pong.
    pub fn handle_alive(&mut self, now: Instant) {
        self.last_heard = now;
        self.is_probed = false;
    }

    /// Something was sent that the machine did not ask for, such as events by a lane.
    pub fn handle_sent(&mut self, at: Instant) {
        self.last_sent = self.last_sent.max(at);
    }

    /// Whether a subscription could begin, and behind which offset.
    pub fn handle_subscribed(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        result: Result<Offset, Error>,
    ) {
        match result {
            Ok(at) => {
                if let Some(subscription) = self.subscription_mut(id) {
                    subscription.at = Some(at);
                    let at = self.position(at);
                    self.send(now, ServerFrame::Subscribed { subscription: id, at });
                }
            }
            Err(error) => self.handle_ended(now, id, error),
        }
    }

    /// What a subscription delivers. `position` is its place afterwards.
    pub fn handle_delivery(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        delivery: Delivery<E>,
        position: Offset,
    ) {
        let Some(subscription) = self.subscription_mut(id) else {
            return;
        };
        subscription.at = Some(position);
        let frame = match delivery {
            Delivery::CaughtUp { at } => {
                ServerFrame::CaughtUp { subscription: id, at: self.position(at) }
            }
            Delivery::Events(events) => ServerFrame::Events { subscription: id, events },
            Delivery::Gap(gap) => ServerFrame::Gap {
                subscription: id,
                after: self.position(gap.after),
                through: self.position(gap.through),
            },
        };
        self.send(now, frame);
    }

    /// A subscription's place has moved on without anything to deliver.
    pub fn handle_progress(&mut self, id: SubscriptionId, position: Offset) {
        if let Some(subscription) = self.subscription_mut(id) {
            subscription.at = Some(position);
        }
    }

    /// A subscription has failed.
    pub fn handle_ended(&mut self, now: Instant, id: SubscriptionId, error: Error) {
        if self.remove(id).is_some() {
            self.refuse(now, About::Subscription(id), error);
        }
    }

    /// What became of a publish.
    pub fn handle_receipts(
        &mut self,
        now: Instant,
        request: RequestId,
        results: Vec<Result<Receipt, Error>>,
    ) {
        self.publishes = self.publishes.saturating_sub(1);
        self.send(now, ServerFrame::Receipts { request, results });
        self.close_if_drained(now);
    }

    /// The server is about to stop. Receipts of what is under way are still sent within `grace`.
    pub fn handle_drain(&mut self, now: Instant, reconnect_after: Duration, grace: Duration) {
        if self.state != State::Open {
            return;
        }
        let places = self.places();
        self.send(now, ServerFrame::GoingAway { reconnect_after, places });
        self.state = State::Draining { until: now + grace };
        self.close_if_drained(now);
    }

    /// Time has passed; call it at [`poll_timeout`](Self::poll_timeout) or later.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.close_if_drained(now);
        if self.state == State::Closed {
            return;
        }
        if now >= self.dead_at() {
            return self.close(CloseReason::Dead);
        }
        if now >= self.heartbeat_at() {
            let places = self.places();
            self.send(now, ServerFrame::Heartbeat { places });
        }
        if !self.is_probed && now >= self.probe_at() {
            self.is_probed = true;
            self.outputs.push_back(Output::Probe);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<E>> {
        self.outputs.pop_front()
    }

    /// Gives memory back that is only needed while something happens.
    pub fn rest(&mut self) {
        if self.outputs.is_empty() {
            self.outputs = VecDeque::new();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let heard = if self.is_probed { self.dead_at() } else { self.probe_at() };
        let alive = heard.min(self.heartbeat_at());
        match self.state {
            State::Open => Some(alive),
            State::Draining { until } => Some(until.min(alive)),
            State::Closed => None,
        }
    }

    /// Whether the client has as much under way as it may: read no further frames until it has not.
    pub fn is_saturated(&self) -> bool {
        self.publishes >= SESSION_PUBLISHES_MAX
    }

    fn handle_credit(&mut self, now: Instant, id: SubscriptionId, events: u64) {
        match self.subscription_mut(id) {
            Some(_) => self.outputs.push_back(Output::Allow { subscription: id, events }),
            None => self.refuse_unknown(now, id),
        }
    }

    fn handle_publish(&mut self, now: Instant, publish: Publish) {
        if self.state != State::Open {
            let error = Error::new(ErrorCode::Draining, "publish this again once reconnected");
            return self.refuse(now, About::Request(publish.request), error);
        }
        self.publishes += 1;
        self.outputs.push_back(Output::Publish(publish));
    }

    fn handle_subscribe(&mut self, now: Instant, subscribe: Subscribe) {
        let id = subscribe.subscription;
        if self.subscription_mut(id).is_some() {
            let detail = format!("subscription {} exists; choose another number", id.0);
            let error = Error::new(ErrorCode::SubscriptionInvalid, detail);
            return self.refuse(now, About::Session, error);
        }
        if self.subscriptions.len() == SESSION_SUBSCRIPTIONS_MAX {
            let detail = format!(
                "a session has at most {SESSION_SUBSCRIPTIONS_MAX} subscriptions; one subscription \
                 can read several channels and patterns"
            );
            let error = Error::new(ErrorCode::LimitExceeded, detail);
            return self.refuse(now, About::Subscription(id), error);
        }
        self.subscriptions.reserve_exact(1);
        self.subscriptions.push(Subscription { id, at: None });
        self.outputs.push_back(Output::Subscribe(subscribe));
    }

    fn handle_unsubscribe(&mut self, now: Instant, id: SubscriptionId) {
        let Some(subscription) = self.remove(id) else {
            return self.refuse_unknown(now, id);
        };
        self.outputs.push_back(Output::Unsubscribe { subscription: id });
        if let Some(at) = subscription.at {
            let at = self.position(at);
            self.send(now, ServerFrame::Unsubscribed { subscription: id, at });
        }
    }

    fn refuse_unknown(&mut self, now: Instant, id: SubscriptionId) {
        let detail = format!("there is no subscription {} in this session", id.0);
        let error = Error::new(ErrorCode::SubscriptionInvalid, detail);
        self.refuse(now, About::Session, error);
    }

    fn refuse(&mut self, now: Instant, about: About, error: Error) {
        self.send(now, ServerFrame::Error { about, error });
    }

    fn send(&mut self, now: Instant, frame: ServerFrame<E>) {
        if self.state != State::Closed {
            self.last_sent = now;
            self.outputs.push_back(Output::Send(frame));
        }
    }

    fn close_if_drained(&mut self, now: Instant) {
        if let State::Draining { until } = self.state
            && (self.publishes == 0 || now >= until)
        {
            self.close(CloseReason::GoingAway);
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.outputs.push_back(Output::Close(reason));
    }

    fn remove(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let index = self.subscriptions.iter().position(|subscription| subscription.id == id)?;
        Some(self.subscriptions.swap_remove(index))
    }

    fn subscription_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.id == id)
    }

    fn places(&self) -> Vec<(SubscriptionId, Position)> {
        let begun = self.subscriptions.iter().filter_map(|it| Some((it.id, it.at?)));
        begun.map(|(id, at)| (id, self.position(at))).collect()
    }

    fn position(&self, offset: Offset) -> Position {
        Position { epoch: self.epoch, offset }
    }

    fn heartbeat_at(&self) -> Instant {
        self.last_sent + self.heartbeat
    }

    fn probe_at(&self) -> Instant {
        self.last_heard + self.heartbeat
    }

    fn dead_at(&self) -> Instant {
        self.last_heard + self.heartbeat * HEARTBEATS_DEAD
    }
}

#[cfg(test)]
mod tests;
