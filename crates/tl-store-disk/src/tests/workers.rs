//! The store whose work is done in the caller keeps the same promises.

use super::*;
use crate::simulation::SimulatedDisk;

fn in_the_caller() -> Arc<dyn LogStore> {
    let (disk, epoch) = (Arc::new(SimulatedDisk::new()), Epoch::from_random(1 << 40));
    let generations = Box::new(|| 7);
    let store = DiskStore::open_with(Workers::Caller, disk, epoch, SEGMENT_BYTES, generations);
    Arc::new(store.expect("opens"))
}

tl_store::conformance_suite!(in_the_caller);
