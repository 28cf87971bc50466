//! How much of one connection is with the servers at once: fewer commands when their answers are large.
//!
//! *Invariant:* what servers send for one connection before it has taken room for it is bounded by `IN_FLIGHT_MAX_BYTES`,
//! for a large value only the size is returned.

use dkc_core::wire::REPLY_BOUNDED_MAX_BYTES;

use crate::router::{Call, RouteError};
use crate::slave::batch::BATCH_MAX;
use crate::slave::protocol::Outcome;

/// Bytes of values in flight to one connection, unless one value is larger.
pub(super) const IN_FLIGHT_MAX_BYTES: usize = 1024 * 1024;

/// Of one connection.
pub(super) struct Window {
    /// How large values were lately.
    value_bytes: usize,
}

impl Default for Window {
    /// Nothing is known yet: values may be as large as servers send unasked.
    fn default() -> Window {
        Window { value_bytes: REPLY_BOUNDED_MAX_BYTES }
    }
}

impl Window {
    /// Commands of the next batch.
    pub fn calls_max(&self) -> usize {
        (IN_FLIGHT_MAX_BYTES / self.value_bytes.max(1)).clamp(1, BATCH_MAX)
    }

    /// A large value is noticed at once, and forgotten with the batches that bring none.
    pub fn learn(&mut self, outcomes: &[Outcome]) {
        let largest = outcomes.iter().map(value_bytes).max().unwrap_or(0);
        self.value_bytes = largest.max(self.value_bytes / 2);
    }

    /// What the values of these calls take if they are as large as those before; `None` when those were small.
    pub fn expected_bytes(&self, calls: &[Call]) -> Option<usize> {
        let reads = calls.iter().filter(|call| call.reply_is_bounded).count();
        (self.value_bytes > REPLY_BOUNDED_MAX_BYTES && reads > 0).then(|| reads * self.value_bytes)
    }
}

/// How large the value of an outcome is, whether or not it is here.
pub(super) fn value_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Ok(reply) => reply.value_bytes(),
        Err(RouteError::NoRoom { bytes }) => *bytes,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_narrow_the_window_and_small_ones_widen_it_again() {
        let mut window = Window::default();
        assert_eq!(window.calls_max(), 16, "not known yet");
        let mut check = |bytes: usize, want: usize| {
            window.learn(&[Err(RouteError::NoRoom { bytes: 1 }), Err(RouteError::NoRoom { bytes })]);
            assert_eq!(window.calls_max(), want, "after a value of {bytes} bytes");
        };
        check(10, 32);
        check(10, 64);
        check(10, BATCH_MAX);
        check(IN_FLIGHT_MAX_BYTES * 2, 1);
        check(0, 1);
        check(100 * 1024, 2);
        check(100 * 1024, 4);
        check(100 * 1024, 8);
        check(100 * 1024, 10);
        check(100 * 1024, 10);
    }
}
