//! The number of commands of one connection in flight: fewer if their replies are large.
//!
//! *Invariant:* the bytes that servers send for one connection before it has reserved memory are bounded by `IN_FLIGHT_MAX_BYTES`:
//! for a large value only the size is returned.

use dkc_core::wire::REPLY_BOUNDED_MAX_BYTES;

use crate::router::{Call, RouteError};
use crate::slave::batch::BATCH_MAX;
use crate::slave::protocol::Outcome;

/// Bytes of values in flight to one connection, unless one value is larger.
pub(super) const IN_FLIGHT_MAX_BYTES: usize = 1024 * 1024;

/// Of one connection.
pub(super) struct Window {
    /// The size of recent values.
    value_bytes: usize,
}

impl Default for Window {
    /// Initially values may be as large as servers send unrequested.
    fn default() -> Window {
        Window { value_bytes: REPLY_BOUNDED_MAX_BYTES }
    }
}

impl Window {
    /// The number of commands in the next batch.
    pub fn calls_max(&self) -> usize {
        (IN_FLIGHT_MAX_BYTES / self.value_bytes.max(1)).clamp(1, BATCH_MAX)
    }

    /// A large value counts at once, and is forgotten over later batches without one.
    pub fn learn(&mut self, outcomes: &[Outcome]) {
        let largest = outcomes.iter().map(value_bytes).max().unwrap_or(0);
        self.value_bytes = largest.max(self.value_bytes / 2);
    }

    /// The expected size of these calls' values; `None` if recent values were small.
    pub fn expected_bytes(&self, calls: &[Call]) -> Option<usize> {
        let reads = calls.iter().filter(|call| call.reply_is_bounded).count();
        (self.value_bytes > REPLY_BOUNDED_MAX_BYTES && reads > 0).then(|| reads * self.value_bytes)
    }
}

/// The size of an outcome's value, received or not.
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
