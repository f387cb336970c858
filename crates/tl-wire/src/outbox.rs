//! What waits for a socket.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes on their way out, in order: small pieces are gathered in one buffer, large ones are shared
/// with everybody else who sends them. All of it can leave in one vectored write.
#[derive(Debug, Default)]
pub struct Outbox {
    ready: VecDeque<Bytes>,
    open: BytesMut,
    len: usize,
}

impl Outbox {
    /// An empty outbox; it allocates nothing until something is put into it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes by copying them.
    pub fn put(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Adds whatever is written into the buffer.
    pub fn put_with(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.open.len();
        write(&mut self.open);
        self.len += self.open.len() - before;
    }

    /// Adds bytes that others may hold too; copies them where that is cheaper than sharing.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_BYTES_MIN {
            return self.put(bytes);
        }
        self.close();
        self.len += bytes.len();
        self.ready.push_back(bytes.clone());
    }

    /// Adds everything of another outbox, which is empty afterwards.
    pub fn append(&mut self, other: &mut Self) {
        if other.ready.is_empty() {
            self.put(&other.open);
            other.open.clear();
        } else {
            self.close();
            other.close();
            self.len += other.len;
            self.ready.append(&mut other.ready);
        }
        other.len = 0;
    }

    /// All of it in one piece.
    pub fn take_all(&mut self) -> Bytes {
        if self.ready.is_empty() {
            self.len = 0;
            return self.open.split().freeze();
        }
        let len = self.len;
        self.copy_to_bytes(len)
    }

    /// Gives memory back that is held while there is nothing to send.
    pub fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.ready.push_back(self.open.split().freeze());
        }
    }
}

impl Buf for Outbox {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.ready.front().map_or(&*self.open, |bytes| bytes)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let open = (!self.open.is_empty()).then_some(&*self.open);
        let pieces = self.ready.iter().map(|bytes| &**bytes).chain(open);
        let pairs = slices.iter_mut().zip(pieces);
        pairs.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.len -= count;
        while let Some(first) = self.ready.front_mut() {
            if count < first.len() {
                return first.advance(count);
            }
            count -= first.len();
            self.ready.pop_front();
        }
        self.open.advance(count);
    }
}

/// Below this a copy costs less than a reference count and one more piece in the vectored write.
const SHARED_BYTES_MIN: usize = 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn large_pieces_are_shared_and_small_ones_gathered() {
        let large = Bytes::from(vec![b'x'; SHARED_BYTES_MIN]);
        let mut outbox = Outbox::new();
        outbox.put(b"a");
        outbox.put_shared(&Bytes::from_static(b"b"));
        outbox.put_shared(&large);
        outbox.put(b"c");
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(outbox.chunks_vectored(&mut slices), 3);
        assert_eq!(&*slices[0], b"ab");
        assert_eq!(slices[1].as_ptr(), large.as_ptr());
        assert_eq!(&*slices[2], b"c");
    }

    proptest! {
        #[test]
        fn whatever_goes_in_comes_out_in_order(
            pieces in prop::collection::vec((any::<bool>(), 0..2_000usize, any::<u8>()), 0..12),
            steps in prop::collection::vec(1..900usize, 1..60),
        ) {
            let (mut outbox, mut other) = (Outbox::new(), Outbox::new());
            let mut expected = Vec::new();
            for (shared, len, byte) in pieces {
                let piece = Bytes::from(vec![byte; len]);
                expected.extend_from_slice(&piece);
                if shared { other.put_shared(&piece) } else { other.put(&piece) }
                outbox.append(&mut other);
            }
            prop_assert_eq!(outbox.remaining(), expected.len());
            let mut out = Vec::new();
            for step in steps {
                let step = step.min(outbox.chunk().len());
                out.extend_from_slice(&outbox.chunk()[..step]);
                outbox.advance(step);
            }
            out.extend_from_slice(&outbox.take_all());
            prop_assert_eq!(out, expected);
            prop_assert_eq!(outbox.remaining(), 0);
        }
    }
}
