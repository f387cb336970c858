//! The directory of a store: which it is, whether it may be opened, and by whom.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tl_model::Epoch;

use crate::format::VERSION;

/// A store's directory, held by this process alone for as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) epoch: Epoch,
    pub(crate) journal: PathBuf,
    _lock: Option<File>,
}

/// Why a directory cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Something else lives there.
    #[error(
        "{} is not empty and holds no Throughline store; choose an empty or a new directory",
        .0.display()
    )]
    Foreign(PathBuf),
    /// The operating system would not.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process; one server owns a store", .0.display())]
    Locked(PathBuf),
    /// There is no store.
    #[error(
        "{} holds no Throughline store; name the directory that `throughline serve` keeps its log in",
        .0.display()
    )]
    Missing(PathBuf),
    /// Written by a later version.
    #[error(
        "{} was written by a newer version of Throughline (format {found}, this one reads {VERSION}); \
         start that version",
        path.display()
    )]
    Newer {
        /// Which directory.
        path: PathBuf,
        /// Its format version.
        found: u32,
    },
    /// The file that names the format makes no sense.
    #[error("{} is damaged; restore it from a backup of the same store", .0.display())]
    Unreadable(PathBuf),
}

impl Directory {
    /// Opens the store in a directory; makes one, with this epoch, if there is none.
    pub(crate) fn open(path: &Path, new_epoch: Epoch) -> Result<Self, DirectoryError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |source| DirectoryError::Io { path, source }
        };
        create_durably(path).map_err(at(path))?;
        let format = path.join(FORMAT_FILE);
        let is_store = format.exists();
        if !is_store && !is_unused(path).map_err(at(path))? {
            return Err(DirectoryError::Foreign(path.to_owned()));
        }
        let lock = lock(path)?;
        let epoch = match is_store {
            true => read_format(path, &format)?,
            false => {
                write_format(path, new_epoch).map_err(at(&format))?;
                new_epoch
            }
        };
        let journal = Self::journal_of(path);
        std::fs::create_dir_all(&journal).map_err(at(&journal))?;
        sync_directory(path).map_err(at(path))?;
        Ok(Self { epoch, journal, _lock: Some(lock) })
    }

    /// Opens a store that exists, and writes nothing.
    pub(crate) fn open_existing(path: &Path) -> Result<Self, DirectoryError> {
        let epoch = Self::epoch_of(path)?;
        let lock = lock_existing(path)?;
        Ok(Self { epoch, journal: Self::journal_of(path), _lock: lock })
    }

    /// The epoch of a store that another process may have open.
    pub(crate) fn epoch_of(path: &Path) -> Result<Epoch, DirectoryError> {
        let format = path.join(FORMAT_FILE);
        match format.exists() {
            true => read_format(path, &format),
            false => Err(DirectoryError::Missing(path.to_owned())),
        }
    }

    /// Where the journal of a store is.
    pub(crate) fn journal_of(path: &Path) -> PathBuf {
        path.join(JOURNAL_DIRECTORY)
    }
}

fn lock(directory: &Path) -> Result<File, DirectoryError> {
    let path = directory.join(LOCK_FILE);
    let at = |source| DirectoryError::Io { path: path.clone(), source };
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(at)?;
    hold(directory, file)
}

/// Locks without changing the directory. Without a file to lock no server has ever opened it.
fn lock_existing(directory: &Path) -> Result<Option<File>, DirectoryError> {
    let path = directory.join(LOCK_FILE);
    match File::open(&path) {
        Ok(file) => hold(directory, file).map(Some),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DirectoryError::Io { path, source }),
    }
}

fn hold(directory: &Path, file: File) -> Result<File, DirectoryError> {
    let at = |source| DirectoryError::Io { path: directory.join(LOCK_FILE), source };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DirectoryError::Locked(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(at(source)),
    }
}

