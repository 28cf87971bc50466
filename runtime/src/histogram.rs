//! Counts how long operations take, without a lock. `dkc_core::control::Latency` carries the counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dkc_core::control::{LATENCY_BOUNDS_US, Latency};

/// Since the start of the process.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// So many operations took so long together.
    pub fn record(&self, took: Duration, operations: u64) {
        let took_us = took.as_micros() as u64;
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < took_us);
        self.counts[bucket].fetch_add(operations, Ordering::Relaxed);
        self.sum_us.fetch_add(took_us.saturating_mul(operations), Ordering::Relaxed);
    }

    pub fn counted(&self) -> Latency {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Latency { counts, sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_counted_in_the_first_bucket_that_holds_it() {
        let check = |took_us: u64, bucket: usize| {
            let histogram = Histogram::default();
            histogram.record(Duration::from_micros(took_us), 3);
            let counted = histogram.counted();
            assert_eq!(counted.counts.iter().position(|count| *count == 3), Some(bucket), "{took_us} us");
            assert_eq!((counted.total(), counted.sum_us), (3, 3 * took_us));
        };
        check(0, 0);
        check(125, 0);
        check(126, 1);
        check(4_000_000, 15);
        check(4_000_001, 16);
        check(60_000_000, 16);
    }
}
