//! File systems in files, which can be cut off.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system. Dropping it unmounts it.
pub(crate) struct FileSystem {
    image: PathBuf,
    mounted_at: PathBuf,
}

impl FileSystem {
    /// Makes a file system of a kind in a directory, and mounts it.
    pub(crate) fn make(directory: &Path, kind: &str) -> Self {
        let mounted_at = directory.join(kind);
        std::fs::create_dir_all(&mounted_at).expect("the directory is made");
        let image = directory.join(format!("{kind}.image"));
        let file = File::create(&image).expect("the image is made");
        file.set_len(IMAGE_BYTES).expect("the image has holes, and takes no room yet");
        let force = if kind == "xfs" { "-f" } else { "-F" };
        run(Command::new(format!("mkfs.{kind}")).args(["-q", force]).arg(&image));
        let made = Self { image, mounted_at };
        made.mount();
        made
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted_at
    }

    /// Cuts it off: from now on nothing reaches it, not even its own journal, as when power is lost.
    pub(crate) fn cut_off(&self) {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.mounted_at));
    }

    /// Gives it back, with what it held when it was cut off.
    pub(crate) fn mount_again(&self) {
        run(Command::new("umount").arg(&self.mounted_at));
        self.mount();
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mounted_at));
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        // Whoever panics while it is in use has a better reason to tell.
        let _ = Command::new("umount").arg(&self.mounted_at).status();
    }
}

fn run(command: &mut Command) {
    let status = command.status();
    let is_done = status.is_ok_and(|status| status.success());
    assert!(
        is_done,
        "{command:?} fails: this needs root, loop devices and the file system's tools"
    );
}

/// Room for all rounds.
const IMAGE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
