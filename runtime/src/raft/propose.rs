//! The writing side of one tablet: a bounded queue, and one task that turns whatever has gathered into one log
//! entry. At most two entries are under way, so that the next one gathers while the disks work; that is where the
//! throughput comes from.
//!
//! *Invariant:* every write that was queued is answered exactly once, and only with what certainly holds:
//! `Unknown` whenever the entry may have been appended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dkc_core::ids::NodeId;
use dkc_core::kv::Write;
use dkc_core::tablet::{Batch, Item, Outcome};
use dkc_core::wire::Answer;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader, RaftError};
use tokio::sync::mpsc;

use super::clock::now_ms;
use super::group::{Raft, RingVersionSource};
use super::machine::Machine;
use super::respond::Respond;
use super::types::{Applied, Proposal, Types};

/// Entries of one tablet under way at once: one on the disks, one that follows it closely.
const PROPOSALS_IN_FLIGHT_MAX: usize = 2;
/// Writes in one entry; more would make one reader wait for all of them.
const BATCH_ITEMS_MAX: usize = 4096;
/// Bytes of one entry, unless a single write is larger: a follower's append stays short.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Pause before a proposal is tried again that a fresh leader could not take yet.
const LEASE_PAUSE: Duration = Duration::from_millis(10);
/// How often the leader looks whether something has expired.
const EXPIRY_LOOK: Duration = Duration::from_millis(500);
/// Longest that a proposal without a sender's patience (an idle tick) is tried.
const TICK_PATIENCE: Duration = Duration::from_secs(1);

/// A write that waits for its place in an entry.
pub struct QueuedWrite {
    pub item: Item,
    /// Nobody waits for the answer after this.
    pub until: Instant,
    pub respond: Respond,
}

/// What the proposing task of a tablet works with.
pub struct Proposer {
    pub raft: Raft,
    pub machine: Arc<Machine>,
    pub ring_version: RingVersionSource,
}

type Taken = Vec<(Respond, Instant)>;

impl Proposer {
    /// Runs until the queue's senders are gone.
    pub async fn run(self, mut queue: mpsc::Receiver<QueuedWrite>) {
        let mut in_flight = FuturesUnordered::new();
        let mut look = tokio::time::interval(EXPIRY_LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut held: Option<QueuedWrite> = None;
        loop {
            let has_room = in_flight.len() < PROPOSALS_IN_FLIGHT_MAX;
            tokio::select! {
                biased;
                Some(()) = in_flight.next() => {}
                first = next(&mut queue, &mut held), if has_room => {
                    let Some(first) = first else { break };
                    let (batch, taken) = gather(first, &mut queue, &mut held);
                    if !batch.items.is_empty() {
                        in_flight.push(self.propose(batch, taken));
                    }
                }
                _ = look.tick(), if has_room => {
                    if self.is_something_expired() {
                        in_flight.push(self.propose(Batch { now_ms: now_ms(), items: Vec::new() }, Vec::new()));
                    }
                }
            }
        }
        while in_flight.next().await.is_some() {}
    }

    fn is_something_expired(&self) -> bool {
        self.machine.next_expiry_ms().is_some_and(|at| at <= now_ms()) && self.raft.is_leader()
    }

    /// Brings one entry through and answers everybody in it.
    async fn propose(&self, batch: Batch, taken: Taken) {
        let count = batch.items.len();
        let patience =
            taken.iter().map(|(_, until)| *until).max().unwrap_or_else(|| Instant::now() + TICK_PATIENCE);
        let answers = match self.write(batch, patience).await {
            Ok(outcomes) if outcomes.len() == count => outcomes.into_iter().map(answer).collect(),
            Ok(outcomes) => panic!("a batch of {count} writes was answered with {} outcomes", outcomes.len()),
            Err(answer) => vec![answer; count],
        };
        for ((respond, _), answer) in taken.into_iter().zip(answers) {
            respond.send(answer);
        }
    }

    async fn write(&self, batch: Batch, until: Instant) -> Result<Vec<Outcome>, Answer> {
        let proposal = Proposal(batch.encode());
        loop {
            match self.raft.client_write(proposal.clone()).await {
                Ok(written) => match written.data {
                    Applied::Batch(outcomes) => return Ok(outcomes),
                    other => panic!("a batch came to {other:?}"),
                },
                Err(error) => match not_written(&error) {
                    None => return Err(Answer::Unknown),
                    Some(forward)
                        if forward.reason == ForwardReason::LeaseExpired && Instant::now() < until =>
                    {
                        tokio::time::sleep(LEASE_PAUSE).await;
                    }
                    Some(forward) => return Err(self.not_leader(forward)),
                },
            }
        }
    }

    fn not_leader(&self, forward: &ForwardToLeader<Types>) -> Answer {
        Answer::NotLeader { leader: forward.leader_id.map(NodeId), ring_version: self.ring_version.get() }
    }
}

/// The reason, when the entry was certainly not appended.
pub fn not_written(error: &RaftError<Types, ClientWriteError<Types>>) -> Option<&ForwardToLeader<Types>> {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => Some(forward),
        _ => None,
    }
}

