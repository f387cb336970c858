//! The embedded log store.
//!
//! The [journal] is the only thing that is synced, and the only truth: batches in
//! pre-written segment files, as [`mod@format`] lays them out. Everything else is made from it: a
//! full segment is [sealed](sealing) with an [index file](sealed), the newest events are indexed in
//! [memory](recent), and the [heads] know what is true of a channel as a whole.
//!
//! One [thread](writer) writes; readers find places in the index and read the files themselves. What the
//! rules no longer keep goes by [trimming]: the oldest segments as a whole, and where little is left of
//! others, that is [copied forward](compaction).

mod backup;
mod blocks;
mod checkpoint;
mod compaction;
mod directory;
pub mod disk;
mod format;
mod heads;
mod index;
mod inspect;
mod journal;
mod reader;
mod recent;
mod recovery;
mod repair;
mod retention;
mod scan;
mod sealed;
mod sealing;
mod segments;
#[cfg(feature = "simulation")]
pub mod simulation;
mod sparse;
mod trimmed;
mod trimming;
mod workers;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use tl_model::{Appended, Channel, Epoch, Rules};
use tl_store::{
    AppendError, Batch, Bounds, BoxFuture, LastLogged, LogStore, Page, Read, ReadError, TrimError,
};

pub use backup::{Backup, BackupError, backup};
pub use directory::DirectoryError;
pub use inspect::{ChannelReport, Damage, DamageKind, InspectError, Report, Torn, epoch, inspect};
pub use recovery::RecoveryError;
pub use repair::{Repair, RepairError, repair};
pub use workers::Workers;

use compaction::{Compaction, Site};
use directory::Directory;
use disk::{Disk, RealDisk};
use index::{Index, SharedIndex};
use journal::{Journal, Parts};
use reader::Searches;
use sealing::Sealer;
use segments::Spares;
use writer::Writer;

/// A log in a directory of its own.
///
/// Dropping it writes and syncs what weaker durability has left in memory, and waits for that.
pub struct DiskStore {
    epoch: Epoch,
    index: Arc<SharedIndex>,
    searches: Arc<Searches>,
    sealer: Arc<Sealer>,
    compaction: Arc<tokio::sync::Mutex<Compaction>>,
    site: Site,
    workers: Workers,
    writer: Writer,
    // Released last, after the writer has ended.
    directory: Option<Arc<Directory>>,
}

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where.
    pub directory: PathBuf,
    /// The size of segments, in bytes: the unit in which space is given back.
    pub segment_bytes: u64,
    /// What is left free on the disk, in bytes: no segment is begun that would take of it.
    pub reserve_bytes: u64,
}

impl Options {
    /// Segments of 64 MiB: large enough that going on to the next is rare, small enough that little
    /// is kept longer than it must be. A reserve of 256 MiB, for indexes and for whatever else needs the
    /// disk while somebody makes room.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let (segment_bytes, reserve_bytes) = (64 * 1024 * 1024, 256 * 1024 * 1024);
        Self { directory: directory.into(), segment_bytes, reserve_bytes }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is not right.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The journal is not.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
}

impl DiskStore {
    /// Opens the store in a directory, or makes a new one. Reads files, and the whole journal if it has
    /// no indexes; call it where blocking is allowed.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let directory = Directory::open(&options.directory, Epoch::from_random(random()))?;
        let disk = Arc::new(RealDisk::new(directory.journal.clone(), options.reserve_bytes));
        let epoch = directory.epoch;
        let generations = Box::new(random);
        let store = Self::open_on(disk, epoch, options.segment_bytes, generations)?;
        Ok(Self { directory: Some(Arc::new(directory)), ..store })
    }

    /// Opens the journal on any disk. `generations` draws random numbers.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        epoch: Epoch,
        segment_bytes: u64,
        generations: Box<dyn FnMut() -> u64 + Send>,
    ) -> Result<Self, OpenError> {
        Self::open_with(Workers::Threads, disk, epoch, segment_bytes, generations)
    }

    /// Opens the journal on any disk, with these threads.
    pub fn open_with(
        workers: Workers,
        disk: Arc<dyn Disk>,
        epoch: Epoch,
        segment_bytes: u64,
        generations: Box<dyn FnMut() -> u64 + Send>,
    ) -> Result<Self, OpenError> {
        let mut index = Index::new();
        let resume = recovery::recover(&*disk, epoch, &mut index)?;
        let spares = Arc::new(Spares::new(&*disk, segment_bytes).map_err(RecoveryError::Io)?);
        let index = Arc::new(SharedIndex::new(index));
        let searches = Arc::new(Searches::new(disk.clone(), workers));
        let shared = (disk.clone(), spares.clone(), index.clone());
        let sealer = Arc::new(Sealer::new(shared.0, shared.1, shared.2, resume.checkpoint));
        let site = Site { disk: disk.clone(), sealer: sealer.clone(), epoch, segment_bytes };
        let shared = index.clone();
        let parts = Parts { disk, spares, index: shared, epoch, segment_bytes, generations };
        let journal = Journal::new(parts, resume);
        let writer = Writer::start(workers, journal, sealer.clone());
        let writer = writer.map_err(RecoveryError::Io)?;
        let (compaction, directory) = (Arc::default(), None);
        Ok(Self { epoch, index, searches, sealer, compaction, site, workers, writer, directory })
    }
}

impl LogStore for DiskStore {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn bounds(&self) -> Bounds {
        self.index.read().bounds()
    }

    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Appended>, AppendError>> {
        Box::pin(self.writer.append(batch))
    }

    fn read(&self, read: Read) -> BoxFuture<'static, Result<Page, ReadError>> {
        reader::read(self.index.clone(), self.searches.clone(), read)
    }

    fn last(&self, channel: &Channel) -> Option<LastLogged> {
        self.index.read().last(channel)
    }

    fn trim(&self, rules: &Rules, now_ms: u64) -> BoxFuture<'_, Result<(), TrimError>> {
        Box::pin(self.trim_expired(rules.clone(), now_ms))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(self.writer.flush())
    }
}

fn random() -> u64 {
    // Without randomness no identity can be drawn, and nothing else would work either.
    getrandom::u64().expect("the operating system gives randomness")
}

#[cfg(test)]
mod tests;
