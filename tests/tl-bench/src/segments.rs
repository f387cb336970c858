//! The segments of a store, as its directory shows them.

use std::collections::{BTreeMap, HashSet};
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What has become of them. Only what is there when somebody looks is seen.
pub(crate) struct Segments {
    journal: PathBuf,
    /// When the file of each was made: one that is used again is older than its segment.
    made: BTreeMap<String, SystemTime>,
    left: usize,
}

impl Segments {
    /// Those of the store in this directory.
    pub(crate) fn of(store: &Path) -> Self {
        let mut segments = Self { journal: store.join("journal"), made: BTreeMap::new(), left: 0 };
        segments.look();
        segments
    }

    /// Looks what there is.
    pub(crate) fn look(&mut self) {
        let is_segment =
            |file: &DirEntry| file.path().extension().is_some_and(|it| it == "segment");
        self.left = 0;
        for file in files(&self.journal).filter(is_segment) {
            // It may have been given back since.
            let Ok(metadata) = file.metadata() else { continue };
            let made = metadata.created().expect("a file system that knows when files were made");
            self.made.insert(file.file_name().to_string_lossy().into_owned(), made);
            self.left += 1;
        }
    }

    /// How many there have been.
    pub(crate) fn begun(&self) -> usize {
        self.made.len()
    }

    /// How many of them are no more.
    pub(crate) fn given_back(&self) -> usize {
        self.begun() - self.left
    }

    /// How many are in a file that another one had before.
    pub(crate) fn reused(&self) -> usize {
        self.begun() - self.made.values().collect::<HashSet<_>>().len()
    }

    /// Bytes on disk, with all that stands beside the segments.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        let lens = files(&self.journal).filter_map(|file| Some(file.metadata().ok()?.len()));
        lens.sum()
    }
}

fn files(directory: &Path) -> impl Iterator<Item = DirEntry> {
    std::fs::read_dir(directory).expect("the store has a journal").filter_map(Result::ok)
}
