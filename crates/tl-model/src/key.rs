use std::fmt;

use sha2::{Digest, Sha256};

use crate::limits::IDEMPOTENCY_KEY_BYTES_MAX;

/// A publisher's name for one request, the same whenever it repeats it.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// Takes visible ASCII characters and spaces, 1 to 255 of them.
    pub fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        let is_legal = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_legal || !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len()) {
            return Err(IdempotencyKeyError);
        }
        Ok(Self(text.into()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    /// Keys may be made of things that are nobody else's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(…)")
    }
}

/// A text that cannot be a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "an idempotency key is 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters; a random UUID is \
     a good one"
)]
pub struct IdempotencyKeyError;

/// What a request that may be repeated asks for, in short: two requests with the same fingerprint ask
/// for the same.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of parts, in order. Where one part ends and the next begins makes a difference.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let whole: [u8; 32] = hash.finalize().into();
        Self(std::array::from_fn(|place| whole[place]))
    }

    /// The bytes, for storing.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl From<[u8; 16]> for Fingerprint {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// A request that has its effect once, however often it is repeated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Once {
    /// The publisher's name for it.
    pub key: IdempotencyKey,
    /// What it asks for.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii() {
        assert_eq!(IdempotencyKey::parse("order 42").map(|key| key.as_str().len()), Ok(8));
        assert!(IdempotencyKey::parse(&"k".repeat(IDEMPOTENCY_KEY_BYTES_MAX)).is_ok());
        for illegal in ["", "ü", "a\nb", &"k".repeat(IDEMPOTENCY_KEY_BYTES_MAX + 1)] {
            assert_eq!(IdempotencyKey::parse(illegal), Err(IdempotencyKeyError), "{illegal:?}");
        }
    }

    #[test]
    fn a_fingerprint_tells_parts_apart() {
        let of = |parts: &[&str]| Fingerprint::of(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_ne!(of(&["a", ""]), of(&["a"]));
        assert_eq!(Fingerprint::from(of(&["a"]).bytes()), of(&["a"]));
    }
}
