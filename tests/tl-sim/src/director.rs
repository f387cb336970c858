//! Lets things go wrong, sees to it that they come right again, and tells how it went.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};

use tl_engine::Environment;
use tl_store::LogStore;
use tl_store_disk::simulation::{Faults, SimulatedDisk};

use crate::environment::SimulatedEnvironment;
use crate::following::Following;
use crate::model::End;
use crate::plan::Plan;
use crate::publisher::Publisher;
use crate::server::Server;
use crate::subscriber::Subscriber;
use crate::world::{World, lock};
use crate::{Run, Trace};

/// Runs the simulation of a seed from its beginning to its end.
pub(crate) async fn direct(seed: u64, keeps_text: bool) -> Run {
    let mut random = Rng::with_seed(seed);
    let plan = Plan::draw(&mut random);
    let world = World::new(plan, keeps_text);
    let environment = Arc::new(SimulatedEnvironment::new(Instant::now(), random.fork()));
    let disk = SimulatedDisk::new();
    let mut director =
        Director { world: world.clone(), random, environment, disk, power_goes: false };
    let complained = world.complained.notified();
    tokio::select! {
        biased;
        () = complained => {}
        () = director.run() => {}
    }
    drop(lock(&world.server).take());
    lock(&world.vanished).clear();
    let logged = lock(&world.model).len();
    world.count(|it| it.logged = logged);
    let (figures, complaint) = (*lock(&world.figures), world.complaint());
    let trace: Trace = lock(&world.trace).clone();
    Run { trace, figures, complaint }
}

struct Director {
    world: Arc<World>,
    random: Rng,
    environment: Arc<SimulatedEnvironment>,
    disk: SimulatedDisk,
    /// It goes during this life, or has gone.
    power_goes: bool,
}

impl Director {
    async fn run(&mut self) {
        self.start(End::Close).await;
        let followings = self.let_clients_in();
        for _ in 0..self.world.plan.incidents {
            self.pause(INCIDENT_MS_MAX).await;
            self.let_something_happen().await;
        }
        self.pause(INCIDENT_MS_MAX).await;
        self.world.calm();
        self.disk.set_faults(Faults::default());
        // Whatever has stopped goes on with the next life.
        self.end(End::ProcessDeath).await;
        self.await_the_end(&followings.0, followings.1).await;
        self.end(End::Close).await;
    }

    /// Starts clients; tells what the subscribers follow, and how to wait for the publishers.
    fn let_clients_in(&mut self) -> (Vec<Follows>, Vec<tokio::task::JoinHandle<()>>) {
        let Plan { publishers, subscribers, .. } = self.world.plan;
        let publishers = (0..publishers).map(|number| {
            let publisher = Publisher::new(self.world.clone(), self.random.fork(), number);
            tokio::spawn(publisher.run())
        });
        let publishers = publishers.collect();
        let subscribers = (0..subscribers).map(|number| {
            let subscriber = Subscriber::new(self.world.clone(), self.random.fork(), number);
            let followings = subscriber.followings();
            tokio::spawn(subscriber.run());
            followings
        });
        (subscribers.collect(), publishers)
    }

    async fn let_something_happen(&mut self) {
        match self.random.u8(..13) {
            0 | 1 => self.end(End::ProcessDeath).await,
            2 | 3 => self.end(End::PowerLoss).await,
            4 => self.lose_power_soon().await,
            5 => self.fail(Faults { writes_fail: true, ..Faults::default() }).await,
            6 => self.fail(Faults { syncs_fail: true, ..Faults::default() }).await,
            7 => self.fill_up().await,
            8 => self.fail(Faults { removes_fail: true, ..Faults::default() }).await,
            9..=11 => self.trim().await,
            _ => self.end(End::Close).await,
        }
    }

    /// The power goes in the middle of a change.
    async fn lose_power_soon(&mut self) {
        let changes = self.random.u64(1..12);
        self.world.note(format_args!("director: no power after {changes} changes"));
        self.disk.cut_power_after(changes);
        self.power_goes = true;
        self.pause(2_000).await;
        self.end(End::PowerLoss).await;
    }

    /// The disk fails, which the server does not get over before its next life.
    async fn fail(&mut self, faults: Faults) {
        self.world.note(format_args!("director: {faults:?}"));
        self.disk.set_faults(faults);
        self.pause(2_000).await;
        let end = if self.random.bool() { End::ProcessDeath } else { End::PowerLoss };
        self.end(end).await;
    }