fn answer(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Reply(reply) => Answer::Reply(reply),
        Outcome::Unknown => Answer::Unknown,
    }
}

async fn next(
    queue: &mut mpsc::Receiver<QueuedWrite>,
    held: &mut Option<QueuedWrite>,
) -> Option<QueuedWrite> {
    match held.take() {
        Some(write) => Some(write),
        None => queue.recv().await,
    }
}

/// Everything that waits, up to the bounds of one entry. What does not fit any more is held for the next one; what
/// nobody waits for any more is not begun.
fn gather(
    first: QueuedWrite,
    queue: &mut mpsc::Receiver<QueuedWrite>,
    held: &mut Option<QueuedWrite>,
) -> (Batch, Taken) {
    let now = Instant::now();
    let mut batch = Batch { now_ms: now_ms(), items: Vec::new() };
    let mut taken = Taken::new();
    let mut bytes = 0;
    let mut waiting = Some(first);
    while let Some(write) = waiting.take() {
        if write.until <= now {
            write.respond.send(Answer::Busy);
        } else {
            bytes += size_bytes(&write.item.write);
            if !batch.items.is_empty() && (bytes > BATCH_BYTES_MAX || batch.items.len() >= BATCH_ITEMS_MAX) {
                *held = Some(write);
                break;
            }
            batch.items.push(write.item);
            taken.push((write.respond, write.until));
        }
        waiting = queue.try_recv().ok();
    }
    (batch, taken)
}

/// About how much a write adds to an entry.
fn size_bytes(write: &Write) -> usize {
    let key = write.key().map_or(0, |key| key.bytes.len());
    let value = if let Write::Store { value, .. } = write { value.len() } else { 0 };
    64 + key + value
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dkc_core::kv::{Expiry, Key, StoreMode};

    use super::*;

    fn write(sequence: u64, value_bytes: usize, is_late: bool) -> QueuedWrite {
        let key = Key { namespace: Default::default(), bytes: Bytes::from_static(b"k") };
        let value = Bytes::from(vec![0; value_bytes]);
        let write = Write::Store { key, mode: StoreMode::Set, flags: 0, expiry: Expiry::Never, value };
        let until = if is_late { Instant::now() } else { Instant::now() + Duration::from_secs(60) };
        let item = Item { session: 1, sequence, answered_below: 0, is_retry: false, write };
        QueuedWrite { item, until, respond: Respond::nobody() }
    }

    fn check(sizes: &[(usize, bool)], want_batches: &[&[u64]]) {
        let (sender, mut queue) = mpsc::channel(100);
        for (sequence, (bytes, is_late)) in sizes.iter().enumerate() {
            assert!(sender.try_send(write(sequence as u64, *bytes, *is_late)).is_ok());
        }
        let mut held = None;
        let mut batches = Vec::new();
        while let Some(first) = held.take().or_else(|| queue.try_recv().ok()) {
            let (batch, _) = gather(first, &mut queue, &mut held);
            batches.push(batch.items.iter().map(|item| item.sequence).collect::<Vec<_>>());
        }
        assert_eq!(batches, want_batches);
    }

    #[test]
    fn what_waits_becomes_one_entry_within_the_bounds_of_bytes() {
        check(&[(10, false), (10, false), (10, false)], &[&[0, 1, 2]]);
        let half = BATCH_BYTES_MAX / 2;
        check(&[(half, false), (half, false), (half, false)], &[&[0], &[1], &[2]]);
        check(&[(BATCH_BYTES_MAX * 2, false), (10, false)], &[&[0], &[1]]);
        check(&[(10, false), (BATCH_BYTES_MAX * 2, false), (10, false)], &[&[0], &[1], &[2]]);
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        check(&[(10, true), (10, false), (10, true)], &[&[1]]);
    }
}
