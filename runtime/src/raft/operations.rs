//! The operations that one tablet was given on this node since its replica was opened, by the half of its slots: what its load is
//! counted from.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Operations {
    lower: AtomicU64,
    upper: AtomicU64,
}

impl Operations {
    pub fn count(&self, is_upper: bool) {
        let half = if is_upper { &self.upper } else { &self.lower };
        half.fetch_add(1, Ordering::Relaxed);
    }

    /// Of the lower and of the upper half.
    pub fn by_half(&self) -> (u64, u64) {
        (self.lower.load(Ordering::Relaxed), self.upper.load(Ordering::Relaxed))
    }
}
