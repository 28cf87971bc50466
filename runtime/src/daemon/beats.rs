//! The beats received from other nodes, and the process number in this node's own.

use std::collections::BTreeMap;
use std::time::Duration;

use dkc_core::ids::NodeId;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::raft::hibernate::Keeper;

/// The last beat of each peer.
pub struct Beats {
    /// Process number in this node's own beats, drawn at random.
    pub run: u64,
    heard: Mutex<BTreeMap<NodeId, (u64, Instant)>>,
}

impl Default for Beats {
    fn default() -> Self {
        Beats { run: crate::chance::unique_u64(), heard: Mutex::default() }
    }
}

impl Beats {
    pub fn hear(&self, keeper: Keeper, now: Instant) {
        let mut heard = self.heard.lock();
        heard.insert(keeper.leader, (keeper.run, now));
    }

    pub fn is_missed(&self, keeper: Keeper, now: Instant, timeout: Duration) -> bool {
        let heard = self.heard.lock();
        heard.get(&keeper.leader).is_none_or(|(run, at)| *run != keeper.run || now > *at + timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_missed_when_it_is_late_or_of_another_process() {
        let beats = Beats::default();
        let keeper = Keeper { leader: NodeId(1), run: 5 };
        let (now, timeout) = (Instant::now(), Duration::from_millis(300));
        assert!(beats.is_missed(keeper, now, timeout));
        beats.hear(keeper, now);
        assert!(!beats.is_missed(keeper, now + timeout, timeout));
        assert!(beats.is_missed(keeper, now + timeout + Duration::from_millis(1), timeout));
        assert!(beats.is_missed(Keeper { run: 6, ..keeper }, now, timeout));
    }
}
