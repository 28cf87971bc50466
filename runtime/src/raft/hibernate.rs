//! Hibernation of one replica: an idle group stops its timers on every replica, so that an idle tablet
//! costs nothing (TiKV's hibernate region). The leader's node then sends one beat for all of its hibernating groups to
//! each of their followers (`daemon::hibernation`), and a follower that misses those wakes up.
//!
//! *Invariant:* only timers stop. Votes, leases and acknowledgements follow Raft's own rules all the time, so that a
//! group that wakes up late answers late, never wrongly: after some seconds without heartbeats the leader's lease
//! for reads has run out, and a majority must confirm it before the first answer.
//! *Invariant:* a follower hibernates only while it receives beats from the very process that asked it to.

use std::sync::atomic::{AtomicBool, Ordering};

use dkc_core::ids::NodeId;
use parking_lot::Mutex;

use super::machine::Raft;

/// The process whose beats keep the replica hibernating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeper {
    pub leader: NodeId,
    /// A random number per process: a restarted leader leads nothing.
    pub run: u64,
}

/// The timers of one replica.
pub struct Hibernation {
    raft: Raft,
    node: NodeId,
    /// The group was used since `take_idle`.
    is_used: AtomicBool,
    /// Whether `keeper` is set, readable without the lock.
    is_awake: AtomicBool,
    /// `None` while the timers run.
    keeper: Mutex<Option<Keeper>>,
}

impl Hibernation {
    pub fn new(raft: Raft, node: NodeId) -> Hibernation {
        Hibernation {
            raft,
            node,
            is_used: AtomicBool::new(true),
            is_awake: AtomicBool::new(true),
            keeper: Mutex::new(None),
        }
    }

    /// Called before every read, write or change; the leader wakes the group up for it.
    pub fn touch(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::SeqCst);
        }
        if self.keeper().is_some_and(|keeper| keeper.leader == self.node) {
            self.wake();
        }
    }

    /// The timers run again. A leader sends a heartbeat at once, which wakes up the others and renews its lease.
    pub fn wake(&self) {
        if self.is_awake.load(Ordering::SeqCst) {
            return;
        }
        let mut keeper = self.keeper.lock();
        let Some(was) = keeper.take() else { return };
        self.raft.runtime_config().tick(true);
        self.is_awake.store(true, Ordering::SeqCst);
        if was.leader == self.node {
            let raft = self.raft.clone();
            crate::task::spawn(async move {
                // It fails only when the group has stopped.
                let _ = raft.trigger().heartbeat().await;
            });
        }
    }

    /// Stops the timers, unless the group has just been used.
    pub fn rest(&self, under: Keeper) -> bool {
        let mut keeper = self.keeper.lock();
        self.is_awake.store(false, Ordering::SeqCst);
        // After the store: either this sees the use, or `touch` sees that the group has to be woken up.
        if under.leader == self.node && self.is_used.load(Ordering::SeqCst) {
            self.is_awake.store(keeper.is_none(), Ordering::SeqCst);
            return false;
        }
        self.raft.runtime_config().tick(false);
        *keeper = Some(under);
        true
    }

    /// The process whose beats keep this replica hibernating, if it is.
    pub fn keeper(&self) -> Option<Keeper> {
        if self.is_awake.load(Ordering::SeqCst) {
            return None;
        }
        *self.keeper.lock()
    }

    /// Whether the group was idle since the last call.
    pub fn take_idle(&self) -> bool {
        !self.is_used.swap(false, Ordering::SeqCst)
    }
}
