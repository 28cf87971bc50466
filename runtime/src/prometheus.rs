//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;

use dkc_core::control::{LATENCY_BOUNDS_US, Latency};
use dkc_core::metrics::{Kind, Metric};

/// Collects samples; the head of a name is written once, before its first sample, so samples of one name follow each other.
#[derive(Default)]
pub struct Text {
    out: String,
    last_name: String,
}

impl Text {
    /// `labels` is empty or has its braces.
    pub fn sample(&mut self, metric: &Metric, labels: &str, value: u64) {
        self.head(metric.name, metric.kind, metric.help);
        self.line(format_args!("{}{labels} {value}", metric.name));
    }

    /// Of a metric that no table names.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, Kind::Counter, help);
        self.line(format_args!("{name} {value}"));
    }

    /// Prometheus counts time in seconds.
    pub fn seconds(&mut self, metric: &Metric, value_ms: u64) {
        self.head(metric.name, metric.kind, metric.help);
        self.line(format_args!("{} {}", metric.name, value_ms as f64 / 1e3));
    }

    /// In seconds, too.
    pub fn latency(&mut self, metric: &Metric, latency: &Latency) {
        let name = metric.name;
        self.head(name, metric.kind, metric.help);
        let mut seen = 0_u64;
        for (bound_us, count) in LATENCY_BOUNDS_US.iter().zip(&latency.counts) {
            seen += count;
            let bound_s = *bound_us as f64 / 1e6;
            self.line(format_args!("{name}_bucket{{le=\"{bound_s}\"}} {seen}"));
        }
        let total = latency.total();
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {total}"));
        self.line(format_args!("{name}_sum {}", latency.sum_us as f64 / 1e6));
        self.line(format_args!("{name}_count {total}"));
    }

    pub fn end(self) -> String {
        self.out
    }

    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        if self.last_name != name {
            self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
            self.last_name = name.to_owned();
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.out, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static A: Metric = Metric { name: "a_total", kind: Kind::Counter, help: "What." };
    static B: Metric = Metric { name: "b_seconds", kind: Kind::Histogram, help: "How long." };

    #[test]
    fn a_name_has_one_head_and_a_histogram_counts_up() {
        let mut text = Text::default();
        text.sample(&A, "{kind=\"x\"}", 1);
        text.sample(&A, "{kind=\"y\"}", 2);
        let mut counts = vec![0; LATENCY_BOUNDS_US.len() + 1];
        (counts[0], counts[3], counts[16]) = (2, 3, 1);
        text.latency(&B, &Latency { counts, sum_us: 1_500_000 });
        let text = text.end();
        let head =
            "# HELP a_total What.\n# TYPE a_total counter\na_total{kind=\"x\"} 1\na_total{kind=\"y\"} 2\n";
        assert!(text.starts_with(head), "{text}");
        for line in [
            "# TYPE b_seconds histogram",
            "b_seconds_bucket{le=\"0.000125\"} 2",
            "b_seconds_bucket{le=\"0.0005\"} 2",
            "b_seconds_bucket{le=\"0.001\"} 5",
            "b_seconds_bucket{le=\"4\"} 5",
            "b_seconds_bucket{le=\"+Inf\"} 6",
            "b_seconds_sum 1.5",
            "b_seconds_count 6",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line:?} in {text}");
        }
    }
}
