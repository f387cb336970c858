//! The thread that owns the journal.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use tl_model::Appended;
use tl_store::{AppendError, Batch};

use crate::journal::Journal;
use crate::sealing::Sealer;

/// A handle to the thread. Dropping it flushes the journal and waits for the thread to end.
pub(crate) struct Writer {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Append(Batch, oneshot::Sender<Result<Vec<Appended>, AppendError>>),
    Flush(oneshot::Sender<Result<(), AppendError>>),
    DropSegments(u64, oneshot::Sender<Result<(), AppendError>>),
}

impl Writer {
    pub(crate) fn start(journal: Journal, sealer: Arc<Sealer>) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("tl-journal".to_owned());
        let thread = thread.spawn(move || run(journal, sealer, &receiver))?;
        Ok(Self { commands: Some(sender), thread: Some(thread) })
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
        if let Some(commands) = &self.commands {
            // If the thread is gone, so is the reply, which whoever waits for it notices.
            let _ = commands.send(command);
        }
    }
}

async fn answered<T>(answer: oneshot::Receiver<Result<T, AppendError>>) -> Result<T, AppendError> {
    let gone = |_| AppendError::Stopped("the journal's thread has ended".to_owned());
    answer.await.map_err(gone)?
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread has panicked");
        }
    }
}

fn run(mut journal: Journal, sealer: Arc<Sealer>, commands: &Receiver<Command>) {
    let (mut preparing, mut sealing) = (Chore::default(), Chore::default());
    let mut written_at = Instant::now();
    loop {
        match commands.recv_timeout(HELD_MAX) {
            Ok(command) => obey(&mut journal, &sealer, command),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if written_at.elapsed() >= HELD_MAX {
            written_at = Instant::now();
            drop(journal.write_held());
        }
        if journal.wants_spare() {
            let (disk, spares) = journal.spares();
            preparing.begin("tl-segments", move || spares.make(&*disk));
        }
        if sealer.is_wanted() {
            let sealer = sealer.clone();
            sealing.begin("tl-sealing", move || sealer.seal());
        }
    }
    drop(journal.flush());
    preparing.finish();
    sealing.finish();
    sealer.write_last_checkpoint();
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
#[derive(Default)]
struct Chore {
    thread: Option<JoinHandle<()>>,
}

impl Chore {
    /// Begins the work, unless the last piece is still under way.
    fn begin(&mut self, name: &str, work: impl FnOnce() + Send + 'static) {
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
