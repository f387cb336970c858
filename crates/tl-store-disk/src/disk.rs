//! What the journal needs of a disk, and the real one.
//!
//! Everything the store does to files goes through [`Disk`] and [`DiskFile`], so that the same code
//! runs on a simulated disk that loses power.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A flat directory of files.
pub trait Disk: Send + Sync + 'static {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file that exists.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a file of this length, all zeros. When it returns, the file survives a power loss.
    ///
    /// # Errors
    ///
    /// `StorageFull` if there is no room for it, or too little would be left.
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, replacing what has the new name. When it returns, the new name survives a
    /// power loss.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills the buffer from a place.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;

    /// Writes all bytes at a place.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;

    /// Cuts the file to a length, for good.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Waits until all that was written survives a power loss.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    reserve_bytes: u64,
}

impl RealDisk {
    /// The files directly in this directory, which exists. No file is made that would leave less than
    /// `reserve_bytes` of the disk free.
    pub fn new(directory: PathBuf, reserve_bytes: u64) -> Self {
        Self { directory, reserve_bytes }
    }

    fn has_room(&self, len: u64) -> io::Result<bool> {
        let disk = rustix::fs::statvfs(&self.directory)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(len == 0 || free >= len.saturating_add(self.reserve_bytes))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.directory.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        if !self.has_room(len)? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let path = self.directory.join(name);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        // Zeros are written, not just allocated: only then does a later sync have no metadata to
        // update, which makes it up to twice as fast.
        let zeros = vec![0; ZEROS_BYTES.min(len as usize)];
        let mut position = 0;
        while position < len {
            let count = (len - position).min(zeros.len() as u64);
            file.write_all_at(&zeros[..count as usize], position)?;
            position += count;
        }
        file.sync_all()?;
        self.sync_directory()?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.directory.join(from), self.directory.join(to))?;
        self.sync_directory()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.directory.join(name))
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        self.0.sync_all()
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// A file that is nowhere but in memory, for reading.
pub(crate) struct MemoryFile(Vec<u8>);

impl MemoryFile {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let start = position as usize;
        let bytes = self.0.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Zeros written at once when a segment is prepared.
const ZEROS_BYTES: usize = 1024 * 1024;
