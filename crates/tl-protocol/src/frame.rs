//! The frames of the two-way protocol, free of any wire form.
//!
//! The wire crate writes and reads them as protobuf and as JSON; WebSocket and every later two-way
//! carrier move the same frames.

use std::time::Duration;

use tl_model::{After, Channel, Error, NewEvent, Once, Position, Selection};

use crate::subscription::{Credit, Delivered};

/// The client's name for one of its subscriptions, unique within its session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubscriptionId(pub u32);

/// The client's name for one of its requests, given back with the answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u32);

/// What a client says.
#[derive(Clone, Debug)]
pub enum ClientFrame {
    /// Allows a subscription so many more events.
    Credit {
        /// Which.
        subscription: SubscriptionId,
        /// How many.
        events: u64,
    },
    /// Says who is speaking; may only come first, and may be left out.
    Hello {
        /// Name and version of the client program, for the server's log.
        client: String,
    },
    /// Asks for a pong.
    Ping {
        /// Given back.
        nonce: u32,
    },
    /// Publishes events.
    Publish(Publish),
    /// Begins a subscription.
    Subscribe(Subscribe),
    /// Ends a subscription.
    Unsubscribe {
        /// Which.
        subscription: SubscriptionId,
    },
}

/// Events to publish.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Given back with the receipts.
    pub request: RequestId,
    /// The events, or why one is not an event; each gets its own answer.
    pub events: Vec<Result<NewEvent, Error>>,
    /// All or none.
    pub atomic: bool,
    /// Pass them through without logging them.
    pub ephemeral: bool,
    /// The last event that each of these channels must still have.
    pub conditions: Vec<LastSeen>,
    /// Repeating it has no further effect.
    pub once: Option<Once>,
}

/// The last event of a channel that somebody has seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastSeen {
    /// Which channel.
    pub channel: Channel,
    /// The event's place; none if the channel has not had one.
    pub at: Option<Position>,
}

/// What to subscribe to.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// The client's name for it.
    pub subscription: SubscriptionId,
    /// Which channels.
    pub selection: Selection,
    /// From where.
    pub after: After,
    /// How many events the client takes before it gives more credit.
    pub credit: Credit,
}

/// What the server says. `E` is an event in whatever form the shell shares it.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerFrame<E> {
    /// The subscription has delivered all there was; what follows is live.
    CaughtUp {
        /// Which.
        subscription: SubscriptionId,
        /// The place reached.
        at: Position,
    },
    /// Something was refused, or ended.
    Error {
        /// What it is about.
        about: About,
        /// What it is.
        error: Error,
    },
    /// Events of a subscription.
    Events {
        /// Which.
        subscription: SubscriptionId,
        /// In order, each with its place.
        events: Vec<Delivered<E>>,
    },
    /// Events of a subscription are gone.
    Gap {
        /// Which.
        subscription: SubscriptionId,
        /// The place it had reached.
        after: Position,
        /// The place behind which it goes on.
        through: Position,
    },
    /// The server is about to stop: reconnect, and resume from these places.
    GoingAway {
        /// When to reconnect, so that not everybody comes at once.
        reconnect_after: Duration,
        /// Where each subscription is.
        places: Vec<(SubscriptionId, Position)>,
    },
    /// Nothing was sent for a while; the connection is alive.
    Heartbeat {
        /// Where each subscription is: resuming from here repeats nothing and misses nothing.
        places: Vec<(SubscriptionId, Position)>,
    },
    /// Answers a ping.
    Pong {
        /// The ping's.
        nonce: u32,
    },
    /// Answers a publish, event by event.
    Receipts {
        /// The publish's.
        request: RequestId,
        /// In the order of its events.
        results: Vec<Result<Receipt, Error>>,
    },
    /// The subscription has begun.
    Subscribed {
        /// Which.
        subscription: SubscriptionId,
        /// Behind which place; resume from here until an event has come.
        at: Position,
    },
    /// The subscription has ended at the client's wish.
    Unsubscribed {
        /// Which.
        subscription: SubscriptionId,
        /// The place it had reached.
        at: Position,
    },
    /// The first frame of every session.
    Welcome {
        /// For the server's log and for support.
        session: String,
        /// How often the server shows that it is alive.
        heartbeat: Duration,
    },
}

/// What a publisher gets for an event: proof that it is as safe as its channel's rules say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The event's id; the server gave it one if the publisher did not.
    pub id: String,
    /// Its place in the log; none if it was ephemeral.
    pub at: Option<Position>,
}

/// What an error is about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum About {
    /// One request.
    Request(RequestId),
    /// The session as a whole, or the last frame.
    #[default]
    Session,
    /// One subscription, which has ended or not begun.
    Subscription(SubscriptionId),
}
