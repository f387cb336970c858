use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use tl_model::{After, Position};
use tl_wire::draft::Received;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{self, TransportKind};

/// What to read, from where, and how.
#[derive(Clone, Debug)]
pub struct Subscribe {
    pub(crate) channels: Vec<String>,
    pub(crate) after: After,
    pub(crate) transport: TransportKind,
    reconnects: bool,
}

/// What a subscription brings.
#[derive(Clone, Debug)]
pub enum Update {
    /// All there was has been delivered; what follows is live. Comes once for each connection.
    CaughtUp(Position),
    /// The connection is lost. The subscription goes on by itself after the wait.
    Disconnected {
        /// Why.
        reason: String,
        /// When it tries again.
        retry_in: Duration,
    },
    /// An event.
    Event(Box<Received>),
    /// Events were trimmed before they were read.
    Gap {
        /// The place reached before.
        after: Position,
        /// The place behind which it goes on.
        through: Position,
    },
}

/// A running subscription. It reads ahead only a little: who does not take updates holds it back.
#[derive(Debug)]
pub struct Subscription {
    updates: mpsc::Receiver<Result<Update, ClientError>>,
    _task: AbortOnDropHandle<()>,
}

impl Subscribe {
    /// To channels and patterns, from the earliest event on, over WebSocket.
    pub fn to<S: Into<String>>(channels: impl IntoIterator<Item = S>) -> Self {
        Self {
            channels: channels.into_iter().map(Into::into).collect(),
            after: After::Earliest,
            transport: TransportKind::default(),
            reconnects: true,
        }
    }

    /// From this place on.
    #[must_use]
    pub fn after(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    /// Over this transport.
    #[must_use]
    pub fn over(mut self, transport: TransportKind) -> Self {
        self.transport = transport;
        self
    }

    /// Ends with the connection instead of making a new one.
    #[must_use]
    pub fn without_reconnect(mut self) -> Self {
        self.reconnects = false;
        self
    }
}

impl Subscription {
    pub(crate) fn start(client: Client, subscribe: Subscribe) -> Self {
        let (sender, updates) = mpsc::channel(UPDATES_AHEAD);
        let task = tokio::spawn(run(client, subscribe, sender));
        Self { updates, _task: AbortOnDropHandle::new(task) }
    }

    /// The next update; `None` after an error that cannot be mended by trying again.
    pub async fn next(&mut self) -> Option<Result<Update, ClientError>> {
        self.updates.recv().await
    }

    /// The next event, whatever comes before it.
    ///
    /// # Errors
    ///
    /// The subscription has ended.
    pub async fn next_event(&mut self) -> Result<Received, ClientError> {
        loop {
            match self.next().await {
                Some(Ok(Update::Event(event))) => return Ok(*event),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(ClientError::Connection("the subscription has ended".into())),
            }
        }
    }
}

type Updates = mpsc::Sender<Result<Update, ClientError>>;

/// Connects again and again, each time from the place reached.
async fn run(client: Client, subscribe: Subscribe, updates: Updates) {
    let mut place = Place { after: subscribe.after, last: None };
    let mut backoff = Backoff::default();
    loop {
        let ended = read(&client, &subscribe, &mut place, &mut backoff, &updates).await;
        let Err(error) = ended else { return };
        if !subscribe.reconnects || !error.error.is_retryable() {
            drop(updates.send(Err(error.error)).await);
            return;
        }
        let retry_in = backoff.after_failure(error.retry_after, fastrand::u64(..));
        let reason = error.error.to_string();
        if updates.send(Ok(Update::Disconnected { reason, retry_in })).await.is_err() {
            return;
        }
        tokio::time::sleep(retry_in).await;
    }
}

/// Reads over one connection. Ends well only if nobody takes updates any more.
async fn read(
    client: &Client,
    subscribe: &Subscribe,
    place: &mut Place,
    backoff: &mut Backoff,
    updates: &Updates,
) -> Result<(), transport::Ended> {
    let mut source = transport::open(client, subscribe, place.after).await?;
    loop {
        let step = tokio::select! {
            step = source.next() => step?,
            () = updates.closed() => return Ok(()),
        };
        backoff.reset();
        let update = match step {
            transport::Step::Progress(at) => {
                place.after = After::Position(at);
                continue;
            }
            transport::Step::Update(update) => update,
        };
        place.take(&update)?;
        if updates.send(Ok(update)).await.is_err() {
            return Ok(());
        }
        source.handled().await?;
    }
}

/// Where a subscription is.
struct Place {
    /// Where the next connection goes on.
    after: After,
    /// The last event that came.
    last: Option<Position>,
}

impl Place {
    /// Moves on, unless the update shows that something is missing.
    fn take(&mut self, update: &Update) -> Result<(), ClientError> {
        match update {
            Update::Event(event) => {
                let is_linked = match (event.previous, self.last) {
                    (Some(previous), Some(last)) => {
                        previous.offset <= last.offset.max(self.reached())
                    }
                    _ => true,
                };
                if !is_linked {
                    let text = format!("an event before {} is missing", event.at.cursor());
                    return Err(ClientError::Protocol(text));
                }
                self.last = Some(event.at);
                self.after = After::Position(event.at);
            }
            Update::CaughtUp(at) => self.after = After::Position(*at),
            Update::Gap { through, .. } => self.after = After::Position(*through),
            Update::Disconnected { .. } => {}
        }
        Ok(())
    }

    fn reached(&self) -> tl_model::Offset {
        match self.after {
            After::Position(at) => at.offset,
            After::Earliest | After::Latest => tl_model::Offset::START,
        }
    }
}

/// Updates that wait for whoever reads them.
const UPDATES_AHEAD: usize = 64;
