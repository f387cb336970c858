//! Debian systems in directories, for suites that need software the machine no longer has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::about;
use crate::machine;
use crate::run::{self, Result, command};

/// A Debian system in a directory.
pub(crate) struct Chroot {
    directory: PathBuf,
}

impl Chroot {
    /// The system in this directory. The first time it is made, of these packages, and filled; one
    /// that was interrupted at that is made anew.
    pub(crate) fn prepare(
        directory: PathBuf,
        release: &str,
        packages: &[&str],
        fill: impl FnOnce(&Self) -> Result,
    ) -> Result<Self> {
        if !directory.exists() {
            let unfinished = Self { directory: directory.with_file_name("unfinished") };
            unfinished.make(release, packages)?;
            fill(&unfinished)?;
            fs::rename(&unfinished.directory, &directory).map_err(about(directory.display()))?;
        }
        Ok(Self { directory })
    }

    /// A command that runs in the system. It shares the network, so loopback is the same.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = command("chroot", &[]);
        command.arg(&self.directory).args(args);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        command
    }

    /// A command that installs Python packages, into a virtual environment of the system, from
    /// wherever the machine itself takes them.
    pub(crate) fn pip_install(&self, environment: &str, packages: &[&str]) -> Command {
        let pip = format!("{environment}/bin/pip");
        let mut command = self.command(&[&[&pip, "install", "--quiet"], packages].concat());
        if let Some(index) = pip_setting("index-url") {
            command.env("PIP_INDEX_URL", index);
        }
        // It names directories, and the machine's are not there.
        command.env("PIP_CERT", CERTIFICATES).env_remove("PIP_FIND_LINKS");
        command
    }

    /// A path in the system, as the machine sees it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path.trim_start_matches('/'))
    }

    fn make(&self, release: &str, packages: &[&str]) -> Result {
        machine::install(TOOLS)?;
        let directory = self.directory.to_string_lossy();
        // What an interrupted run has left mounted is not to be deleted.
        run::run(&mut command("rm", &["-rf", "--one-file-system", &directory]))?;
        let include = format!("--include=ca-certificates,{}", packages.join(","));
        let mut debootstrap = command("debootstrap", &["--variant=minbase", &include, release]);
        run::run(debootstrap.arg(&*directory).args(mirror()))?;
        self.lend("/etc/hosts", Path::new("/etc/hosts"))?;
        let certificates = pip_setting("cert").unwrap_or_else(|| CERTIFICATES.to_owned());
        self.lend(CERTIFICATES, Path::new(&certificates))
    }

    /// Gives the system a copy of a file of the machine's, if the machine has it.
    fn lend(&self, path: &str, own: &Path) -> Result {
        if !own.exists() {
            return Ok(());
        }
        fs::copy(own, self.path(path)).map(drop).map_err(about(own.display()))
    }
}

/// The machine's own mirror of Debian; without one, debootstrap knows where to look.
fn mirror() -> Option<String> {
    let args = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"];
    let uris = run::output(&mut command("apt-get", &args)).ok()?;
    uris.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian")).map(str::to_owned)
}

/// What pip is told on this machine, by the environment or its own configuration.
fn pip_setting(name: &str) -> Option<String> {
    let variable = format!("PIP_{}", name.replace('-', "_").to_uppercase());
    let configured = || {
        let get = ["-m", "pip", "config", "get", &format!("global.{name}")];
        run::output(&mut command("python3", &get)).ok().map(|value| value.trim().to_owned())
    };
    std::env::var(variable).ok().or_else(configured)
}

const TOOLS: &[(&str, &str)] = &[
    ("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    ("debootstrap", "/usr/sbin/debootstrap"),
];
/// Where Debian gathers the certificates it trusts.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
