//! The version of this node's ring map, for replies that redirect a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dkc_core::ids::RingVersion;

/// The version of this node's ring map, for replies that redirect a client.
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
