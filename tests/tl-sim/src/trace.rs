use std::fmt::{Arguments, Write};
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use tokio::time::Instant;

/// Everything that was seen in a run, each with its time. Two runs of one seed have equal traces.
#[derive(Clone, Debug)]
pub struct Trace {
    began: Instant,
    hasher: DefaultHasher,
    lines: usize,
    line: String,
    text: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keeps_text: bool) -> Self {
        Self {
            began: Instant::now(),
            hasher: DefaultHasher::new(),
            lines: 0,
            line: String::new(),
            text: keeps_text.then(Vec::new),
        }
    }

    pub(crate) fn note(&mut self, seen: Arguments<'_>) {
        let millis = self.elapsed().as_millis();
        self.line.clear();
        write!(self.line, "{millis:>7} ms  {seen}").expect("a string takes everything");
        self.hasher.write(self.line.as_bytes());
        self.lines += 1;
        if let Some(text) = &mut self.text {
            text.push(self.line.clone());
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The hash of all lines.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// The lines, if they were kept.
    pub fn text(&self) -> &[String] {
        self.text.as_deref().unwrap_or_default()
    }
}
