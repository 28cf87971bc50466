//! Linearizable reads of one group. The rows are read FIRST and the leadership is checked AFTERWARDS, once for all
//! reads that came together.
//!
//! Why that is enough: if, after reading, this node still holds the lease (or a fresh round of heartbeats
//! confirms it), no other leader can have acknowledged a write that the read should have seen. And if the newest
//! entry applied at the time of reading was of this very term, then everything earlier leaders acknowledged had been
//! applied, and everything this leader had acknowledged too, because it acknowledges after applying. A process that
//! was paused between reading and answering fails the check; checking only before reading would not notice it.
//!
//! A split is the one entry whose effect others may show before this leader has applied it: see `is_splitting`.

use std::time::Duration;

use dkc_core::config::ReadPolicy;
use dkc_core::ids::NodeId;
use dkc_core::kv::{Read, Reply};
use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::{SlotId, slot_of};
use dkc_core::wire::Answer;
use openraft::errors::{ForwardReason, LinearizableReadError, RaftError};
use openraft::raft::ReadPolicy as Policy;
use openraft::raft::linearizable_read::LinearizerOption;
use tokio::time::Instant;

use super::group::Group;
use super::machine::ReadState;
use super::respond::{Respond, bounded};
use super::types::{LogId, Types};

/// Pause before a check is repeated that a new leader could not pass yet.
pub(super) const AGAIN_PAUSE: Duration = Duration::from_millis(5);

/// Bytes of values in memory for reads that arrived together; further reads wait until these replies have been
/// sent, so that a peer that requests more than its connection carries costs no more memory.
const REPLIES_AT_ONCE_MAX_BYTES: usize = 2 * 1024 * 1024;

/// A read and where its reply goes.
pub struct QueuedRead {
    pub read: Read,
    /// The tablet's epoch in the ring map by which it was sent here.
    pub epoch: u32,
    /// Of a value larger than `REPLY_BOUNDED_MAX_BYTES` only the size is returned.
    pub reply_is_bounded: bool,
    pub until: Instant,
    pub respond: Respond,
}

/// Why a read cannot be answered.
enum NotReadable {
    /// Another node leads, or the leader is unknown.
    NotLeader(Option<NodeId>),
    /// This node leads, or is about to: retry.
    NotYet,
}

impl Group {
    /// Answers reads that arrived together on one connection.
    pub async fn read(&self, mut reads: Vec<QueuedRead>) {
        let mut turn = None;
        while !reads.is_empty() {
            let answers = self.answers(&reads).await;
            let rest = reads.split_off(answers.len());
            for (read, answer) in reads.into_iter().zip(answers) {
                read.respond.send(answer);
            }
            drop(turn.take());
            let Some(next) = rest.first() else { return };
            turn = next.respond.turn_of_bulk().await;
            reads = still_waited_for(rest);
        }
    }

    /// The answers to the first of these reads, at least to one.
    async fn answers(&self, reads: &[QueuedRead]) -> Vec<Answer> {
        let Some(until) = reads.iter().map(|read| read.until).max() else { return Vec::new() };
        loop {
            match self.try_read(reads).await {
                Ok(answers) => return answers,
                Err(NotReadable::NotYet) if Instant::now() < until => tokio::time::sleep(AGAIN_PAUSE).await,
                Err(NotReadable::NotYet) => return vec![self.not_leader(None); reads.len()],
                Err(NotReadable::NotLeader(leader)) => return vec![self.not_leader(leader); reads.len()],
            }
        }
    }

    async fn try_read(&self, reads: &[QueuedRead]) -> Result<Vec<Answer>, NotReadable> {
        self.check_is_leader()?;
        self.hibernation.touch();
        let ReadState { replies, applied, last_slot } =
            self.machine.read(reads.iter().map(|read| (&read.read, read.epoch)), REPLIES_AT_ONCE_MAX_BYTES);
        let leading_term = match mutant::is_active(Mutant::ReadWithoutLease) {
            true => applied.map_or(0, |applied| applied.leader_id.term),
            false => self.check_leadership().await?,
        };
        match applied {
            _ if self.is_splitting(last_slot, reads) => Err(NotReadable::NotYet),
            Some(LogId { leader_id, .. }) if leader_id.term == leading_term => {
                let answer = |(reply, read): (Option<Reply>, &QueuedRead)| match reply {
                    Some(reply) => bounded(Answer::Reply(reply), read.reply_is_bounded),
                    None => Answer::NotHere { ring_version: self.ring_version.get() },
                };
                Ok(replies.into_iter().zip(reads).map(answer).collect())
            }
            // Just elected: the first entry of the term has not been applied.
            _ => Err(NotReadable::NotYet),
        }
    }

    /// Whether a split may be committed that had not been applied here when these were read: the new tablet may have acknowledged
    /// writes already. Only the leader that proposed the split can be in this place; a later one applies it before it reads.
    fn is_splitting(&self, last_slot: SlotId, reads: &[QueuedRead]) -> bool {
        let Some(first_slot) = *self.splitting.lock() else { return false };
        let concerns = |read: &QueuedRead| match read.read.key() {
            Some(key) => slot_of(&key.namespace, &key.bytes) >= first_slot,
            None => true,
        };
        last_slot >= first_slot
            && reads.iter().any(concerns)
            && !mutant::is_active(Mutant::ReadWhileSplitting)
    }

    /// The same for a whole tablet that ends with `last_slot`.
    pub(super) fn awaits_split(&self, last_slot: SlotId) -> bool {
        self.splitting.lock().is_some_and(|first_slot| last_slot >= first_slot)
    }

    /// A cheap check, so that a node that does not lead reads nothing.
    fn check_is_leader(&self) -> Result<(), NotReadable> {
        match self.leader() {
            Some(leader) if leader == self.node => Ok(()),
            other => Err(NotReadable::NotLeader(other)),
        }
    }

    /// The term in which this node certainly leads at this moment.
    async fn check_leadership(&self) -> Result<u64, NotReadable> {
        let option = match self.tuning.read_policy() {
            ReadPolicy::Lease => {
                LinearizerOption::new(Some(self.read_lease), false).with_wait_timeout(Duration::ZERO)
            }
            ReadPolicy::Index => Policy::ReadIndex.into(),
        };
        match self.raft.get_read_linearizer(option).await {
            Ok(linearizer) => Ok(linearizer.read_log_id().committed_leader_id().term),
            Err(error) => Err(not_readable(error)),
        }
    }

    /// The term in which this node certainly leads at this moment; `None` if that is not certain.
    pub(super) async fn term_if_leader(&self) -> Option<u64> {
        self.check_leadership().await.ok()
    }

    pub fn not_leader(&self, leader: Option<NodeId>) -> Answer {
        Answer::NotLeader { leader, ring_version: self.ring_version.get() }
    }
}

/// The callers of the others have timed out and retry.
fn still_waited_for(reads: Vec<QueuedRead>) -> Vec<QueuedRead> {
    let now = Instant::now();
    let (waited_for, late): (Vec<_>, Vec<_>) = reads.into_iter().partition(|read| now < read.until);
    late.into_iter().for_each(|read| read.respond.send(Answer::Busy));
    waited_for
}

fn not_readable(error: RaftError<Types, LinearizableReadError<Types>>) -> NotReadable {
    match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => match forward.reason {
            ForwardReason::LeaseExpired => NotReadable::NotYet,
            _ => NotReadable::NotLeader(forward.leader_id.map(NodeId)),
        },
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => NotReadable::NotYet,
        RaftError::Fatal(_) => NotReadable::NotLeader(None),
    }
}
