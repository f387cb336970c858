//! The public contract changes additively: once a line of `docs/contract.txt` has landed, it stays.
//!
//! A test of the server writes that file down from the code and fails if it is not current; what is
//! checked here is its history.

use crate::run::{Result, command, output};

const CONTRACT: &str = "docs/contract.txt";

pub(super) fn check(findings: &mut Vec<String>) -> Result {
    let arguments = ["log", "--format=", "--patch", "--unified=0", "--", CONTRACT];
    let history = output(&mut command("git", &arguments))?;
    let uncommitted =
        output(&mut command("git", &["diff", "--unified=0", "HEAD", "--", CONTRACT]))?;
    for line in removed(&history).chain(removed(&uncommitted)) {
        findings.push(format!("{CONTRACT} has lost the line `{line}`"));
    }
    Ok(())
}

/// Lines that a patch takes away and does not give back.
fn removed(patch: &str) -> impl Iterator<Item = &str> {
    let added: Vec<_> = patch.lines().filter_map(|line| line.strip_prefix('+')).collect();
    let removed = patch.lines().filter(|line| !line.starts_with("---"));
    let removed = removed.filter_map(|line| line.strip_prefix('-'));
    removed
        .filter(move |line| !line.is_empty() && !added.contains(line))
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_moves_is_not_lost() {
        let patch = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-moved\n-lost\n+moved\n+new";
        assert_eq!(removed(patch).collect::<Vec<_>>(), ["lost"]);
    }
}
