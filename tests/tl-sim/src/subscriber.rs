//! Whoever subscribes: goes on from its last cursors after every cut.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use tl_model::{Epoch, Offset, Position};
use tl_wire::generated::throughline::v1 as contract;
use tl_wire::generated::throughline::v1::server_frame::Frame;

use crate::client::{Client, offset};
use crate::following::Following;
use crate::plan::{SELECTIONS, one_of};
use crate::world::{Watch, World, lock};

pub(crate) struct Subscriber {
    world: Arc<World>,
    random: Rng,
    name: String,
    followings: Arc<Mutex<Vec<Following>>>,
    /// How long it sometimes reads nothing, at most.
    stall_ms_max: u64,
}

impl Subscriber {
    pub(crate) fn new(world: Arc<World>, mut random: Rng, number: usize) -> Self {
        let count = random.usize(1..=2);
        let followings = (0..count).map(|which| {
            let own = one_of(&mut random, SELECTIONS);
            let patterns = world.plan.shared.filter(|_| which == 0).unwrap_or(own);
            Following::new(patterns, one_of(&mut random, [None, None, Some(1), Some(7)]))
        });
        let followings = Arc::new(Mutex::new(followings.collect()));
        let stall_ms_max = one_of(&mut random, [0, 0, 300, 5_000]);
        Self { world, random, name: format!("s{number}"), followings, stall_ms_max }
    }

    /// What it has been told, for whoever waits for the end.
    pub(crate) fn followings(&self) -> Arc<Mutex<Vec<Following>>> {
        self.followings.clone()
    }

    pub(crate) async fn run(mut self) {
        let _watch = Watch(self.world.clone());
        loop {
            if let Some(client) = self.world.connect(&mut self.random) {
                self.use_session(client).await;
            }
            self.world.note(format_args!("{}: without a session", self.name));
            let away_ms_max = one_of(&mut self.random, [200, 1_000, 1_000, 8_000]);
            sleep(Duration::from_millis(self.random.u64(1..away_ms_max))).await;
        }
    }

    async fn use_session(&mut self, mut client: Client) {
        let count = lock(&self.followings).len();
        for number in 0..count {
            match self.random.u8(..8) {
                0 => lock(&self.followings)[number].go_back(),
                1 | 2 => lock(&self.followings)[number].keep_place(),
                _ => {}
            }
            self.subscribe(&mut client, number);
        }
        while let Some(frame) = client.next().await {
            let held = self.handle(&mut client, frame);
            self.world.check(&self.name, held);
            if self.stall_ms_max > 0 && self.random.u8(..16) == 0 && !self.world.is_calm() {
                sleep(Duration::from_millis(self.random.u64(..self.stall_ms_max))).await;
            }
        }
    }

    fn subscribe(&self, client: &mut Client, number: usize) {
        let mut followings = lock(&self.followings);
        let following = &mut followings[number];
        following.allowed = following.credit.unwrap_or_default();
        let (patterns, credit) = (&following.patterns, following.credit);
        let after = following.place.map(cursor).unwrap_or_default();
        self.world.note(format_args!("{}: {patterns:?} behind {after:?}", self.name));
        let channels = patterns.iter().map(|&it| it.to_owned()).collect();
        client.say(contract::Subscribe { subscription: number as u32, channels, after, credit });
    }

    fn handle(&self, client: &mut Client, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Subscribed(it) => self.about(it.subscription, "subscribed", |model, its| {
                its.handle_subscribed(model, offset(&it.cursor)?)
            }),
            Frame::CaughtUp(it) => self.about(it.subscription, "caught up", |model, its| {
                its.handle_place(model, offset(&it.cursor)?)
            }),
            Frame::Gap(it) => {
                self.world.count(|figures| figures.gaps += 1);
                self.about(it.subscription, "gap", |model, its| {
                    its.handle_gap(model, offset(&it.after)?, offset(&it.cursor)?)
                })
            }
            Frame::Heartbeat(it) => self.handle_places(&it.places),
            Frame::GoingAway(it) => self.handle_places(&it.places),
            Frame::Events(events) => self.handle_events(client, &events),
            Frame::Error(error) => self.handle_error(client, &error),
            _ => Ok(()),
        }
    }

    fn handle_events(&self, client: &mut Client, events: &contract::Events) -> Result<(), String> {
        for draft in &events.events {
            let event = draft.receive().map_err(|error| error.to_string())?;
            self.world.count(|figures| figures.delivered += 1);
            self.about(events.subscription, event.event.id(), |model, its| {
                its.handle_event(model, &event)
            })?;
        }
        let mut followings = lock(&self.followings);
        let its = &mut followings[events.subscription as usize];
        if its.credit.is_some() {
            let (subscription, credit) = (events.subscription, events.events.len() as u32);
            its.allowed += credit;
            client.say(contract::Credit { subscription, events: credit });
        }
        Ok(())
    }

    fn handle_places(&self, places: &[contract::Place]) -> Result<(), String> {
        places.iter().try_for_each(|place| {
            self.about(place.subscription, "place", |model, its| {
                its.handle_place(model, offset(&place.cursor)?)
            })
        })
    }

    fn handle_error(&self, client: &mut Client, error: &contract::Error) -> Result<(), String> {
        let code = error.problem.as_option().map(|it| it.code.as_str());
        let (Some(number), Some("cursor_ahead")) = (error.subscription, code) else {
            return Err(format!("refused: {code:?}"));
        };
        self.about(number, "ahead", |model, its| its.handle_ahead(model))?;
        self.subscribe(client, number as usize);
        Ok(())
    }

    /// Hands something told to the subscription it is about, and writes down where that is then.
    fn about(
        &self,
        number: u32,
        told: &str,
        handle: impl FnOnce(&crate::model::Model, &mut Following) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut followings = lock(&self.followings);
        let its = followings.get_mut(number as usize).ok_or("a subscription nobody has")?;
        let before = its.place.unwrap_or_default();
        let held = handle(&lock(&self.world.model), its);
        let after = its.place.unwrap_or_default();
        self.world.note(format_args!("{}/{number}: {told}, {before} to {after}", self.name));
        held.map_err(|complaint| format!("{:?}: {complaint}", its.patterns))
    }
}

fn cursor(offset: Offset) -> String {
    Position { epoch: Epoch::from_random(1 << 40), offset }.cursor().to_string()
}
