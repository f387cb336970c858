//! What is printed. Results go to standard output; everything said about them to standard error.

use std::io::{self, IsTerminal, Write};

/// Prints a line of results.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Prints bytes as they are, and a line end.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Prints text as it is.
pub(crate) fn raw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Says something beside the results. Nobody may be listening.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says what went wrong.
pub(crate) fn complain(error: &dyn std::error::Error) {
    note(&format!("throughline: {error}"));
}

/// Whether a person is looking at the results.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
