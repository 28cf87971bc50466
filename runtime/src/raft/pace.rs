//! Decides when a tablet's next entry is proposed. Each entry costs a round on every replica, so it pays to wait
//! for more writes to share it while more are certain to arrive soon: while an entry is in flight, and for
//! a moment after it, when clients that were answered send their next write.
//!
//! *Invariant:* while no entry is in flight, a write waits at most `HOLD`.

use std::time::Duration;

use tokio::time::Instant;

/// Entries in flight: one on the disks, one close behind it.
const ENTRIES_MAX: usize = 2;
/// With this many writes the cost of a round is amortised: no reason to wait.
const ENOUGH: usize = 64;
/// With fewer writes than this nothing is held back: the processors are idle, and waiting would only add latency.
const WORTH_HOLDING: usize = 8;
/// How long to wait for clients that were just answered: the shortest possible timer.
const HOLD: Duration = Duration::from_millis(1);

pub struct Pace {
    under_way: usize,
    /// Writes that wait or are likely to follow at once.
    expected: usize,
    hold_until: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Pace {
        Pace { under_way: 0, expected: 0, hold_until: now }
    }

    /// Whether to propose an entry with the waiting writes.
    pub fn may_begin(&self, waiting: usize, now: Instant) -> bool {
        match self.under_way {
            _ if waiting == 0 => false,
            0 => waiting >= self.expected.min(ENOUGH) || now >= self.hold_until,
            entries => entries < ENTRIES_MAX && waiting >= ENOUGH,
        }
    }

    /// Whether to propose an entry without writes.
    pub fn has_room(&self) -> bool {
        self.under_way < ENTRIES_MAX
    }

    /// When to check again if nothing happens until then.
    pub fn look_again_at(&self, waiting: usize) -> Option<Instant> {
        (waiting > 0 && self.under_way == 0).then_some(self.hold_until)
    }

    pub fn began(&mut self) {
        self.under_way += 1;
    }

    /// An entry with this many writes has been answered.
    pub fn ended(&mut self, answered: usize, waiting: usize, now: Instant) {
        self.under_way -= 1;
        self.expected = answered + waiting;
        self.hold_until = if self.expected >= WORTH_HOLDING { now + HOLD } else { now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_an_entry(answered: usize, waiting: usize) -> (Pace, Instant) {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(pace.may_begin(1, now), "the first write waits for nothing");
        pace.began();
        pace.ended(answered, waiting, now);
        (pace, now)
    }

    #[test]
    fn the_next_entry_waits_a_moment_for_those_who_were_answered() {
        let check = |answered: usize, left: usize, waiting: usize, want: bool| {
            let (pace, now) = after_an_entry(answered, left);
            assert_eq!(
                pace.may_begin(waiting, now),
                want,
                "{answered} answered, {left} left, {waiting} wait"
            );
            assert_eq!(pace.may_begin(waiting, now + HOLD), waiting > 0);
            assert_eq!(pace.look_again_at(waiting).is_some(), waiting > 0);
        };
        check(1, 0, 1, true);
        check(1, 0, 0, false);
        check(4, 3, 3, true);
        check(5, 5, 5, false);
        check(5, 5, 9, false);
        check(5, 5, 10, true);
        check(1000, 0, ENOUGH - 1, false);
        check(1000, 0, ENOUGH, true);
    }

    #[test]
    fn a_second_entry_begins_only_when_it_is_large() {
        let (mut pace, now) = after_an_entry(1, 0);
        let check = |pace: &Pace, waiting: usize, want: bool| {
            assert_eq!(pace.may_begin(waiting, now), want, "{waiting} wait");
            assert_eq!(pace.look_again_at(waiting), None);
        };
        pace.began();
        check(&pace, ENOUGH - 1, false);
        check(&pace, ENOUGH, true);
        pace.began();
        check(&pace, ENOUGH, false);
        assert!(!pace.has_room());
    }
}
