//! A slave's counters, independent of the protocol: for `stats`, for metrics and for status. Counted since the start,
//! or since a reset.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::histogram::Histogram;
use crate::prometheus::Text;

/// A set of counters with names.
pub(crate) trait Counters: Default + Send + Sync + 'static {
    /// Every counter with its name, in the order in which they are shown.
    fn counters(&self) -> Vec<(&'static str, &AtomicU64)>;

    fn reset(&self) {
        self.counters().iter().for_each(|(_, counter)| counter.store(0, Ordering::Relaxed));
    }
}

/// A struct of counters and its `Counters`.
macro_rules! counters {
    ($(#[$about:meta])* $struct:ident: $($name:ident),* $(,)?) => {
        $(#[$about])*
        #[derive(Default)]
        pub(crate) struct $struct {
            $(pub $name: std::sync::atomic::AtomicU64,)*
        }
        impl $crate::slave::statistics::Counters for $struct {
            fn counters(&self) -> Vec<(&'static str, &std::sync::atomic::AtomicU64)> {
                vec![$((stringify!($name), &self.$name)),*]
            }
        }
    };
}
pub(crate) use counters;

counters!(
    /// Over all connections of any protocol. `errors` are commands that ended with a definite error,
    /// `outcomes_unknown` those with an unknown outcome.
    TrafficCounters:
    total_connections,
    rejected_connections,
    timed_out_connections,
    bytes_read,
    bytes_written,
    errors,
    outcomes_unknown,
);

/// Of one slave.
#[derive(Default)]
pub(crate) struct Traffic {
    /// Open connections of applications.
    connections: AtomicU32,
    /// Batches that are not answered yet.
    batches: AtomicU32,
    pub counters: TrafficCounters,
    /// Of batches: from the last byte of what an application has sent together to the last answer.
    pub latency: Histogram,
}

/// Counts a connection or a batch until it is dropped.
pub(crate) struct InFlight<'a>(&'a AtomicU32);
impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicU32) -> InFlight<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        InFlight(count)
    }
}
impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Traffic {
    pub fn connection(&self) -> InFlight<'_> {
        add(&self.counters.total_connections, 1);
        InFlight::new(&self.connections)
    }

    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn batch(&self) -> InFlight<'_> {
        InFlight::new(&self.batches)
    }

    pub fn batches_in_flight(&self) -> u32 {
        self.batches.load(Ordering::Relaxed)
    }

    pub fn count_failure(&self, is_outcome_unknown: bool) {
        let TrafficCounters { errors, outcomes_unknown, .. } = &self.counters;
        add(if is_outcome_unknown { outcomes_unknown } else { errors }, 1);
    }
}

/// Writes the counters; those of the same name are added up.
pub(crate) fn write_metrics(text: &mut Text, counters: &[(&'static str, u64)]) {
    let mut sums: Vec<(&'static str, u64)> = Vec::new();
    for (name, count) in counters {
        match sums.iter_mut().find(|(summed, _)| summed == name) {
            Some((_, sum)) => *sum += count,
            None => sums.push((name, *count)),
        }
    }
    for (name, sum) in sums {
        let full = match name {
            "total_connections" => "dkc_slave_connections_accepted_total".to_owned(),
            name => format!("dkc_slave_{name}_total"),
        };
        text.counter(&full, &format!("Counted as {name} since the start, as stats says it."), sum);
    }
}

/// The current counters.
pub(crate) fn counts(counters: &impl Counters) -> Vec<(&'static str, u64)> {
    let load = |(name, counter): (&'static str, &AtomicU64)| (name, counter.load(Ordering::Relaxed));
    counters.counters().into_iter().map(load).collect()
}
