//! The parameters that open groups take over while they run. All groups of a node share one `Tuning`, which a reload sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dkc_core::config::{Parameters, ReadPolicy};

/// Room in the queue of a tablet, whatever `tablet_queue_max` is: its upper bound. An empty queue takes no memory for it.
pub const QUEUE_ROOM_MAX: usize = 1_000_000;

pub struct Tuning {
    asks_majority: AtomicBool,
    queue_max: AtomicUsize,
}

impl Tuning {
    pub fn of(parameters: &Parameters) -> Arc<Tuning> {
        let tuning = Tuning { asks_majority: AtomicBool::default(), queue_max: AtomicUsize::default() };
        tuning.set(parameters);
        Arc::new(tuning)
    }

    pub fn set(&self, parameters: &Parameters) {
        self.asks_majority.store(parameters.read == ReadPolicy::Index, Ordering::Relaxed);
        self.queue_max.store(parameters.tablet_queue_max as usize, Ordering::Relaxed);
    }

    /// How reads are made linearizable. Either way is right by itself, so groups may change at different moments.
    pub fn read_policy(&self) -> ReadPolicy {
        if self.asks_majority.load(Ordering::Relaxed) { ReadPolicy::Index } else { ReadPolicy::Lease }
    }

    /// Whether one more write may wait behind so many.
    pub fn has_room(&self, queued: usize) -> bool {
        queued < self.queue_max.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_queue_refuses_what_a_longer_one_took() {
        let tuning = Tuning::of(&Parameters { tablet_queue_max: 100, ..Parameters::default() });
        assert_eq!([99, 100].map(|queued| tuning.has_room(queued)), [true, false]);
        tuning.set(&Parameters { tablet_queue_max: 20, read: ReadPolicy::Index, ..Parameters::default() });
        assert_eq!([19, 20].map(|queued| tuning.has_room(queued)), [true, false]);
        assert_eq!(tuning.read_policy(), ReadPolicy::Index);
    }
}
