//! Whether a login may become root through `sudo`. Trying leaves a line in the host's log when it is refused, so the verdict is kept
//! with the connection. *Invariant:* it is forgotten with the connection, and after a while: sudo may have come meanwhile.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// As long as an idle connection is kept.
const VERDICT_MAX: Duration = Duration::from_secs(600);

#[derive(Default)]
pub struct RootAccess(Mutex<Option<(bool, Instant)>>);

impl RootAccess {
    /// `None` when it has to be tried.
    pub fn verdict(&self) -> Option<bool> {
        self.verdict_at(Instant::now())
    }

    pub fn learn(&self, may_sudo: bool) {
        *self.0.lock() = Some((may_sudo, Instant::now()));
    }

    fn verdict_at(&self, now: Instant) -> Option<bool> {
        let known = *self.0.lock();
        known.filter(|(_, since)| now.saturating_duration_since(*since) < VERDICT_MAX).map(|(may, _)| may)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_kept_for_a_while() {
        let access = RootAccess::default();
        assert_eq!(access.verdict(), None);
        for may in [false, true] {
            access.learn(may);
            let now = Instant::now();
            assert_eq!(access.verdict_at(now), Some(may));
            assert_eq!(access.verdict_at(now + VERDICT_MAX), None);
        }
    }
}
