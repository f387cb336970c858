//! What stands in the files: words, lengths, and what may not be there at all.

use std::path::Path;

use crate::run::{Result, command, output, root};

/// Production lines a file may have: it still reads in one sitting.
const FILE_LINES_MAX: usize = 600;

/// Words that have no place in the code, and the one to use.
const WORDS: &[(&str, &str)] = &[
    ("fn get_", "a getter is named for what it gives"),
    ("topic", "channel"),
    ("FIXME", "mend it, or say what is left in an issue"),
    ("TODO", "do it, or say what is left in an issue"),
    ("dbg!(", "nothing"),
];

pub(super) fn check(findings: &mut Vec<String>) -> Result {
    let files =
        output(&mut command("git", &["ls-files", "--cached", "--others", "--exclude-standard"]))?;
    for name in files.lines().filter(|name| root().join(name).is_file()) {
        let Ok(text) = std::fs::read_to_string(root().join(name)) else { continue };
        check_everywhere(name, &text, findings);
        if name.ends_with(".rs") && !name.starts_with("xtask/src/tidy/") {
            check_source(name, &text, findings);
        }
    }
    Ok(())
}

/// Places that exist only on one machine, and hosts that others may not reach.
fn check_everywhere(name: &str, text: &str, findings: &mut Vec<String>) {
    let is_lock = name.ends_with("Cargo.lock");
    for place in forbidden_places() {
        if text.contains(&place) && !is_lock {
            findings.push(format!("{name} speaks of {place}"));
        }
    }
}

/// Put together, so that this file does not speak of them itself.
fn forbidden_places() -> Vec<String> {
    let hosts = [["crates", "io"], ["npmjs", "org"], ["pypi", "org"]];
    // Modules of Go are named after hosts, too; these two are hosts only.
    let hosts = hosts.into_iter().chain([["proxy.golang", "org"], ["sum.golang", "org"]]);
    let directories = [["", "work/"], ["", "root/"], ["..", "shared"]];
    let hosts = hosts.map(|parts| parts.join("."));
    hosts.chain(directories.iter().map(|parts| parts.join("/"))).collect()
}

fn check_source(name: &str, text: &str, findings: &mut Vec<String>) {
    let production = text.split("#[cfg(test)]").next().unwrap_or(text);
    let is_test = name.contains("/tests");
    let lines = production.lines().count();
    if lines > FILE_LINES_MAX && !is_test {
        findings.push(format!("{name} has {lines} lines; {FILE_LINES_MAX} are the most"));
    }
    for (word, instead) in WORDS {
        if let Some(line) = text.lines().position(|line| line.contains(word)) {
            findings.push(format!("{name}:{}: not `{word}`; {instead}", line + 1));
        }
    }
    let is_root = Path::new(name).ends_with("lib.rs") || Path::new(name).ends_with("main.rs");
    if is_root && !text.starts_with("//!") && !text.starts_with("#![") {
        findings.push(format!("{name} does not say what it is"));
    }
}