/// A crash between making the directory and naming its format leaves at most these behind.
fn is_unused(directory: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name != LOCK_FILE && name != NEW_FORMAT_FILE {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_format(directory: &Path, path: &Path) -> Result<Epoch, DirectoryError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| DirectoryError::Io { path: path.to_owned(), source })?;
    let unreadable = || DirectoryError::Unreadable(path.to_owned());
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(unreadable());
    }
    let field = |line: Option<&str>, name| Some(line?.strip_prefix(name)?.trim().to_owned());
    let version = field(lines.next(), "version").and_then(|version| version.parse().ok());
    match version.ok_or_else(unreadable)? {
        VERSION => {}
        found => {
            return Err(DirectoryError::Newer { path: directory.to_owned(), found });
        }
    }
    let epoch = field(lines.next(), "epoch").and_then(|hex| u64::from_str_radix(&hex, 16).ok());
    epoch.and_then(|epoch| Epoch::try_from(epoch).ok()).ok_or_else(unreadable)
}

/// The file appears whole or not at all.
fn write_format(directory: &Path, epoch: Epoch) -> io::Result<()> {
    let new = directory.join(NEW_FORMAT_FILE);
    let mut file = File::create(&new)?;
    write!(file, "{TITLE}\nversion {VERSION}\nepoch {:015x}\n", epoch.get())?;
    file.sync_all()?;
    std::fs::rename(&new, directory.join(FORMAT_FILE))?;
    sync_directory(directory)
}

/// Makes a directory and those above it. What is synced in it survives a power loss only if it does,
/// too.
fn create_durably(directory: &Path) -> io::Result<()> {
    let is_missing = |it: &&Path| !it.as_os_str().is_empty() && !it.exists();
    let missing: Vec<_> = directory.ancestors().take_while(is_missing).collect();
    std::fs::create_dir_all(directory)?;
    missing.iter().filter_map(|made| made.parent()).try_for_each(sync_directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    // A relative path ends in no name, which is the working directory.
    let is_here = directory.as_os_str().is_empty();
    File::open(if is_here { Path::new(".") } else { directory })?.sync_all()
}

const FORMAT_FILE: &str = "FORMAT";
const NEW_FORMAT_FILE: &str = "FORMAT.new";
const LOCK_FILE: &str = "LOCK";
const JOURNAL_DIRECTORY: &str = "journal";
const TITLE: &str = "throughline store";

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<Directory, DirectoryError> {
        Directory::open(path, Epoch::from_random(0x1234_5678_9abc_def0))
    }

    #[test]
    fn a_new_directory_keeps_its_epoch() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("a/b");
        let epoch = open(&path).expect("opens").epoch;
        let again = Directory::open(&path, Epoch::from_random(1)).expect("opens");
        assert_eq!(again.epoch, epoch);
    }

    #[test]
    fn a_directory_has_one_owner() {
        let home = tempfile::tempdir().expect("directory");
        let first = open(home.path()).expect("opens");
        assert!(matches!(open(home.path()), Err(DirectoryError::Locked(_))));
        drop(first);
        open(home.path()).expect("opens");
    }

    #[test]
    fn a_foreign_directory_is_left_alone() {
        let home = tempfile::tempdir().expect("directory");
        std::fs::write(home.path().join("letters.txt"), "dear").expect("writes");
        assert!(matches!(open(home.path()), Err(DirectoryError::Foreign(_))));
        assert_eq!(std::fs::read_dir(home.path()).expect("reads").count(), 1);
    }

    #[test]
    fn a_newer_or_damaged_format_is_refused() {
        let home = tempfile::tempdir().expect("directory");
        drop(open(home.path()).expect("opens"));
        let write = |text: &str| std::fs::write(home.path().join(FORMAT_FILE), text);
        write("throughline store\nversion 99\nepoch 1\n").expect("writes");
        assert!(matches!(open(home.path()), Err(DirectoryError::Newer { found: 99, .. })));
        for damaged in ["", "x", "throughline store\nversion 1\nepoch zz\n"] {
            write(damaged).expect("writes");
            assert!(matches!(open(home.path()), Err(DirectoryError::Unreadable(_))), "{damaged}");
        }
    }

    #[test]
    fn a_crash_while_making_the_directory_does_no_harm() {
        let home = tempfile::tempdir().expect("directory");
        std::fs::write(home.path().join(NEW_FORMAT_FILE), "thr").expect("writes");
        std::fs::write(home.path().join(LOCK_FILE), "").expect("writes");
        open(home.path()).expect("opens");
    }
}
