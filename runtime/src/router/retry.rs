//! Operations that wait for their next attempt, ordered by due time; one task for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use super::in_flight::InFlight;

/// Bounded by the operations in flight, which callers bound.
#[derive(Default)]
pub(super) struct Retries {
    waiting: Mutex<Waiting>,
    work: Notify,
}

#[derive(Default)]
struct Waiting {
    /// The number orders operations that are due at the same time.
    by_due: BTreeMap<(Instant, u64), Box<InFlight>>,
    count: u64,
}

impl Retries {
    pub fn put(&self, due: Instant, operation: Box<InFlight>) {
        let is_next = {
            let mut waiting = self.waiting.lock();
            waiting.count += 1;
            let place = (due, waiting.count);
            waiting.by_due.insert(place, operation);
            waiting.by_due.first_key_value().is_some_and(|(first, _)| *first == place)
        };
        if is_next {
            self.work.notify_one();
        }
    }

    #[expect(clippy::vec_box, reason = "the boxes travel on; their content is large and need not be moved")]
    fn take_due(&self, now: Instant) -> Vec<Box<InFlight>> {
        let mut waiting = self.waiting.lock();
        let later = waiting.by_due.split_off(&(now, u64::MAX));
        std::mem::replace(&mut waiting.by_due, later).into_values().collect()
    }

    fn next_due(&self) -> Option<Instant> {
        let waiting = self.waiting.lock();
        waiting.by_due.first_key_value().map(|((due, _), _)| *due)
    }
}

pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let retries = &shared.retries;
        match retries.next_due() {
            None => retries.work.notified().await,
            Some(due) => tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = retries.work.notified() => {}
            },
        }
        for operation in retries.take_due(Instant::now()) {
            operation.send();
        }
    }
}
