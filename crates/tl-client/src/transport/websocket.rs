use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::BoxFuture;

use tl_model::{After, Error, Form, Position};
use tl_wire::generated::throughline::v1 as contract;
use tl_wire::generated::throughline::v1::server_frame::Frame;

use super::{Ended, Source, Step, after_text};
use crate::client::Client;
use crate::error::ClientError;
use crate::session::{Socket, problem};
use crate::subscription::Update;

/// Reads one subscription of a WebSocket session, giving credit as events are handled.
pub(super) struct Reader {
    socket: Socket,
    steps: VecDeque<Step>,
    handled: u32,
}

impl Reader {
    pub(super) async fn open(
        client: &Client,
        channels: Vec<String>,
        after: After,
        form: Form,
    ) -> Result<Self, Ended> {
        let mut socket = Socket::connect(client, form).await?;
        let subscribe = contract::Subscribe {
            subscription: SUBSCRIPTION,
            channels,
            after: after_text(after),
            credit: Some(CREDIT),
        };
        socket.send(subscribe.into()).await?;
        Ok(Self { socket, steps: VecDeque::new(), handled: 0 })
    }

    async fn read(&mut self) -> Result<Step, Ended> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Ok(step);
            }
            let frame = self.socket.next().await?;
            self.take(frame)?;
        }
    }

    fn take(&mut self, frame: Frame) -> Result<(), Ended> {
        match frame {
            Frame::Events(events) => {
                for draft in events.events {
                    let event = draft.receive();
                    let event = event.map_err(|error| ClientError::Protocol(error.to_string()))?;
                    self.steps.push_back(Step::Update(Update::Event(Box::new(event))));
                }
            }
            Frame::CaughtUp(caught_up) => {
                let update = Update::CaughtUp(position(&caught_up.cursor)?);
                self.steps.push_back(Step::Update(update));
            }
            Frame::Gap(gap) => {
                let (after, through) = (position(&gap.after)?, position(&gap.cursor)?);
                self.steps.push_back(Step::Update(Update::Gap { after, through }));
            }
            Frame::Subscribed(subscribed) => {
                self.steps.push_back(Step::Progress(position(&subscribed.cursor)?));
            }
            Frame::Heartbeat(heartbeat) => {
                for place in heartbeat.places {
                    self.steps.push_back(Step::Progress(position(&place.cursor)?));
                }
            }
            Frame::GoingAway(going_away) => {
                let retry_after = Duration::from_millis(going_away.reconnect_after_ms.into());
                let error = ClientError::Connection("the server is about to stop".into());
                return Err(Ended { error, retry_after: Some(retry_after) });
            }
            Frame::Error(error) => {
                let error: Error = problem(error.problem.as_option())?;
                return Err(ClientError::Refused(error).into());
            }
            Frame::Pong(_) | Frame::Receipts(_) | Frame::Unsubscribed(_) | Frame::Welcome(_) => {}
        }
        Ok(())
    }

    /// Gives credit back in halves, so that the server never runs dry and is rarely written to.
    async fn give_credit(&mut self) -> Result<(), Ended> {
        self.handled += 1;
        if self.handled >= CREDIT / 2 {
            let events = std::mem::take(&mut self.handled);
            let credit = contract::Credit { subscription: SUBSCRIPTION, events };
            self.socket.send(credit.into()).await?;
        }
        Ok(())
    }
}

impl Source for Reader {
    fn next(&mut self) -> BoxFuture<'_, Result<Step, Ended>> {
        Box::pin(self.read())
    }

    fn handled(&mut self) -> BoxFuture<'_, Result<(), Ended>> {
        Box::pin(self.give_credit())
    }
}

fn position(cursor: &str) -> Result<Position, ClientError> {
    cursor.parse().map_err(|_| ClientError::Protocol(format!("`{cursor}` is no cursor")))
}

/// The only subscription of its session.
const SUBSCRIPTION: u32 = 1;
/// Events the server may send ahead.
const CREDIT: u32 = 512;
