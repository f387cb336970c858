//! The real server on disks that fail and file systems that lose power.

use std::fs;

use super::{about, home, target};
use crate::machine;
use crate::run::{self, Result, cargo, command, output};

/// Writing and syncing fail at random, by libfiu.
pub(crate) fn disk_faults() -> Result {
    machine::install(FAULT_TOOLS)?;
    run_program(&["disk-faults", "--seconds", DISK_FAULTS_SECONDS])
}

/// File systems in loop devices are cut off while the server writes.
pub(crate) fn power_loss() -> Result {
    if output(&mut command("id", &["-u"]))?.trim() != "0" {
        return Err("only root can mount the file systems that are to lose power".into());
    }
    machine::install(FILE_SYSTEM_TOOLS)?;
    let home = home("power-loss");
    fs::create_dir_all(&home).map_err(about(home.display()))?;
    run_program(&["power-loss", &home.to_string_lossy(), "--seconds", POWER_LOSS_SECONDS])
}

fn run_program(args: &[&str]) -> Result {
    // One by one: together they are built with other features, and once more when the server is started.
    for package in ["throughline", "tl-faults"] {
        run::run(&mut cargo(&["build", "--release", "--package", package]))?;
    }
    let program = target().join("release/tl-faults");
    run::run(&mut command(&program.to_string_lossy(), args))
}

const FAULT_TOOLS: &[(&str, &str)] =
    &[("fiu-utils", "/usr/bin/fiu-run"), ("libfiu0", "/usr/lib/fiu/fiu_posix_preload.so")];
const FILE_SYSTEM_TOOLS: &[(&str, &str)] = &[
    ("e2fsprogs", "/usr/sbin/mkfs.ext4"),
    ("mount", "/usr/bin/mount"),
    ("xfsprogs", "/usr/sbin/xfs_io"),
];
/// Each call fails in some rounds.
const DISK_FAULTS_SECONDS: &str = "60";
/// For both file systems together.
const POWER_LOSS_SECONDS: &str = "120";
