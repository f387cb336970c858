//! A disk in memory that can lose power and can fail.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

/// A disk whose writes survive a power loss only once they are synced.
///
/// Making, renaming and cutting files is durable at once: the journal asks for that and the real disk
/// sees to it. A removed file may come back until the next file is made or renamed; file systems keep
/// the order of such changes, so the last one removed comes back first.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Arc<Mutex<Contents>>>,
    /// Files whose removal may not survive a power loss, in the order of their removal.
    removed: Vec<(String, Arc<Mutex<Contents>>)>,
    faults: Faults,
    /// Changes until the power goes, if it does.
    changes_left: Option<u64>,
}

/// Whether there is power for a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Power {
    On,
    /// It goes in the middle of this one.
    Going,
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
    /// How many bytes all files may have together.
    pub bytes_max: Option<u64>,
    /// Whether removing and renaming files fails.
    pub removes_fail: bool,
    /// Whether writing fails.
    pub writes_fail: bool,
    /// Whether syncing fails.
    pub syncs_fail: bool,
    /// Whether syncing does nothing and says that it did.
    pub syncs_lie: bool,
    /// Whether syncing forgets the last page that was written, and says nothing of it.
    pub syncs_forget_a_page: bool,
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

    /// Has the power go in the middle of a change: after so many more. Then nothing can be changed.
    pub fn cut_power_after(&self, changes: u64) {
        self.state().changes_left = Some(changes);
    }

    /// What the disk holds after a power loss: of every page that was written since the last sync,
    /// by chance the old or the new content. `coin` decides, page by page.
    #[must_use]
    pub fn after_power_loss(&self, page_bytes: usize, mut coin: impl FnMut() -> bool) -> Self {
        let state = self.state();
        let mut survivors = state.files.clone();
        for (name, contents) in state.removed.iter().rev() {
            if !coin() {
                break;
            }
            survivors.entry(name.clone()).or_insert_with(|| contents.clone());
        }
        Self::of_files(survivors.into_iter().map(|(name, contents)| {
            let image = lock(&contents).after_power_loss(page_bytes, &mut coin);
            (name, Contents { current: image.clone(), durable: image })
        }))
    }

    /// What the disk holds after the process alone has died: all that was written. What was not
    /// synced can still be lost, if then the power goes.
    #[must_use]
    pub fn after_process_death(&self) -> Self {
        let state = self.state();
        let files = state.files.iter();
        let died = Self::of_files(files.map(|(name, it)| (name.clone(), lock(it).clone())));
        died.state().removed.clone_from(&state.removed);
        died
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

    fn of_files(files: impl Iterator<Item = (String, Contents)>) -> Self {
        let files = files.map(|(name, contents)| (name, Arc::new(Mutex::new(contents))));
        let state = State { files: files.collect(), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
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
        if state.faults.is_full || !state.has_room(len) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let power = state.begin_change()?;
        let len = if power == Power::On { len } else { len / 2 };
        let zeros = vec![0; len as usize];
        let contents = Contents { current: zeros.clone(), durable: zeros };
        let contents = Arc::new(Mutex::new(contents));
        state.files.insert(name.to_owned(), contents.clone());
        state.removed.clear();
        drop(state);
        power.last()?;
        Ok(self.file(contents))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let contents = self.contents(from)?;
        let mut state = self.state();
        state.check_removing()?;
        state.begin_change()?.last()?;
        state.files.remove(from);
        state.files.insert(to.to_owned(), contents);
        state.removed.clear();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.check_removing()?;
        state.begin_change()?.last()?;
        let removed = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.removed.push((name.to_owned(), removed));
        Ok(())
    }
}

impl State {
    fn has_room(&self, bytes: u64) -> bool {
        let used = || self.files.values().map(|it| lock(it).current.len() as u64).sum::<u64>();
        self.faults.bytes_max.is_none_or(|max| used() + bytes <= max)
    }

    fn check_removing(&self) -> io::Result<()> {
        match self.faults.removes_fail {
            true => Err(io::Error::other("simulated error in a directory")),
            false => Ok(()),
        }
    }

    fn begin_change(&mut self) -> io::Result<Power> {
        match &mut self.changes_left {
            None => Ok(Power::On),
            Some(0) => Err(without_power()),
            Some(left) => {
                *left -= 1;
                Ok(if *left == 0 { Power::Going } else { Power::On })
            }
        }
    }
}

impl Power {
    /// Nobody hears of a change in whose middle the power went.
    fn last(self) -> io::Result<()> {
        match self {
            Self::On => Ok(()),
            Self::Going => Err(without_power()),
        }
    }
}

impl Contents {
    fn after_power_loss(&self, page_bytes: usize, coin: &mut impl FnMut() -> bool) -> Vec<u8> {
        let mut image = self.durable.clone();
        image.resize(self.current.len(), 0);
        for (page, new) in image.chunks_mut(page_bytes).zip(self.current.chunks(page_bytes)) {
            if page != new && coin() {
                page.copy_from_slice(new);
            }
        }
        image
    }

    fn sync(&mut self, faults: Faults) {
        if faults.syncs_lie {
            return;
        }
        let before = std::mem::replace(&mut self.durable, self.current.clone());
        if faults.syncs_forget_a_page {
            self.forget_a_page(&before);
        }
    }

    /// Takes the last page that differs from what was there before back to that.
    fn forget_a_page(&mut self, before: &[u8]) {
        let pages = before.chunks(FORGOTTEN_BYTES).zip(self.durable.chunks_mut(FORGOTTEN_BYTES));
        let mut changed = pages.filter(|(old, new)| *old != &new[..old.len().min(new.len())]);
        if let Some((old, new)) = changed.next_back() {
            let length = old.len().min(new.len());
            new[..length].copy_from_slice(&old[..length]);
        }
    }
}

struct SimulatedFile {
    contents: Arc<Mutex<Contents>>,
    disk: Arc<Mutex<State>>,
}

impl SimulatedFile {
    fn begin_change(&self) -> io::Result<(Power, Faults)> {
        let mut disk = lock(&self.disk);
        Ok((disk.begin_change()?, disk.faults))
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
        let (power, faults) = self.begin_change()?;
        if faults.writes_fail {
            return Err(io::Error::other("simulated write error"));
        }
        let growth = (position + bytes.len() as u64).saturating_sub(self.size()?);
        if growth > 0 && !lock(&self.disk).has_room(growth) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut contents = lock(&self.contents);
        let start = position as usize;
        let end = start + bytes.len();
        if contents.current.len() < end {
            contents.current.resize(end, 0);
        }
        contents.current[start..end].copy_from_slice(bytes);
        // All of it may be on the disk or nothing: chance decides of each page.
        power.last()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.begin_change()?.0.last()?;
        let mut contents = lock(&self.contents);
        contents.current.truncate(len as usize);
        contents.durable = contents.current.clone();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let (power, faults) = self.begin_change()?;
        power.last()?;
        if faults.syncs_fail {
            return Err(io::Error::other("simulated sync error"));
        }
        lock(&self.contents).sync(faults);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn without_power() -> io::Error {
    io::Error::other("the power is gone")
}

/// The page of a disk that forgets one.
const FORGOTTEN_BYTES: usize = 4_096;
