//! What the tests need from the machine, installed by name with its own package managers.

use std::path::Path;

use crate::run::{Result, command, run};
use crate::tools;

/// Debian packages, and a program or file of each that shows whether it is there.
const PACKAGES: &[(&str, &str)] = &[
    ("chromium", "/usr/bin/chromium"),
    ("curl", "/usr/bin/curl"),
    ("golang-go", "/usr/local/go/bin/go"),
    ("nginx-light", "/usr/sbin/nginx"),
    ("nodejs", "/usr/bin/node"),
    ("python3-venv", "/usr/share/doc/python3-venv"),
];

/// Installs what is missing.
pub(crate) fn prepare() -> Result {
    install(PACKAGES)?;
    tools::install()
}

/// Installs packages whose program is not there.
pub(crate) fn install(packages: &[(&str, &str)]) -> Result {
    let is_there = |program: &str| {
        let name = Path::new(program).file_name().unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        Path::new(program).exists() || std::env::split_paths(&path).any(|it| it.join(name).exists())
    };
    let missing: Vec<_> =
        packages.iter().filter(|(_, program)| !is_there(program)).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    run(command("apt-get", &["update", "-qq"]).env("DEBIAN_FRONTEND", "noninteractive"))?;
    let args = [&["install", "-y", "-qq", "--no-install-recommends"], missing.as_slice()].concat();
    run(command("apt-get", &args).env("DEBIAN_FRONTEND", "noninteractive"))
}