    /// There is no room for a while, which costs nothing.
    async fn fill_up(&mut self) {
        self.world.note(format_args!("director: the disk is full"));
        self.disk.set_faults(Faults { is_full: true, ..Faults::default() });
        self.pause(2_000).await;
        self.world.note(format_args!("director: there is room"));
        self.disk.set_faults(Faults::default());
    }

    async fn trim(&mut self) {
        let store = lock(&self.world.server).as_ref().map(Server::store);
        let rules = lock(&self.world.model).rules().clone();
        if let Some(store) = store {
            // What fails is tried again by the server itself.
            drop(store.trim(&rules, self.environment.now_ms()).await);
        }
    }

    /// Ends a life of the server and begins the next one.
    async fn end(&mut self, end: End) {
        let end = if self.power_goes { End::PowerLoss } else { end };
        self.world.note(format_args!("director: {end:?}"));
        if end == End::Close {
            self.drain().await;
        }
        let server = lock(&self.world.server).take();
        self.disk = match end {
            End::PowerLoss => self.after_power_loss(),
            End::Close | End::ProcessDeath => self.disk.after_process_death(),
        };
        if let Some(server) = server {
            server.kill();
        }
        self.world.count(|it| match end {
            End::Close => {}
            End::ProcessDeath => it.deaths += 1,
            End::PowerLoss => it.power_losses += 1,
        });
        self.pause(500).await;
        self.start(end).await;
    }

    fn after_power_loss(&mut self) -> SimulatedDisk {
        let page_bytes = if self.random.bool() { 512 } else { 4_096 };
        let chance = self.random.u8(1..8);
        self.disk.after_power_loss(page_bytes, || self.random.u8(..8) < chance)
    }

    async fn drain(&self) {
        let Some(engine) = lock(&self.world.server).as_ref().map(Server::engine) else { return };
        engine.drain();
        sleep(DRAIN_WAIT).await;
        if let Err(error) = engine.close().await {
            self.world.check("director", Err(format!("cannot close: {error}")));
        }
    }

    /// Begins a life. Now and then the power goes while the log is opened.
    async fn start(&mut self, ended: End) {
        let (world, environment) = (self.world.clone(), self.environment.clone());
        self.power_goes = ended != End::Close && !world.is_calm() && self.random.u8(..8) == 0;
        if self.power_goes {
            self.disk.cut_power_after(self.random.u64(1..4));
        }
        let random = &mut self.random;
        let server = Server::start(&world, &self.disk, environment.clone(), ended, random).await;
        let server = match server {
            Err(error) if self.power_goes => {
                world.note(format_args!("director: no power while opening, {error}"));
                self.disk = self.after_power_loss();
                self.power_goes = false;
                let (disk, random) = (&self.disk, &mut self.random);
                Server::start(&world, disk, environment, End::PowerLoss, random).await
            }
            server => server,
        };
        match server {
            Ok(server) => *lock(&world.server) = Some(server),
            Err(error) => world.check("server", Err(format!("does not open: {error}"))),
        }
    }

    /// Waits until publishers have their answers and subscribers have everything.
    async fn await_the_end(
        &self,
        followings: &[Follows],
        publishers: Vec<tokio::task::JoinHandle<()>>,
    ) {
        let all = async {
            for publisher in publishers {
                if publisher.await.is_err() {
                    self.world.check("publisher", Err("has panicked".to_owned()));
                }
            }
            while !self.has_everybody_everything(followings) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(CALM_MAX, all).await.is_err() {
            let left = self.left(followings);
            self.world.check("director", Err(format!("it does not come to an end: {left}")));
        }
    }

    fn has_everybody_everything(&self, followings: &[Follows]) -> bool {
        let model = lock(&self.world.model);
        followings.iter().all(|its| lock(its).iter().all(|it| it.has_everything(&model)))
    }

    fn left(&self, followings: &[Follows]) -> String {
        let model = lock(&self.world.model);
        let mut left = Vec::new();
        for its in followings {
            let its = lock(its);
            let lacking = its.iter().filter(|it| !it.has_everything(&model));
            left.extend(lacking.map(|it| format!("{:?} is at {:?}", it.patterns, it.place)));
        }
        left.join(", ")
    }

    async fn pause(&mut self, millis_max: u64) {
        sleep(Duration::from_millis(self.random.u64(1..millis_max))).await;
    }
}

type Follows = Arc<Mutex<Vec<Following>>>;

/// Between two incidents.
const INCIDENT_MS_MAX: u64 = 4_000;
/// A little more than sessions may take for it.
const DRAIN_WAIT: Duration = Duration::from_millis(3_500);
/// Far longer than anything takes that does not hang.
const CALM_MAX: Duration = Duration::from_secs(600);
