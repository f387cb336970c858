//! Bytes in blocks that each carry a checksum, so that any part of a file can be read and trusted
//! without the rest.
//!
//! ```text
//! block   content 4092 │ crc 4        the checksum covers the block's number, too
//! ```

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};

/// Content, laid out in blocks.
pub(crate) fn in_blocks(content: &[u8]) -> Vec<u8> {
    let mut blocks = Vec::with_capacity(content.len().div_ceil(CONTENT_BYTES) * BLOCK_BYTES);
    for (number, part) in content.chunks(CONTENT_BYTES).enumerate() {
        let start = blocks.len();
        blocks.extend_from_slice(part);
        blocks.resize(start + CONTENT_BYTES, 0);
        let crc = checksum(number as u64, &blocks[start..]);
        blocks.extend_from_slice(&crc.to_le_bytes());
    }
    blocks
}

/// Writes content as a file in blocks. Only when it is whole and synced it gets the name.
pub(crate) fn store(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
    let new_name = format!("{name}{NEW_SUFFIX}");
    let stored = disk.create(&new_name, 0).and_then(|file| {
        file.write_at(&in_blocks(content), 0)?;
        file.sync()?;
        disk.rename(&new_name, name)?;
        Ok(file)
    });
    if stored.is_err() {
        // It would only take room that is missing already.
        drop(disk.remove(&new_name));
    }
    stored
}

/// Reads a file in blocks.
pub(crate) struct Blocks {
    file: Arc<dyn DiskFile>,
}

impl Blocks {
    pub(crate) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file }
    }

    /// Reads a part of the content.
    ///
    /// # Errors
    ///
    /// `InvalidData` if a block is not what was written, or not there.
    pub(crate) fn read(&self, position: u64, len: usize) -> io::Result<Vec<u8>> {
        let content = CONTENT_BYTES as u64;
        let (first, end) = (position / content, (position + len as u64).div_ceil(content));
        let mut bytes = vec![0; (end - first) as usize * BLOCK_BYTES];
        self.file.read_at(&mut bytes, first * BLOCK_BYTES as u64).map_err(|error| {
            let is_short = error.kind() == io::ErrorKind::UnexpectedEof;
            if is_short { unsound("the file is cut off") } else { error }
        })?;
        let mut read = Vec::with_capacity(bytes.len());
        for (block, number) in bytes.chunks(BLOCK_BYTES).zip(first..) {
            let (content, crc) = block.split_at(CONTENT_BYTES);
            if crc != checksum(number, content).to_le_bytes() {
                return Err(unsound("a checksum does not match"));
            }
            read.extend_from_slice(content);
        }
        let start = (position - first * content) as usize;
        read.drain(..start);
        read.truncate(len);
        Ok(read)
    }
}

/// The error for what was written differently, or for something else.
pub(crate) fn unsound(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn checksum(number: u64, content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), content)
}

const NEW_SUFFIX: &str = ".new";
/// A page of the usual file systems.
const BLOCK_BYTES: usize = 4096;
const CONTENT_BYTES: usize = BLOCK_BYTES - 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryFile;

    fn blocks(bytes: Vec<u8>) -> Blocks {
        Blocks::new(Arc::new(MemoryFile::new(bytes)))
    }

    #[test]
    fn any_part_can_be_read() {
        let content: Vec<_> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        let blocks = blocks(in_blocks(&content));
        for (position, len) in [(0, 4), (4_090, 4), (4_092, 4_092), (1, 39_999), (39_999, 1)] {
            let read = blocks.read(position as u64, len).expect("reads");
            assert_eq!(read, &content[position..position + len], "{len} at {position}");
        }
        assert!(blocks.read(41_000, 10).is_err(), "beyond the end");
    }

    #[test]
    fn a_flipped_bit_and_a_block_elsewhere_are_noticed() {
        let whole = in_blocks(&vec![7; 3 * CONTENT_BYTES]);
        let mut flipped = whole.clone();
        flipped[BLOCK_BYTES + 100] ^= 1;
        let flipped = blocks(flipped);
        assert!(flipped.read(0, 10).is_ok());
        assert!(flipped.read(CONTENT_BYTES as u64, 10).is_err());
        let mut moved = whole;
        moved.copy_within(..BLOCK_BYTES, BLOCK_BYTES);
        assert!(blocks(moved).read(CONTENT_BYTES as u64, 10).is_err());
    }
}
