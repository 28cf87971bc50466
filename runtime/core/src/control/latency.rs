//! How long operations took, counted in buckets since the start of a process. What an operator sees is the difference of two counts.

use serde::{Deserialize, Serialize};

/// Upper ends of the buckets, in microseconds; what took longer is counted in one more.
pub const LATENCY_BOUNDS_US: [u64; 16] = [
    125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 125_000, 250_000, 500_000, 1_000_000,
    2_000_000, 4_000_000,
];

/// Counts by bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// One for each bound, and one for what took longer. Shorter in what another release says.
    pub counts: Vec<u64>,
    /// Of all operations together.
    pub sum_us: u64,
}

impl Latency {
    /// What was counted after `before`; everything if the process was restarted in between.
    pub fn since(&self, before: &Latency) -> Latency {
        if before.total() > self.total() {
            return self.clone();
        }
        let earlier = before.counts.iter().copied().chain(std::iter::repeat(0));
        let counts = self.counts.iter().zip(earlier).map(|(now, then)| now.saturating_sub(then)).collect();
        Latency { counts, sum_us: self.sum_us.saturating_sub(before.sum_us) }
    }

    /// These and those.
    pub fn and(mut self, other: &Latency) -> Latency {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self
    }

    /// How many operations.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// So many per mille took no longer than this: the upper end of the bucket in which that is decided. `None` if there were no
    /// operations; twice the last bound for what took longer than that.
    pub fn per_mille_us(&self, per_mille: u64) -> Option<u64> {
        let total = self.total();
        let wanted = (total.checked_mul(per_mille)?.div_ceil(1000)).max(1);
        let mut seen = 0_u64;
        let bucket = self.counts.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= wanted
        });
        let beyond = LATENCY_BOUNDS_US[LATENCY_BOUNDS_US.len() - 1] * 2;
        bucket.filter(|_| total > 0).map(|bucket| LATENCY_BOUNDS_US.get(bucket).copied().unwrap_or(beyond))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(counts: &[(usize, u64)]) -> Latency {
        let mut all = vec![0; LATENCY_BOUNDS_US.len() + 1];
        counts.iter().for_each(|(bucket, count)| all[*bucket] += count);
        Latency { counts: all, sum_us: 0 }
    }

    #[test]
    fn a_quantile_is_the_end_of_the_bucket_in_which_it_is_decided() {
        let check = |counts: &[(usize, u64)], per_mille: u64, want: Option<u64>| {
            assert_eq!(latency(counts).per_mille_us(per_mille), want, "{counts:?} at {per_mille}");
        };
        check(&[], 500, None);
        check(&[(0, 1)], 0, Some(125));
        check(&[(0, 1)], 999, Some(125));
        check(&[(0, 50), (3, 50)], 500, Some(125));
        check(&[(0, 49), (3, 51)], 500, Some(1_000));
        check(&[(0, 99), (15, 1)], 990, Some(125));
        check(&[(0, 98), (15, 2)], 990, Some(4_000_000));
        check(&[(16, 1)], 500, Some(8_000_000));
    }

    #[test]
    fn what_a_restarted_process_counts_is_all_new() {
        let (before, after) = (latency(&[(0, 10), (2, 5)]), latency(&[(0, 14), (2, 5), (3, 1)]));
        assert_eq!(after.since(&before), latency(&[(0, 4), (3, 1)]));
        assert_eq!(latency(&[(1, 3)]).since(&before), latency(&[(1, 3)]));
        assert_eq!(after.since(&Latency::default()), after);
    }

    #[test]
    fn sums_hold_the_buckets_of_both() {
        let sum = Latency::default().and(&latency(&[(0, 1)])).and(&latency(&[(0, 2), (16, 1)]));
        assert_eq!(sum, latency(&[(0, 3), (16, 1)]));
    }
}
