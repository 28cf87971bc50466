//! The memory limit of rows that are not ingested yet, and the backpressure behind it. There are at most two generations: one
//! grows while the other is ingested; when both are full, applying waits.
//!
//! *Invariant:* no task waits while it holds a lock that freezing or ingesting needs, nor before the ingesting loop runs: a starting
//! node replays its log first, up to three generations. The log bounds that.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::overlay::Growth;

/// A waiter polls at this interval, even without a notification.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub struct Budget {
    generation_bytes_max: u64,
    replay_bytes_max: u64,
    growing_bytes: AtomicI64,
    /// Committed since the growing generation began.
    replay_bytes: AtomicU64,
    frozen_bytes: AtomicU64,
    /// The ingesting loop runs, so that waiting for room ends.
    is_attended: AtomicBool,
    is_closing: AtomicBool,
    /// Somebody waits for what was applied to be durable.
    is_urgent: AtomicBool,
    full: Notify,
    room: Notify,
    waits: AtomicU64,
    waited_ms: AtomicU64,
}

/// Where the store stands, for status and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory of the rows that are not ingested yet.
    pub growing_bytes: u64,
    pub frozen_bytes: u64,
    /// How often, and how long in all, applying has waited for an ingestion.
    pub waits: u64,
    pub waited_ms: u64,
}

impl Budget {
    pub fn new(generation_bytes_max: u64, replay_bytes_max: u64) -> Budget {
        Budget {
            generation_bytes_max,
            replay_bytes_max,
            growing_bytes: AtomicI64::new(0),
            replay_bytes: AtomicU64::new(0),
            frozen_bytes: AtomicU64::new(0),
            is_attended: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            is_urgent: AtomicBool::new(false),
            full: Notify::new(),
            room: Notify::new(),
            waits: AtomicU64::new(0),
            waited_ms: AtomicU64::new(0),
        }
    }

    pub fn grow(&self, growth: Growth) {
        self.growing_bytes.fetch_add(growth.memory_bytes, Ordering::Relaxed);
        self.replay_bytes.fetch_add(growth.replay_bytes, Ordering::Relaxed);
        if self.fullness() >= 1 {
            self.full.notify_one();
        }
    }

    /// For rows discarded without freezing: their tablet was dropped or replaced.
    pub fn shrink(&self, bytes: u64) {
        self.growing_bytes.fetch_sub(bytes as i64, Ordering::Relaxed);
    }

    /// Ingests at once.
    pub fn hurry(&self) {
        self.is_urgent.store(true, Ordering::Relaxed);
        self.full.notify_one();
    }

    /// A generation of so many bytes was frozen, and a new one begins.
    pub fn frozen(&self, bytes: u64) {
        self.shrink(bytes);
        self.frozen_bytes.store(bytes, Ordering::Relaxed);
        self.replay_bytes.store(0, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// There was nothing to freeze: what is counted belongs to tablets that went.
    pub fn nothing_grows(&self) {
        self.growing_bytes.store(0, Ordering::Relaxed);
        self.replay_bytes.store(0, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    pub fn thawed(&self) {
        self.frozen_bytes.store(0, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// Releases all waiters, for good.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// How many generations would hold what grows, rounded down.
    fn fullness(&self) -> u64 {
        let memory =
            self.growing_bytes.load(Ordering::Relaxed).max(0) as u64 / self.generation_bytes_max.max(1);
        memory.max(self.replay_bytes.load(Ordering::Relaxed) / self.replay_bytes_max.max(1))
    }

    fn has_room(&self) -> bool {
        let most = if self.frozen_bytes.load(Ordering::Relaxed) > 0 { 1 } else { 2 };
        self.fullness() < most
            || self.is_closing.load(Ordering::Relaxed)
            || !self.is_attended.load(Ordering::Relaxed)
    }

    /// Returns when the generation is full; the caller then ingests it.
    pub async fn wait_until_full(&self) {
        self.is_attended.store(true, Ordering::Relaxed);
        while self.fullness() < 1 && !self.is_urgent.swap(false, Ordering::Relaxed) {
            self.full.notified().await;
        }
    }

    /// Returns when more may be applied.
    pub async fn wait_for_room(&self) {
        #[cfg(feature = "simulation")]
        crate::simulation::disk::wait_for_room().await;
        if self.has_room() {
            return;
        }
        let began = Instant::now();
        while !self.has_room() {
            self.full.notify_one();
            // A notification sent between the check and the wait is made up for by polling.
            let _ = tokio::time::timeout(LOOK_AGAIN, self.room.notified()).await;
        }
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waited_ms.fetch_add(began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    pub fn usage(&self) -> Usage {
        Usage {
            growing_bytes: self.growing_bytes.load(Ordering::Relaxed).max(0) as u64,
            frozen_bytes: self.frozen_bytes.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            waited_ms: self.waited_ms.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(budget: &Budget, memory_bytes: i64, replay_bytes: u64) {
        budget.grow(Growth { memory_bytes, replay_bytes });
    }

    fn attended() -> Budget {
        let budget = Budget::new(100, 1000);
        assert!(futures::FutureExt::now_or_never(budget.wait_until_full()).is_none());
        budget
    }

    #[test]
    fn nobody_waits_before_somebody_ingests() {
        let budget = Budget::new(100, 1000);
        grown(&budget, 300, 300);
        assert!(budget.has_room(), "a node that starts would wait for itself");
        assert!(futures::FutureExt::now_or_never(budget.wait_until_full()).is_some());
        assert!(!budget.has_room());
    }

    #[test]
    fn one_generation_may_grow_while_another_is_ingested_and_no_more() {
        let budget = attended();
        grown(&budget, 199, 199);
        assert!(budget.has_room(), "nothing is frozen: that is about to happen");
        grown(&budget, 1, 1);
        assert!(!budget.has_room());
        budget.frozen(200);
        assert!(budget.has_room());
        grown(&budget, 100, 100);
        assert!(!budget.has_room());
        budget.thawed();
        assert!(budget.has_room());
        assert_eq!(budget.usage(), Usage { growing_bytes: 100, ..Usage::default() });
    }

    #[test]
    fn a_row_that_is_written_again_and_again_fills_a_generation_too() {
        let budget = Budget::new(100, 1000);
        (0..10).for_each(|_| grown(&budget, 0, 100));
        assert_eq!(budget.fullness(), 1);
        budget.frozen(0);
        assert_eq!(budget.fullness(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_when_there_is_room_or_the_node_stops() {
        for end in [Budget::thawed, Budget::close] {
            let budget = attended();
            grown(&budget, 100, 100);
            budget.frozen(100);
            grown(&budget, 100, 100);
            let (_, ()) = tokio::join!(biased; budget.wait_for_room(), async { end(&budget) });
            assert_eq!(budget.usage().waits, 1);
        }
    }
}
