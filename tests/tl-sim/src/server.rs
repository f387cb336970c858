//! The server through its lives: opened, killed, without power, drained, opened again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::AbortHandle;

use tl_engine::{Engine, Environment, Options};
use tl_model::{Call, Epoch, Form, LoggedEvent, Offset, Selection};
use tl_store::{LogStore, Read, ReadError};
use tl_store_disk::simulation::SimulatedDisk;
use tl_store_disk::{DiskStore, OpenError, Workers};
use tl_transport::session::{SessionOptions, drive};

use crate::model::End;
use crate::network::{End as LinkEnd, SimulatedCarrier, link};
use crate::store::SlowStore;
use crate::world::{Watch, World, lock};

/// One life.
pub(crate) struct Server {
    engine: Engine,
    store: Arc<SlowStore>,
    is_dead: Arc<AtomicBool>,
    sessions: Vec<AbortHandle>,
}

impl Server {
    /// Opens the log, compares it with what it must hold after the last life, and serves it.
    pub(crate) async fn start(
        world: &Arc<World>,
        disk: &SimulatedDisk,
        environment: Arc<dyn Environment>,
        ended: End,
        random: &mut Rng,
    ) -> Result<Self, OpenError> {
        let mut generations = random.fork();
        let store = Arc::new(DiskStore::open_with(
            Workers::Caller,
            Arc::new(disk.clone()),
            Epoch::from_random(1 << 40),
            world.plan.segment_bytes,
            Box::new(move || generations.u64(..)),
        )?);
        let found = read_all(&store).await.unwrap_or_else(|error| {
            world.check("log", Err(error.to_string()));
            Vec::new()
        });
        let bounds = store.bounds();
        world.note(format_args!("server: opened, {bounds:?}, {} events", found.len()));
        let outcome = lock(&world.model).reopened(ended, &found, bounds.tail);
        world.count(|it| it.lost += outcome.as_ref().copied().unwrap_or_default());
        world.check("log", outcome.map(drop));
        let is_dead = Arc::new(AtomicBool::new(false));
        let slow = SlowStore::new(store, world.clone(), random.fork(), is_dead.clone());
        let store = Arc::new(slow);
        let options = Options { rules: world.plan.rules.clone(), ..Options::default() };
        let engine = Engine::start(store.clone(), environment, options);
        Ok(Self { engine, store, is_dead, sessions: Vec::new() })
    }

    /// A client's end of a new link, and the form in which it speaks.
    pub(crate) fn accept(&mut self, world: &Arc<World>, random: &mut Rng) -> (LinkEnd, Form) {
        let (client, server) = link(random, world.plan.link_delay_ms_max);
        let form = if random.bool() { Form::Json } else { Form::Protobuf };
        let (engine, carrier) = (self.engine.clone(), SimulatedCarrier::new(server, form));
        let watch = Watch(world.clone());
        let session = tokio::spawn(async move {
            let _watch = watch;
            // Whether the link broke or the session ended is all the same to a server.
            let (options, leaving) = (Arc::new(SESSIONS), engine.draining());
            drop(drive(carrier, form, &engine, Call::default(), options, leaving).await);
        });
        self.sessions.push(session.abort_handle());
        (client, form)
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine.clone()
    }

    pub(crate) fn store(&self) -> Arc<SlowStore> {
        self.store.clone()
    }

    /// Ends all of it, in the middle of whatever it does.
    pub(crate) fn kill(self) {
        self.is_dead.store(true, Ordering::Relaxed);
        self.sessions.iter().for_each(AbortHandle::abort);
    }
}

/// All that the log has.
pub(crate) async fn read_all(store: &DiskStore) -> Result<Vec<LoggedEvent>, ReadError> {
    let selection = Selection::parse([">"]).expect("a legal pattern");
    let (events_max, bytes_max) = (usize::MAX, usize::MAX);
    let mut read = Read { selection, after: Offset::START, events_max, bytes_max };
    let mut events = Vec::new();
    loop {
        let page = store.read(read.clone()).await?;
        events.extend(page.events);
        read.after = page.read_to;
        if page.reached_end {
            return Ok(events);
        }
    }
}

const SESSIONS: SessionOptions = SessionOptions {
    heartbeat: Duration::from_secs(2),
    reconnect_within: Duration::from_secs(1),
    drain_grace: Duration::from_secs(3),
};
