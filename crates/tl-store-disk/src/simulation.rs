//! A disk in memory that can lose power and can fail.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

/// A disk whose writes survive a power loss only once they are synced.
///
/// Making, renaming, cutting and removing files is durable at once: the journal asks for that and the
/// real disk sees to it.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Arc<Mutex<Contents>>>,
    faults: Faults,
}

#[derive(Clone, Debug)]
struct Contents {
    /// What a reader sees.
    current: Vec<u8>,
    /// What surely survives a power loss.
    durable: Vec<u8>,
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Whether there is no room for new files.
    pub is_full: bool,
    /// Whether writing fails.
    pub writes_fail: bool,
    /// Whether syncing fails.
    pub syncs_fail: bool,
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes things go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// What the disk holds after a power loss: of every page that was written since the last sync,
    /// by chance the old or the new content. `coin` decides, page by page.
    #[must_use]
    pub fn after_power_loss(&self, page_bytes: usize, mut coin: impl FnMut() -> bool) -> Self {
        let mut files = BTreeMap::new();
        for (name, contents) in &self.state().files {
            let Contents { current, durable } = lock(contents).clone();
            let mut image = durable;
            image.resize(current.len(), 0);
            for (page, new) in image.chunks_mut(page_bytes).zip(current.chunks(page_bytes)) {
                if page != new && coin() {
                    page.copy_from_slice(new);
                }
            }
            let contents = Contents { current: image.clone(), durable: image };
            files.insert(name.clone(), Arc::new(Mutex::new(contents)));
        }
        Self { state: Arc::new(Mutex::new(State { files, faults: Faults::default() })) }
    }

    /// What the disk holds after the process alone has died: all that was written.
    #[must_use]
    pub fn after_process_death(&self) -> Self {
        self.after_power_loss(1, || true)
    }

    /// Changes the bytes of a file, behind everybody's back.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let state = self.state();
        let contents = state.files.get(name).expect("the file to damage exists");
        let mut contents = lock(contents);
        change(&mut contents.current);
        contents.durable = contents.current.clone();
    }

    /// Puts a file of another disk in the place of this one's, behind everybody's back.
    pub fn put(&self, other: &Self, name: &str) {
        let contents = other.contents(name).expect("the file to put exists");
        let contents = lock(&contents).clone();
        self.state().files.insert(name.to_owned(), Arc::new(Mutex::new(contents)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn file(&self, contents: Arc<Mutex<Contents>>) -> Arc<dyn DiskFile> {
        Arc::new(SimulatedFile { contents, disk: self.state.clone() })
    }

    fn contents(&self, name: &str) -> io::Result<Arc<Mutex<Contents>>> {
        self.state().files.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.contents(name)?))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if state.faults.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; len as usize];
        let contents = Contents { current: zeros.clone(), durable: zeros };
        let contents = Arc::new(Mutex::new(contents));
        state.files.insert(name.to_owned(), contents.clone());
        drop(state);
        Ok(self.file(contents))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let contents = self.contents(from)?;
        let mut state = self.state();
        state.files.remove(from);
        state.files.insert(to.to_owned(), contents);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.state().files.remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

struct SimulatedFile {
    contents: Arc<Mutex<Contents>>,
    disk: Arc<Mutex<State>>,
}

impl SimulatedFile {
    fn faults(&self) -> Faults {
        lock(&self.disk).faults
    }
}

impl DiskFile for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        Ok(lock(&self.contents).current.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let contents = lock(&self.contents);
        let start = position as usize;
        let bytes = contents.current.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        if self.faults().writes_fail {
            return Err(io::Error::other("simulated write error"));
        }
        let mut contents = lock(&self.contents);
        let start = position as usize;
        let end = start + bytes.len();
        if contents.current.len() < end {
            contents.current.resize(end, 0);
        }
        contents.current[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut contents = lock(&self.contents);
        contents.current.truncate(len as usize);
        contents.durable = contents.current.clone();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.faults().syncs_fail {
            return Err(io::Error::other("simulated sync error"));
        }
        let mut contents = lock(&self.contents);
        contents.durable = contents.current.clone();
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
