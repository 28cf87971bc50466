//! Latencies of a load in microseconds, exact to one part in a thousand.

use hdrhistogram::Histogram as Counts;

/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Longer latencies are counted as this one: a day.
const LATENCY_MAX_US: u64 = 86_400_000_000;

#[derive(Clone)]
pub struct Histogram(Counts<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Histogram(Counts::new_with_max(LATENCY_MAX_US, DIGITS).expect("the bounds are constants"))
    }
}

impl Histogram {
    pub fn add(&mut self, latency_us: u64, times: u64) {
        self.0.saturating_record_n(latency_us, times);
    }

    pub fn merge(&mut self, other: &Histogram) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    pub fn total(&self) -> u64 {
        self.0.len()
    }

    pub fn max_us(&self) -> u64 {
        self.0.max()
    }

    /// The quantile of this share (0 to 1) of all operations.
    pub fn percentile_us(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share).min(self.0.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
