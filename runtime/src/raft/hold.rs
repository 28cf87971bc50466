//! Holds the writes of a group back for a moment, so that the states of several groups can be taken while none of them changes.
//! Nothing depends on a hold for being right: whoever takes a state checks afterwards that it is still the newest one.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A hold that nobody releases ends by itself.
pub const HOLD_MAX: Duration = Duration::from_millis(1000);

/// Between a group's proposer and whoever holds it.
pub struct Hold {
    until: watch::Sender<Option<Instant>>,
    /// No entry of the proposer is in flight.
    is_drained: watch::Sender<bool>,
}

impl Default for Hold {
    fn default() -> Hold {
        Hold { until: watch::channel(None).0, is_drained: watch::channel(false).0 }
    }
}

impl Hold {
    /// The proposer begins no entry until then, or until it is released.
    pub fn begin(&self) {
        self.is_drained.send_replace(false);
        self.until.send_replace(Some(Instant::now() + HOLD_MAX));
    }

    pub fn release(&self) {
        self.until.send_if_modified(|until| until.take().is_some());
    }

    /// Returns once no entry is in flight, or when the hold has ended.
    pub async fn drained(&self) {
        let mut is_drained = self.is_drained.subscribe();
        let _ = tokio::time::timeout(HOLD_MAX, is_drained.wait_for(|is| *is)).await;
    }

    /// For the proposer: when the hold ends, if there is one.
    pub fn held_until(&self) -> Option<Instant> {
        (*self.until.borrow()).filter(|until| *until > Instant::now())
    }

    /// For the proposer, while it is held: nothing is in flight.
    pub fn say_drained(&self) {
        self.is_drained.send_if_modified(|is| !std::mem::replace(is, true));
    }

    /// For the proposer: a signal for each hold that begins or is released.
    pub fn changes(&self) -> watch::Receiver<Option<Instant>> {
        self.until.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hold_ends_when_it_is_released_or_by_itself() {
        let hold = Hold::default();
        assert_eq!(hold.held_until(), None);
        hold.begin();
        assert!(hold.held_until().is_some());
        hold.say_drained();
        hold.drained().await;
        hold.release();
        assert_eq!(hold.held_until(), None);
        hold.begin();
        let began = Instant::now();
        hold.drained().await;
        assert!(began.elapsed() >= HOLD_MAX && hold.held_until().is_none());
    }
}
