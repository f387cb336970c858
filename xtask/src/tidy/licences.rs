//! Licences: permissive ones only. `deny.toml` says the same to cargo-deny.

use super::workspace::Workspace;

/// What a dependency may be licensed under.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(super) fn check(workspace: &Workspace, findings: &mut Vec<String>) {
    for package in workspace.packages.iter().filter(|package| package.source.is_some()) {
        let licence = package.license.as_deref().unwrap_or("none");
        if !is_permissive(licence) {
            let (name, version) = (&package.name, &package.version);
            findings.push(format!("{name} {version} is licensed under {licence}"));
        }
    }
}

/// One of the alternatives must be permissive in all its parts. `/` is an old way to write `OR`.
fn is_permissive(licence: &str) -> bool {
    let alternatives = licence.replace('/', " OR ").replace(['(', ')'], "");
    alternatives
        .split(" OR ")
        .any(|alternative| alternative.split(" AND ").all(|part| PERMISSIVE.contains(&part.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_permissive_alternative_is_enough() {
        assert!(is_permissive("MIT OR GPL-3.0"));
        assert!(is_permissive("MIT/Apache-2.0"));
        assert!(is_permissive("ISC AND (Apache-2.0 OR ISC)"));
        assert!(!is_permissive("GPL-3.0"));
        assert!(!is_permissive("MIT AND GPL-3.0"));
        assert!(!is_permissive("none"));
    }
}
