//! Whoever publishes: one batch after the other, with or without waiting for receipts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout_at};

use tl_wire::draft::Draft;
use tl_wire::generated::throughline::v1 as contract;
use tl_wire::generated::throughline::v1::server_frame::Frame;

use crate::client::{Client, offset};
use crate::model::{Sent, ensure};
use crate::plan::{CHANNELS, one_of};
use crate::world::{World, lock};

pub(crate) struct Publisher {
    world: Arc<World>,
    random: Rng,
    name: String,
    /// Publishes under way at once, at most.
    ahead_max: usize,
    /// How many it sends at once.
    burst: usize,
    publishes_left: usize,
    sent: usize,
    next_request: u32,
    /// What was sent over this session and has not been answered, in order.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    request: u32,
    ids: Vec<String>,
    atomic: bool,
}

impl Publisher {
    pub(crate) fn new(world: Arc<World>, mut random: Rng, number: usize) -> Self {
        let ahead_max = one_of(&mut random, [1, 1, 4, 64]);
        let burst = world.plan.burst;
        let (name, publishes_left, waiting) =
            (format!("p{number}"), world.plan.publishes, VecDeque::new());
        Self {
            world,
            random,
            name,
            ahead_max,
            burst,
            publishes_left,
            sent: 0,
            next_request: 1,
            waiting,
        }
    }

    /// Publishes until all is calm and everything is answered.
    pub(crate) async fn run(mut self) {
        while !self.world.is_calm() {
            if let Some(client) = self.world.connect(&mut self.random) {
                self.use_session(client).await;
            }
            self.world.note(format_args!("{}: without a session", self.name));
            sleep(Duration::from_millis(self.random.u64(1..1_000))).await;
        }
    }

    async fn use_session(&mut self, mut client: Client) {
        self.waiting.clear();
        loop {
            let is_calm = self.world.is_calm();
            if is_calm && self.waiting.is_empty() {
                return;
            }
            if !is_calm && self.waiting.len() < self.ahead_max {
                self.publish_burst(&mut client);
            }
            let pause = Duration::from_millis(self.random.u64(0..=self.world.plan.pause_ms_max));
            let until = Instant::now() + pause;
            while let Ok(frame) = timeout_at(until, client.next()).await {
                let Some(frame) = frame else { return };
                let held = self.handle(frame);
                self.world.check(&self.name, held);
            }
        }
    }

    fn publish_burst(&mut self, client: &mut Client) {
        for _ in 0..self.burst.min(self.publishes_left) {
            self.publishes_left -= 1;
            self.publish(client);
        }
    }

    fn publish(&mut self, client: &mut Client) {
        let channel = CHANNELS[self.random.usize(..CHANNELS.len())];
        let count = self.size(1, self.world.plan.batch_max);
        let ephemeral = self.random.u8(..16) == 0;
        let events: Vec<_> = (0..count).map(|_| self.draft(channel, ephemeral)).collect();
        let ids = events.iter().filter_map(|draft| draft.id.clone()).collect();
        let (request, atomic) = (self.next_request, self.random.bool());
        self.next_request += 1;
        self.world.note(format_args!("{}: {request} sends {ids:?} to {channel}", self.name));
        self.waiting.push_back(Waiting { request, ids, atomic });
        let channel = channel.to_owned();
        client.say(contract::Publish {
            request,
            channel,
            events,
            atomic,
            ephemeral,
            ..contract::Publish::default()
        });
    }

    fn size(&mut self, least: usize, most: usize) -> usize {
        let least = if self.world.plan.is_uniform { most } else { least };
        self.random.usize(least..=most)
    }

    fn draft(&mut self, channel: &str, is_ephemeral: bool) -> Draft {
        let id = format!("{}-{}", self.name, self.sent);
        self.sent += 1;
        let length = self.size(0, self.world.plan.data_bytes_max);
        let byte = self.random.u8(..);
        let data: Bytes = (0..length).map(|place| byte.wrapping_add(place as u8)).collect();
        let sent = Sent { channel: channel.to_owned(), data: data.clone(), is_ephemeral };
        lock(&self.world.model).sent(id.clone(), sent);
        Draft { id: Some(id), data: Some(data), ..Draft::default() }
    }

    fn handle(&mut self, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Receipts(receipts) => self.handle_receipts(&receipts),
            Frame::Error(error) => {
                let code = error.problem.as_option().map(|it| it.code.as_str());
                self.world.note(format_args!("{}: refused, {code:?}", self.name));
                self.world.count(|it| it.refusals += 1);
                let request = error.request.ok_or("the session was refused something")?;
                self.waiting.retain(|it| it.request != request);
                ensure(code == Some("draining"), || format!("{request} is refused: {code:?}"))
            }
            _ => Ok(()),
        }
    }

    fn handle_receipts(&mut self, receipts: &contract::Receipts) -> Result<(), String> {
        let request = receipts.request;
        let waiting = self.waiting.pop_front().ok_or("receipts for nothing")?;
        ensure(waiting.request == request, || {
            format!("the receipts of {request} come before those of {}", waiting.request)
        })?;
        let Waiting { ids, atomic, .. } = waiting;
        ensure(ids.len() == receipts.receipts.len(), || format!("receipts lack in {request}"))?;
        let mut refused = 0;
        for (id, receipt) in ids.iter().zip(&receipts.receipts) {
            match receipt.error.as_option() {
                None => self.handle_receipt(id, receipt)?,
                Some(problem) => {
                    refused += 1;
                    self.world.note(format_args!("{}: {id} has {}", self.name, problem.code));
                    let is_expected = ["store_failed", "store_full"].contains(&&*problem.code);
                    ensure(is_expected, || format!("{id} is refused: {}", problem.code))?;
                }
            }
        }
        self.world.count(|it| it.refusals += refused);
        let is_whole = refused == 0 || refused == ids.len();
        ensure(!atomic || is_whole, || format!("a part of {request} is logged"))
    }

    fn handle_receipt(&self, id: &str, receipt: &contract::Receipt) -> Result<(), String> {
        self.world.count(|it| it.receipts += 1);
        ensure(receipt.id == id, || format!("a receipt of {} for {id}", receipt.id))?;
        let model = lock(&self.world.model);
        if model.is_ephemeral(id) {
            return ensure(receipt.cursor.is_empty(), || format!("{id} is at {}", receipt.cursor));
        }
        let at = offset(&receipt.cursor)?;
        self.world.note(format_args!("{}: {id} is at {at}", self.name));
        model.check_at(at, id)
    }
}
