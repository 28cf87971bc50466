//! The router's state of one tablet, kept across ring maps: its session, so that retries apply
//! once, and its leader.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dkc_core::ids::{NodeId, TabletId};
use dkc_core::tablet::REPLIES_PER_SESSION_MAX;
use parking_lot::{Mutex, MutexGuard};

/// Half of what a tablet remembers, so that it never forgets a reply that may still be needed.
const WINDOW_MAX: usize = REPLIES_PER_SESSION_MAX / 2;

pub(super) struct TabletState {
    pub tablet: TabletId,
    session: Mutex<Arc<Session>>,
    leader: AtomicU64,
}

/// One session of this router with one tablet.
pub(super) struct Session {
    /// Random, so that no two routers ever share one. Never 0, which means "no session".
    pub id: u64,
    sequences: Mutex<Sequences>,
}

/// Sequences count from 1. `base` is the lowest unanswered one; `is_answered[i]` belongs to `base + i`.
struct Sequences {
    base: u64,
    is_answered: VecDeque<bool>,
}

/// A write's session and sequence.
pub(super) struct Ticket {
    pub session: Arc<Session>,
    pub sequence: u64,
    pub answered_below: u64,
}

impl Session {
    fn new() -> Arc<Session> {
        let sequences = Mutex::new(Sequences { base: 1, is_answered: VecDeque::new() });
        Arc::new(Session { id: crate::chance::unique_u64().max(1), sequences })
    }

    fn sequences(&self) -> MutexGuard<'_, Sequences> {
        self.sequences.lock()
    }

    /// The application has its reply (perhaps "unknown"): this sequence is never sent again.
    pub fn finish(&self, sequence: u64) {
        let mut sequences = self.sequences();
        let place = (sequence - sequences.base) as usize;
        sequences.is_answered[place] = true;
        while sequences.is_answered.front() == Some(&true) {
            sequences.is_answered.pop_front();
            sequences.base += 1;
        }
    }

    pub fn answered_below(&self) -> u64 {
        self.sequences().base
    }
}

impl TabletState {
    pub fn new(tablet: TabletId, leader: NodeId) -> TabletState {
        TabletState { tablet, session: Mutex::new(Session::new()), leader: AtomicU64::new(leader.0) }
    }

    /// The state of a tablet that was split off `parent`.
    pub fn split_off(parent: &TabletState, tablet: TabletId, leader: NodeId) -> TabletState {
        let session = Mutex::new(parent.session.lock().clone());
        TabletState { tablet, session, leader: AtomicU64::new(leader.0) }
    }

    /// A sequence for a new write. One slow write keeps its session's window open; once the window is as wide as the
    /// tablet remembers, a new session begins and the old one ends with its last reply.
    pub fn begin(&self) -> Ticket {
        let mut session = self.session.lock();
        if session.sequences().is_answered.len() >= WINDOW_MAX {
            *session = Session::new();
        }
        let mut sequences = session.sequences();
        let sequence = sequences.base + sequences.is_answered.len() as u64;
        sequences.is_answered.push_back(false);
        let answered_below = sequences.base;
        drop(sequences);
        Ticket { session: session.clone(), sequence, answered_below }
    }

    /// The presumed leader.
    pub fn leader(&self) -> NodeId {
        NodeId(self.leader.load(Ordering::Relaxed))
    }

    pub fn set_leader(&self, leader: NodeId) {
        self.leader.store(leader.0, Ordering::Relaxed);
    }

    /// `failed` did not serve: presumes the next of `voters`, unless another operation has learnt the leader since.
    pub fn leader_failed(&self, failed: NodeId, voters: &[NodeId]) {
        let at = voters.iter().position(|voter| *voter == failed).map_or(0, |at| at + 1);
        if let Some(next) = voters.get(at % voters.len().max(1)) {
            let _ = self.leader.compare_exchange(failed.0, next.0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answered_below_is_the_lowest_sequence_that_waits() {
        let state = TabletState::new(TabletId(0), NodeId(1));
        let sequences: Vec<u64> = (0..4).map(|_| state.begin().sequence).collect();
        assert_eq!(sequences, [1, 2, 3, 4]);
        let check = |finished: u64, want: u64| {
            let session = state.session.lock().clone();
            session.finish(finished);
            assert_eq!(session.answered_below(), want, "after {finished}");
        };
        check(2, 1);
        check(3, 1);
        check(1, 4);
        check(4, 5);
        let ticket = state.begin();
        assert_eq!((ticket.sequence, ticket.answered_below), (5, 5));
    }

    #[test]
    fn one_slow_write_does_not_make_the_tablet_forget() {
        let state = TabletState::new(TabletId(0), NodeId(1));
        let slow = state.begin();
        for _ in 1..WINDOW_MAX {
            let ticket = state.begin();
            assert_eq!(ticket.session.id, slow.session.id);
            ticket.session.finish(ticket.sequence);
        }
        let next = state.begin();
        assert_ne!(next.session.id, slow.session.id);
        assert_eq!((next.sequence, next.answered_below), (1, 1));
        slow.session.finish(slow.sequence);
    }

    #[test]
    fn the_next_voter_is_tried_after_a_failure() {
        let voters = [NodeId(7), NodeId(8), NodeId(9)];
        let check = |leader: u64, failed: u64, want: u64| {
            let state = TabletState::new(TabletId(0), NodeId(leader));
            state.leader_failed(NodeId(failed), &voters);
            assert_eq!(state.leader(), NodeId(want), "{leader} led, {failed} failed");
        };
        check(7, 7, 8);
        check(9, 9, 7);
        // Another leader has become known in the meantime.
        check(8, 7, 8);
        // The leader is no longer a voter.
        check(3, 3, 7);
    }
}
