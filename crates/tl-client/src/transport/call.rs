use std::collections::VecDeque;

use connectrpc::Protocol;
use futures_util::future::BoxFuture;

use tl_model::After;

use super::{Ended, Source, Step, after_text, frame};
use crate::client::Client;
use crate::rpc::{EventService, Frames};

/// Reads what the call `EventService/Subscribe` delivers. What is not taken stays with the server: it
/// may send no more than the connection's window.
pub(super) struct Call {
    frames: Frames,
    steps: VecDeque<Step>,
}

impl Call {
    pub(super) async fn open(
        client: &Client,
        channels: Vec<String>,
        after: After,
        protocol: Protocol,
    ) -> Result<Self, Ended> {
        let service = EventService::new(client, protocol);
        let frames = service.subscribe(channels, after_text(after)).await?;
        Ok(Self { frames, steps: VecDeque::new() })
    }

    async fn read(&mut self) -> Result<Step, Ended> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Ok(step);
            }
            self.steps = frame::steps(self.frames.next().await?)?;
        }
    }
}

impl Source for Call {
    fn next(&mut self) -> BoxFuture<'_, Result<Step, Ended>> {
        Box::pin(self.read())
    }
}
