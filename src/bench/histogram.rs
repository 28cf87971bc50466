//! Latencies in buckets whose width is at most 1/32 of their value, so that a percentile is right to 3 %.

/// Buckets per doubling.
const STEPS: u64 = 32;
/// Enough for 2^40 µs, two weeks.
const BUCKETS: usize = 40 * STEPS as usize;

#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BUCKETS], total: 0, max_us: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, latency_us: u64, times: u64) {
        let bucket = bucket_of(latency_us).min(BUCKETS - 1);
        self.counts[bucket] += times;
        self.total += times;
        self.max_us = self.max_us.max(latency_us);
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_us = self.max_us.max(other.max_us);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn max_us(&self) -> u64 {
        self.max_us
    }

    /// The latency that this share (0 to 1) of all operations did not exceed.
    pub fn percentile_us(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            passed += count;
            if passed >= wanted && passed > 0 {
                return upper_end(bucket).min(self.max_us);
            }
        }
        self.max_us
    }
}

fn bucket_of(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let doublings = 63 - value.leading_zeros() as u64 - STEPS.trailing_zeros() as u64;
    (doublings * STEPS + (value >> doublings)) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let (doublings, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    if doublings <= 1 {
        return bucket as u64;
    }
    ((STEPS + step + 1) << (doublings - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_ends_at_most_3_percent_above_it() {
        for value in (0..5000).chain([9_999, 65_535, 65_536, 1_000_000, 87_654_321]) {
            let end = upper_end(bucket_of(value));
            assert!(end >= value, "{value} lies above its bucket's end {end}");
            assert!(end - value <= value / 16 + 1, "{value} is far from its bucket's end {end}");
        }
    }

    #[test]
    fn percentiles_of_a_hundred_values() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|n| histogram.add(n * 10, 1));
        assert_eq!(histogram.total(), 100);
        assert!((490..=520).contains(&histogram.percentile_us(0.5)));
        assert!((980..=1000).contains(&histogram.percentile_us(0.99)));
        assert_eq!(histogram.percentile_us(1.0), 1000);
    }
}
