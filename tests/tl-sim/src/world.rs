use std::fmt::Arguments;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use tokio::sync::Notify;

use tl_model::LoggedEvent;
use tl_store::ReadError;

use crate::Figures;
use crate::client::Client;
use crate::model::Model;
use crate::network::End;
use crate::plan::Plan;
use crate::server::Server;
use crate::trace::Trace;

/// What everybody in a simulation shares.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) model: Mutex<Model>,
    pub(crate) server: Mutex<Option<Server>>,
    pub(crate) figures: Mutex<Figures>,
    pub(crate) trace: Mutex<Trace>,
    /// Ends of links that nobody reads, and that have not told so.
    pub(crate) vanished: Mutex<Vec<End>>,
    complaint: Mutex<Option<String>>,
    pub(crate) complained: Notify,
    /// Nothing goes wrong any more, and nobody publishes.
    is_calm: AtomicBool,
}

impl World {
    pub(crate) fn new(plan: Plan, keeps_text: bool) -> Arc<Self> {
        let model = Mutex::new(Model::new(plan.rules.clone()));
        Arc::new(Self {
            plan,
            model,
            server: Mutex::default(),
            figures: Mutex::default(),
            trace: Mutex::new(Trace::new(keeps_text)),
            vanished: Mutex::default(),
            complaint: Mutex::default(),
            complained: Notify::new(),
            is_calm: AtomicBool::new(false),
        })
    }

    /// Writes down what was seen.
    pub(crate) fn note(&self, seen: Arguments<'_>) {
        lock(&self.trace).note(seen);
    }

    /// Remembers the first promise that was broken.
    pub(crate) fn check(&self, who: &str, held: Result<(), String>) {
        let Err(complaint) = held else { return };
        self.note(format_args!("{who}: WRONG: {complaint}"));
        lock(&self.complaint).get_or_insert_with(|| format!("{who}: {complaint}"));
        self.complained.notify_one();
    }

    pub(crate) fn complaint(&self) -> Option<String> {
        lock(&self.complaint).clone()
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Figures)) {
        count(&mut lock(&self.figures));
    }

    pub(crate) fn calm(&self) {
        self.note(format_args!("director: calm"));
        self.is_calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    /// A new session, unless nobody listens.
    pub(crate) fn connect(self: &Arc<Self>, random: &mut Rng) -> Option<Client> {
        let accepted = lock(&self.server).as_mut()?.accept(self, random);
        Some(Client::new(self.clone(), accepted, random.fork()))
    }

    /// The log was trimmed, and this is left.
    pub(crate) fn trimmed(&self, left: Result<Vec<LoggedEvent>, ReadError>, now_ms: u64) {
        let left = left.map_err(|error| error.to_string());
        let trimmed = left.and_then(|left: Vec<_>| lock(&self.model).trimmed(&left, now_ms));
        self.note(format_args!("store: trimmed, {trimmed:?}"));
        let (gone, behind) = trimmed.as_ref().copied().unwrap_or_default();
        self.count(|it| {
            it.trimmed += gone;
            it.holes += behind;
        });
        self.check("store", trimmed.map(drop));
    }
}

/// Tells if the task that holds it panics, which otherwise nobody would hear of.
pub(crate) struct Watch(pub(crate) Arc<World>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.check("a task", Err("has panicked".to_owned()));
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
