use std::collections::VecDeque;

use futures_util::future::BoxFuture;

use tl_model::{After, Form};
use tl_wire::generated::throughline::v1 as contract;

use super::{Ended, Source, Step, after_text, frame};
use crate::client::Client;
use crate::session::Socket;

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
            self.steps = frame::steps(self.socket.next().await?)?;
        }
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

/// The only subscription of its session.
const SUBSCRIPTION: u32 = 1;
/// Events the server may send ahead.
const CREDIT: u32 = 512;
