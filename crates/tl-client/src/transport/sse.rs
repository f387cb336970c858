use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Response;
use reqwest::header::ACCEPT;

use tl_model::{After, Position};
use tl_wire::draft::Draft;
use tl_wire::sse::{Block, CONTENT_TYPE, Joiner, Parser};
use tl_wire::{json, problem};

use super::{Ended, Source, Step, after_text};
use crate::answer::{accepted, in_time};
use crate::client::Client;
use crate::error::ClientError;
use crate::subscription::Update;

/// Reads an event stream.
pub(super) struct EventStream {
    response: Response,
    parser: Parser,
    joiner: Joiner,
    last_id: String,
}

impl EventStream {
    pub(super) async fn open(
        client: &Client,
        channels: &[String],
        after: After,
    ) -> Result<Self, Ended> {
        let url = client.events_url(channels, &after_text(after));
        let request = client.http.get(url).header(ACCEPT, CONTENT_TYPE);
        let response = accepted(request).await?;
        let (parser, joiner) = (Parser::new(), Joiner::default());
        Ok(Self { response, parser, joiner, last_id: String::new() })
    }

    async fn read(&mut self) -> Result<Step, Ended> {
        loop {
            while let Some(block) = self.parser.next_block() {
                if let Some(block) = self.joiner.join(block) {
                    return step(&block);
                }
            }
            if self.parser.last_id() != self.last_id {
                self.parser.last_id().clone_into(&mut self.last_id);
                if let Ok(at) = self.last_id.parse() {
                    return Ok(Step::Progress(at));
                }
            }
            let Some(chunk) = in_time(self.response.chunk()).await? else {
                let error = ClientError::Connection("the server ended the stream".into());
                let retry_after = self.parser.retry_ms().map(Duration::from_millis);
                return Err(Ended { error, retry_after });
            };
            let too_long = |error: tl_wire::sse::TooLong| ClientError::Protocol(error.to_string());
            self.parser.feed(&chunk).map_err(too_long)?;
        }
    }
}

impl Source for EventStream {
    fn next(&mut self) -> BoxFuture<'_, Result<Step, Ended>> {
        Box::pin(self.read())
    }
}

fn step(block: &Block) -> Result<Step, Ended> {
    let senseless = |what: &dyn std::fmt::Display| ClientError::Protocol(what.to_string());
    let at =
        || -> Result<Position, ClientError> { block.id.parse().map_err(|error| senseless(&error)) };
    Ok(match block.name.as_str() {
        "" => {
            let draft: Draft = json::read(block.data.as_bytes()).map_err(|e| senseless(&e))?;
            let event = draft.receive().map_err(|error| senseless(&error))?;
            Step::Update(Update::Event(Box::new(event)))
        }
        "caught-up" => Step::Update(Update::CaughtUp(at()?)),
        "gap" => {
            let gap = tl_wire::page::read_gap(block.data.as_bytes());
            let (after, through) = gap.map_err(|error| senseless(&error))?;
            Step::Update(Update::Gap { after, through })
        }
        "problem" => match problem::read(block.data.as_bytes()) {
            Some(error) => return Err(ClientError::Refused(error).into()),
            None => return Err(senseless(&"a problem that is none").into()),
        },
        // Something newer than this client: the place still counts.
        _ => Step::Progress(at()?),
    })
}
