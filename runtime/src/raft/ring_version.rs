//! The version of the ring map that this node knows, where answers that redirect a client need it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dkc_core::ids::RingVersion;

/// The version of the ring map that this node knows, for answers that send a client elsewhere.
#[derive(Clone, Default)]
pub struct RingVersionSource(Arc<AtomicU64>);

impl RingVersionSource {
    pub fn get(&self) -> RingVersion {
        RingVersion(self.0.load(Ordering::Relaxed))
    }
    pub fn set(&self, version: RingVersion) {
        self.0.store(version.0, Ordering::Relaxed);
    }
}
