//! Raft's messages that arrive before this server may take part (`daemon::standing`): they wait, in their order, for about as long
//! as a slow disk would make them wait.

use dkc_core::wire::Frame;

use crate::raft::receive;

/// Messages of one connection, and their bytes; above either, the connection is closed.
const HELD_MAX: usize = 1_024;
const HELD_MAX_BYTES: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub struct Held {
    frames: Vec<Frame>,
    bytes: usize,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What may be handled now: everything, those that waited first; or what is not Raft's.
    pub fn pass(&mut self, batch: Vec<Frame>, takes_part: bool) -> Vec<Frame> {
        if takes_part && self.is_empty() {
            return batch;
        }
        if takes_part {
            self.bytes = 0;
            return std::mem::take(&mut self.frames).into_iter().chain(batch).collect();
        }
        let (held, others): (Vec<Frame>, _) =
            batch.into_iter().partition(|frame| receive::is_raft_message(frame.kind));
        self.bytes += held.iter().map(|frame| frame.body.len()).sum::<usize>();
        self.frames.extend(held);
        others
    }

    pub fn is_full(&self) -> bool {
        self.frames.len() > HELD_MAX || self.bytes > HELD_MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use dkc_core::ids::GroupId;
    use dkc_core::wire::Kind;

    use super::*;

    fn frame(kind: Kind, id: u64) -> Frame {
        Frame { kind, id, group: GroupId::META, body: bytes::Bytes::new() }
    }

    fn ids(frames: Vec<Frame>) -> Vec<u64> {
        frames.into_iter().map(|frame| frame.id).collect()
    }

    #[test]
    fn messages_of_raft_wait_in_their_order_and_nothing_else_does() {
        let mut held = Held::default();
        let batch = vec![frame(Kind::RaftAppend, 1), frame(Kind::PeerControl, 2), frame(Kind::RaftVote, 3)];
        assert_eq!(ids(held.pass(batch, false)), [2]);
        assert_eq!(ids(held.pass(vec![frame(Kind::RaftTransfer, 4)], false)), [0; 0]);
        assert_eq!(ids(held.pass(vec![frame(Kind::RaftAppend, 5)], true)), [1, 3, 4, 5]);
        assert_eq!(ids(held.pass(vec![frame(Kind::RaftAppend, 6)], true)), [6]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut held = Held::default();
        for id in 0..HELD_MAX as u64 {
            held.pass(vec![frame(Kind::RaftAppend, id)], false);
        }
        assert!(!held.is_full());
        held.pass(vec![frame(Kind::RaftAppend, 0)], false);
        assert!(held.is_full());
    }
}
