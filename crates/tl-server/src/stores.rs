//! The only list of stores.

use std::sync::Arc;

use tl_model::Epoch;
use tl_store::{LogStore, MemoryStore};
use tl_store_disk::{DiskStore, OpenError, Options};

use crate::config::{StoreConfig, StoreKind};

/// Opens the store that is configured. Takes a while for a large one; call it where blocking is
/// allowed.
pub(crate) fn open(config: &StoreConfig) -> Result<Arc<dyn LogStore>, OpenError> {
    match config.kind {
        StoreKind::Disk => {
            let directory = config.directory.clone();
            let (segment_bytes, reserve_bytes) = (config.segment_bytes.0, config.reserve_bytes.0);
            Ok(Arc::new(DiskStore::open(&Options { directory, segment_bytes, reserve_bytes })?))
        }
        StoreKind::Memory => {
            // Without randomness no identity can be drawn, and nothing else would work either.
            let bits = getrandom::u64().expect("the operating system gives randomness");
            Ok(Arc::new(MemoryStore::new(Epoch::from_random(bits))))
        }
    }
}
