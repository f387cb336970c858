use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::BoxFuture;

use tl_model::After;

use super::{Ended, Source, Step, after_text};
use crate::client::Client;
use crate::subscription::Update;

/// Asks for page after page: with a wait as a long poll, without as often as the server suggests.
pub(super) struct Polling {
    client: Client,
    channels: Vec<String>,
    after: After,
    wait: Option<Duration>,
    etag: Option<String>,
    pause: Duration,
    is_caught_up: bool,
    steps: VecDeque<Step>,
}

impl Polling {
    pub(super) fn new(
        client: Client,
        channels: Vec<String>,
        after: After,
        wait: Option<Duration>,
    ) -> Self {
        let (etag, pause, steps) = (None, Duration::ZERO, VecDeque::new());
        Self { client, channels, after, wait, etag, pause, is_caught_up: false, steps }
    }

    async fn poll(&mut self) -> Result<(), Ended> {
        tokio::time::sleep(std::mem::take(&mut self.pause)).await;
        let after = after_text(self.after);
        // The first page is wanted at once, even if it is empty: it tells that all was read.
        let wait = self.wait.filter(|_| self.is_caught_up);
        let page = self.client.page(&self.channels, &after, wait, self.etag.as_deref()).await?;
        let Some(page) = page else {
            self.pause = PAUSE_UNCHANGED;
            return Ok(());
        };
        self.after = After::Position(page.next);
        self.etag = None;
        if let Some((after, through)) = page.gap {
            self.steps.push_back(Step::Update(Update::Gap { after, through }));
        }
        for event in page.events {
            self.steps.push_back(Step::Update(Update::Event(Box::new(event))));
        }
        if page.caught_up && !std::mem::replace(&mut self.is_caught_up, true) {
            self.steps.push_back(Step::Update(Update::CaughtUp(page.next)));
        }
        if page.caught_up && self.wait.is_none() {
            // An empty page from here has this tag, until something happens.
            self.etag = page.etag;
            self.pause = page.poll_again_in.unwrap_or(PAUSE_UNCHANGED);
        }
        self.steps.push_back(Step::Progress(page.next));
        Ok(())
    }
}

impl Source for Polling {
    fn next(&mut self) -> BoxFuture<'_, Result<Step, Ended>> {
        Box::pin(async {
            loop {
                if let Some(step) = self.steps.pop_front() {
                    return Ok(step);
                }
                self.poll().await?;
            }
        })
    }
}

/// How soon to ask again when the server has said nothing of it.
const PAUSE_UNCHANGED: Duration = Duration::from_secs(2);
