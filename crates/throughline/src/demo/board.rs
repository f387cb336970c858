//! What has happened so far, and how it looks.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tl_client::TransportKind;
use tl_model::Position;

use crate::{CliError, output};

/// What publishers and readers have told.
pub(super) struct Board {
    inner: Mutex<Inner>,
}

struct Inner {
    published: Vec<Position>,
    has_all: bool,
    readers: Vec<Reader>,
    lines_drawn: usize,
}

struct Reader {
    transport: TransportKind,
    state: State,
    seen: Vec<Position>,
    changes: usize,
    latency_ms: u64,
    latencies_ms: Vec<u64>,
}

/// What a reader is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Connecting,
    CatchingUp,
    Cut,
    Done,
    Live,
}

impl Board {
    pub(super) fn new() -> Self {
        let readers = TransportKind::ALL.map(|transport| Reader {
            transport,
            state: State::Connecting,
            seen: Vec::new(),
            changes: 0,
            latency_ms: 0,
            latencies_ms: Vec::new(),
        });
        let inner = Inner {
            published: Vec::new(),
            has_all: false,
            readers: readers.into(),
            lines_drawn: 0,
        };
        Self { inner: Mutex::new(inner) }
    }

    pub(super) fn published(&self, at: Position) {
        self.inner().published.push(at);
    }

    pub(super) fn published_all(&self) {
        self.inner().has_all = true;
    }

    /// Whether a reader has read everything there will be.
    pub(super) fn has_all(&self, number: usize) -> bool {
        let inner = self.inner();
        inner.has_all && inner.readers[number].seen.len() >= inner.published.len()
    }

    pub(super) fn change(&self, number: usize, transport: TransportKind, state: State) {
        let mut inner = self.inner();
        let reader = &mut inner.readers[number];
        let has_changed = reader.transport != transport;
        reader.changes += usize::from(has_changed);
        (reader.transport, reader.state) = (transport, state);
        let name = transport.as_str();
        drop(inner);
        if !output::is_terminal() && has_changed {
            output::note(&format!("reader {} goes on over {name}", letter(number)));
        }
    }

    pub(super) fn live(&self, number: usize) {
        self.inner().readers[number].state = State::Live;
    }

    pub(super) fn received(&self, number: usize, at: Position, latency_ms: u64) {
        let mut inner = self.inner();
        let reader = &mut inner.readers[number];
        reader.seen.push(at);
        reader.latency_ms = latency_ms;
        if reader.state == State::Live {
            reader.latencies_ms.push(latency_ms);
        } else {
            reader.state = State::CatchingUp;
        }
    }

    /// Draws the board over the one before, if somebody looks.
    pub(super) fn draw(&self) -> Result<(), CliError> {
        if !output::is_terminal() {
            return Ok(());
        }
        let mut inner = self.inner();
        let mut text = String::new();
        if inner.lines_drawn > 0 {
            let _ = write!(text, "\x1b[{}A", inner.lines_drawn);
        }
        let lines = inner.lines();
        for line in &lines {
            let _ = writeln!(text, "\x1b[2K{line}");
        }
        inner.lines_drawn = lines.len();
        drop(inner);
        Ok(output::raw(&text)?)
    }

    /// Says whether every reader has seen what was published: all of it, once, in order.
    pub(super) fn verdict(&self) -> Result<(), CliError> {
        let inner = self.inner();
        let mut published = inner.published.clone();
        published.sort_by_key(|at| at.offset);
        let count = published.len();
        for (number, reader) in inner.readers.iter().enumerate() {
            if reader.seen != published {
                let (seen, letter) = (reader.seen.len(), letter(number));
                let text = format!("reader {letter} saw {seen} of {count} events, or not in order");
                return Err(CliError::Other(text));
            }
        }
        let changes: usize = inner.readers.iter().map(|reader| reader.changes).sum();
        output::line(&format!(
            "{count} events, {} readers, {changes} changes of transport: 0 lost, 0 repeated, one order",
            inner.readers.len()
        ))?;
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn lines(&self) -> Vec<String> {
        let head = format!(
            "  {:<6} {:<19} {:<12} {:>8} {:>8} {:>9} {:>9}  {}",
            "reader", "transport", "state", "events", "changes", "last", "median", "cursor"
        );
        let published = self.published.last().map(|at| at.cursor().to_string());
        let foot = format!(
            "  {:<39} {:>8} {:>38}{}",
            "published",
            self.published.len(),
            "",
            published.unwrap_or_default()
        );
        let readers = self.readers.iter().enumerate();
        let mut lines = vec![head];
        lines.extend(readers.map(|(number, reader)| reader.line(number)));
        lines.push(foot);
        lines
    }
}

impl Reader {
    fn line(&self, number: usize) -> String {
        let cursor = self.seen.last().map(|at| at.cursor().to_string()).unwrap_or_default();
        let (name, color) = self.state.shown();
        format!(
            "  {:<6} {:<19} \x1b[{color}m{:<12}\x1b[0m {:>8} {:>8} {:>6} ms {:>6} ms  {cursor}",
            letter(number),
            self.transport.as_str(),
            name,
            self.seen.len(),
            self.changes,
            self.latency_ms,
            median(&self.latencies_ms),
        )
    }
}

impl State {
    /// Its name, and its color as terminals number them.
    fn shown(self) -> (&'static str, u8) {
        match self {
            Self::Connecting => ("connecting", 36),
            Self::CatchingUp => ("catching up", 33),
            Self::Cut => ("cut off", 31),
            Self::Done => ("done", 32),
            Self::Live => ("live", 32),
        }
    }
}

fn letter(number: usize) -> char {
    char::from(b'A' + number as u8)
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
