//! Whoever owns the journal: a thread of its own, or, in a simulation, the caller.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
// Its clock is one that a simulation can stop.
use tokio::time::Instant;

use tl_model::Appended;
use tl_store::{AppendError, Batch};

use crate::journal::Journal;
use crate::sealing::Sealer;
use crate::workers::Workers;

/// A handle to the owner. Dropping it flushes the journal and waits for that.
pub(crate) enum Writer {
    Thread { commands: Option<Sender<Command>>, thread: Option<JoinHandle<()>> },
    Caller(Box<Mutex<Owner>>),
}

pub(crate) enum Command {
    Append(Batch, oneshot::Sender<Result<Vec<Appended>, AppendError>>),
    Flush(oneshot::Sender<Result<(), AppendError>>),
    DropSegments(u64, oneshot::Sender<Result<(), AppendError>>),
}

impl Writer {
    pub(crate) fn start(
        workers: Workers,
        journal: Journal,
        sealer: Arc<Sealer>,
    ) -> io::Result<Self> {
        let owner = Owner::new(workers, journal, sealer);
        if workers == Workers::Caller {
            return Ok(Self::Caller(Box::new(Mutex::new(owner))));
        }
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("tl-journal".to_owned());
        let thread = thread.spawn(move || run(owner, &receiver))?;
        Ok(Self::Thread { commands: Some(sender), thread: Some(thread) })
    }

    pub(crate) fn append(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<Vec<Appended>, AppendError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Append(batch, reply));
        answered(answer)
    }

    pub(crate) fn flush(&self) -> impl Future<Output = Result<(), AppendError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Flush(reply));
        answered(answer)
    }

    pub(crate) fn drop_segments(
        &self,
        through: u64,
    ) -> impl Future<Output = Result<(), AppendError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::DropSegments(through, reply));
        answered(answer)
    }

    fn send(&self, command: Command) {
        match self {
            // If the thread is gone, so is the reply, which whoever waits for it notices.
            Self::Thread { commands: Some(commands), .. } => drop(commands.send(command)),
            Self::Thread { commands: None, .. } => {}
            Self::Caller(owner) => {
                owner.lock().unwrap_or_else(PoisonError::into_inner).turn(Some(command));
            }
        }
    }
}

async fn answered<T>(answer: oneshot::Receiver<Result<T, AppendError>>) -> Result<T, AppendError> {
    let gone = |_| AppendError::Stopped("the journal's thread has ended".to_owned());
    answer.await.map_err(gone)?
}

impl Drop for Writer {
    fn drop(&mut self) {
        match self {
            Self::Thread { commands, thread } => {
                drop(commands.take());
                if let Some(thread) = thread.take()
                    && thread.join().is_err()
                {
                    tracing::error!("the journal's thread has panicked");
                }
            }
            Self::Caller(owner) => {
                owner.get_mut().unwrap_or_else(PoisonError::into_inner).end();
            }
        }
    }
}

fn run(mut owner: Owner, commands: &Receiver<Command>) {
    loop {
        match commands.recv_timeout(HELD_MAX) {
            Ok(command) => owner.turn(Some(command)),
            Err(RecvTimeoutError::Timeout) => owner.turn(None),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    owner.end();
}

/// The journal, and what is to be done beside it.
pub(crate) struct Owner {
    journal: Journal,
    sealer: Arc<Sealer>,
    preparing: Chore,
    sealing: Chore,
    written_at: Instant,
}

impl Owner {
    fn new(workers: Workers, journal: Journal, sealer: Arc<Sealer>) -> Self {
        let chore = || Chore { workers, thread: None };
        let (preparing, sealing, written_at) = (chore(), chore(), Instant::now());
        Self { journal, sealer, preparing, sealing, written_at }
    }

    /// Obeys, and sees to whatever else is due.
    fn turn(&mut self, command: Option<Command>) {
        if let Some(command) = command {
            obey(&mut self.journal, &self.sealer, command);
        }
        if self.written_at.elapsed() >= HELD_MAX {
            self.written_at = Instant::now();
            drop(self.journal.write_held());
        }
        if self.journal.wants_spare() {
            let (disk, spares) = self.journal.spares();
            self.preparing.begin("tl-segments", move || spares.make(&*disk));
        }
        if self.sealer.is_wanted() {
            let sealer = self.sealer.clone();
            self.sealing.begin("tl-sealing", move || sealer.seal());
        }
    }

    fn end(&mut self) {
        drop(self.journal.flush());
        self.preparing.finish();
        self.sealing.finish();
        self.sealer.write_last_checkpoint();
    }
}

/// Whoever asked may have gone away; the work was done all the same.
fn obey(journal: &mut Journal, sealer: &Sealer, command: Command) {
    match command {
        Command::Append(batch, reply) => drop(reply.send(journal.append(&batch))),
        Command::Flush(reply) => drop(reply.send(journal.flush())),
        Command::DropSegments(through, reply) => {
            let dropped = journal.drop_segments(through);
            drop(reply.send(dropped.map(|dropped| sealer.add_dropped(dropped))));
        }
    }
}

/// Work in the background, one piece at a time.
struct Chore {
    workers: Workers,
    thread: Option<JoinHandle<()>>,
}

impl Chore {
    /// Begins the work, unless the last piece is still under way.
    fn begin(&mut self, name: &str, work: impl FnOnce() + Send + 'static) {
        if self.workers == Workers::Caller {
            return work();
        }
        let is_under_way = self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if !is_under_way {
            let thread = std::thread::Builder::new().name(name.to_owned());
            self.thread = thread.spawn(work).ok();
        }
    }

    fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The longest that events of durability `memory` are held before they are written.
const HELD_MAX: Duration = Duration::from_secs(1);
