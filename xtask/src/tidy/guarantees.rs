//! `docs/guarantees.md` names a test for every promise; each must exist.

use crate::run::{Result, command, output, root};

pub(super) fn check(findings: &mut Vec<String>) -> Result {
    let path = root().join("docs/guarantees.md");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let names = output(&mut command(
        "git",
        &["grep", "--untracked", "-hoE", "fn [a-z0-9_]+", "--", "*.rs"],
    ))?;
    let exists = |test: &str| names.lines().any(|line| line.strip_prefix("fn ") == Some(test));
    let mut count = 0;
    for test in tests_named(&text) {
        count += 1;
        if !exists(test) {
            findings.push(format!("docs/guarantees.md names `{test}`, which does not exist"));
        }
    }
    if count == 0 {
        findings.push("docs/guarantees.md names no test".to_owned());
    }
    Ok(())
}

/// The tests in the last column of the tables: words in backticks with an underscore.
fn tests_named(text: &str) -> impl Iterator<Item = &str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(|word| word.contains('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_named_in_the_last_column() {
        let text = "text `no_test`\n| X1 | `not_this` | `this_one`, `that_one` |\n| a | b |";
        assert_eq!(tests_named(text).collect::<Vec<_>>(), ["this_one", "that_one"]);
    }
}
