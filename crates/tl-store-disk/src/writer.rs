//! The thread that owns the journal.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use tl_model::{Appended, Rules};
use tl_store::{AppendError, Batch};

use crate::journal::Journal;

/// A handle to the thread. Dropping it flushes the journal and waits for the thread to end.
pub(crate) struct Writer {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Append(Batch, oneshot::Sender<Result<Vec<Appended>, AppendError>>),
    Flush(oneshot::Sender<Result<(), AppendError>>),
    Trim(Rules, u64, oneshot::Sender<Result<(), AppendError>>),
}

impl Writer {
    pub(crate) fn start(journal: Journal) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("tl-journal".to_owned());
        let thread = thread.spawn(move || run(journal, &receiver))?;
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

    pub(crate) fn trim(
        &self,
        rules: Rules,
        now_ms: u64,
    ) -> impl Future<Output = Result<(), AppendError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Trim(rules, now_ms, reply));
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

fn run(mut journal: Journal, commands: &Receiver<Command>) {
    let mut preparation = Preparation::default();
    let mut written_at = Instant::now();
    loop {
        match commands.recv_timeout(HELD_MAX) {
            Ok(command) => obey(&mut journal, command),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if written_at.elapsed() >= HELD_MAX {
            written_at = Instant::now();
            drop(journal.write_held());
        }
        preparation.keep_up(&journal);
    }
    drop(journal.flush());
    preparation.finish();
}

/// Whoever asked may have gone away; the work was done all the same.
fn obey(journal: &mut Journal, command: Command) {
    match command {
        Command::Append(batch, reply) => drop(reply.send(journal.append(&batch))),
        Command::Flush(reply) => drop(reply.send(journal.flush())),
        Command::Trim(rules, now_ms, reply) => drop(reply.send(journal.trim(&rules, now_ms))),
    }
}

/// Makes segments ready in the background.
#[derive(Default)]
struct Preparation {
    thread: Option<JoinHandle<()>>,
}

impl Preparation {
    fn keep_up(&mut self, journal: &Journal) {
        let is_under_way = self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if is_under_way || !journal.wants_spare() {
            return;
        }
        let (disk, spares) = journal.spares();
        let thread = std::thread::Builder::new().name("tl-segments".to_owned());
        self.thread = thread.spawn(move || spares.make(&*disk)).ok();
    }

    fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The longest that events of durability `memory` are held before they are written.
const HELD_MAX: Duration = Duration::from_secs(1);
