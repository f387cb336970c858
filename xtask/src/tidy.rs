use crate::run::Result;

/// Checks what no compiler checks.
pub(crate) fn run() -> Result {
    Ok(())
}
