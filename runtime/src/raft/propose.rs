//! The writing side of one tablet: a bounded queue, and one task that turns the writes it finds there into one log
//! entry. The next one accumulates while the disks sync (see `pace`); that is where the throughput comes from.
//!
//! *Invariant:* every queued write is answered exactly once, and with a definite result only if that is certain:
//! `Unknown` whenever the entry may have been appended.

use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::NodeId;
use dkc_core::kv::Write;
use dkc_core::tablet::{Batch, Item, Outcome};
use dkc_core::wire::Answer;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader, RaftError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::hibernate::Hibernation;
use super::hold::Hold;
use super::limits::{BATCH_BYTES_MAX, ITEM_REST_MAX_BYTES};
use super::machine::{Machine, Raft};
use super::pace::Pace;

use super::respond::{Respond, bounded};
use super::ring_version::RingVersionSource;
use super::types::{Applied, Proposal, Types};
use crate::clock::now_ms;
use crate::histogram::Histogram;

/// Writes per entry; with more a reader would wait for all of them.
const BATCH_ITEMS_MAX: usize = 4096;
/// Pause before a proposal is retried that a new leader could not accept yet.
const LEASE_PAUSE: Duration = Duration::from_millis(10);
/// Interval at which the leader checks for expired records.
const EXPIRY_LOOK: Duration = Duration::from_millis(500);
/// Timeout of a proposal without a sender's own (an idle tick).
const TICK_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a meta command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotProposed {
    NotLeader(Option<NodeId>),
    /// It may be applied, now or later. Every meta command can be retried.
    Unknown,
}

/// A queued write.
pub struct QueuedWrite {
    pub item: Item,
    /// The tablet's epoch in the ring map under which the write was admitted.
    pub epoch: u32,
    /// The caller's deadline.
    pub until: Instant,
    /// Of a record larger than `REPLY_BOUNDED_MAX_BYTES` only the size is returned.
    pub reply_is_bounded: bool,
    pub respond: Respond,
}

/// The state of a tablet's proposing task.
pub struct Proposer {
    pub raft: Raft,
    pub machine: Arc<Machine>,
    pub ring_version: RingVersionSource,
    pub hibernation: Arc<Hibernation>,
    pub hold: Arc<Hold>,
    pub latency: Arc<Histogram>,
}

type Taken = Vec<Waiting>;

/// Who waits for a write of an entry.
struct Waiting {
    respond: Respond,
    until: Instant,
    reply_is_bounded: bool,
}

impl Proposer {
    /// Runs until the queue's senders are dropped.
    pub async fn run(self, mut queue: mpsc::Receiver<QueuedWrite>) {
        let mut in_flight = FuturesUnordered::new();
        let mut look = tokio::time::interval(EXPIRY_LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut waiting: Vec<QueuedWrite> = Vec::new();
        let mut pace = Pace::new(Instant::now());
        let mut holds = self.hold.changes();
        loop {
            let held_until = self.hold.held_until();
            if held_until.is_some() && in_flight.is_empty() {
                self.hold.say_drained();
            }
            while held_until.is_none() && pace.may_begin(waiting.len(), Instant::now()) {
                let (batch, taken) = next_batch(&mut waiting);
                if !batch.items.is_empty() {
                    pace.began();
                    in_flight.push(self.propose(batch, taken));
                }
            }
            let look_again_at = held_until.or_else(|| pace.look_again_at(waiting.len()));
            tokio::select! {
                biased;
                Some(answered) = in_flight.next() => pace.ended(answered, waiting.len(), Instant::now()),
                count = queue.recv_many(&mut waiting, BATCH_ITEMS_MAX), if waiting.len() < BATCH_ITEMS_MAX => {
                    if count == 0 { break }
                }
                () = until(look_again_at), if look_again_at.is_some() => {}
                Ok(()) = holds.changed() => {}
                _ = look.tick(), if held_until.is_none() && pace.has_room() => {
                    if self.is_something_expired() {
                        pace.began();
                        in_flight.push(self.propose(Batch { now_ms: now_ms(), ..Batch::default() }, Vec::new()));
                    }
                }
            }
        }
        while in_flight.next().await.is_some() {}
    }

    fn is_something_expired(&self) -> bool {
        self.machine.next_expiry_ms().is_some_and(|at| at <= now_ms()) && self.raft.is_leader()
    }

    /// Proposes one entry and replies to every write in it. Returns their number.
    async fn propose(&self, batch: Batch, taken: Taken) -> usize {
        self.hibernation.touch();
        let (began, count) = (Instant::now(), batch.items.len());
        let deadline =
            taken.iter().map(|waiting| waiting.until).max().unwrap_or_else(|| Instant::now() + TICK_TIMEOUT);
        let answers = match propose(&self.raft, Proposal(batch.encode()), deadline).await {
            Ok(Applied::Batch(outcomes)) if outcomes.len() == count => {
                self.latency.record(began.elapsed(), count as u64);
                outcomes.into_iter().map(|outcome| self.answer(outcome)).collect()
            }
            Ok(other) => panic!("unexpected outcome of a batch of {count} writes: {other:?}"),
            Err(NotProposed::Unknown) => vec![Answer::Unknown; count],
            Err(NotProposed::NotLeader(leader)) => {
                vec![Answer::NotLeader { leader, ring_version: self.ring_version.get() }; count]
            }
        };
        for (waiting, answer) in taken.into_iter().zip(answers) {
            waiting.respond.send(bounded(answer, waiting.reply_is_bounded));
        }
        count
    }

    fn answer(&self, outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Reply(reply) => Answer::Reply(reply),
            Outcome::Unknown => Answer::Unknown,
            Outcome::NotHere => Answer::NotHere { ring_version: self.ring_version.get() },
        }
    }
}

/// Proposes to the group that this node leads. While a new leader cannot accept it yet, it is retried
/// until `until`.
pub async fn propose(raft: &Raft, proposal: Proposal, until: Instant) -> Result<Applied, NotProposed> {
    loop {
        match raft.client_write(proposal.clone()).await {
            Ok(written) => return Ok(written.data),
            Err(error) => match not_written(&error) {
                None => return Err(NotProposed::Unknown),
                Some(forward) if forward.reason == ForwardReason::LeaseExpired && Instant::now() < until => {
                    tokio::time::sleep(LEASE_PAUSE).await;
                }
                Some(forward) => return Err(NotProposed::NotLeader(forward.leader_id.map(NodeId))),
            },
        }
    }
}

/// The reason, if the entry was certainly not appended.
fn not_written(error: &RaftError<Types, ClientWriteError<Types>>) -> Option<&ForwardToLeader<Types>> {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => Some(forward),
        _ => None,
    }
}

/// All queued writes admitted under the same epoch, up to the bounds of one entry. The others
/// stay queued; expired requests are dropped.
fn next_batch(waiting: &mut Vec<QueuedWrite>) -> (Batch, Taken) {
    let now = Instant::now();
    let count = fitting(waiting);
    let mut batch = Batch { now_ms: now_ms(), epoch: waiting[0].epoch, items: Vec::with_capacity(count) };
    let mut taken = Taken::with_capacity(count);
    for write in waiting.drain(..count) {
        if write.until <= now {
            write.respond.send(Answer::Busy);
        } else {
            let QueuedWrite { item, until, reply_is_bounded, respond, .. } = write;
            batch.items.push(item);
            taken.push(Waiting { respond, until, reply_is_bounded });
        }
    }
    (batch, taken)
}

/// The number of writes that fit into one entry, at least one.
fn fitting(waiting: &[QueuedWrite]) -> usize {
    let (mut count, mut bytes) = (0, 0);
    for write in waiting.iter().take(BATCH_ITEMS_MAX) {
        bytes += size_bytes(&write.item.write);
        if count > 0 && (bytes > BATCH_BYTES_MAX || write.epoch != waiting[0].epoch) {
            break;
        }
        count += 1;
    }
    count
}

async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

/// Upper bound of the bytes that a write adds to an entry.
fn size_bytes(write: &Write) -> usize {
    ITEM_REST_MAX_BYTES + write.payload_bytes()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dkc_core::ids::NAME_MAX_BYTES;
    use dkc_core::kv::{
        Adjustment, Command, Delta, Expiry, Initial, KEY_MAX_BYTES, Key, StoreMode, VALUE_MAX_BYTES_LIMIT,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::raft::limits::ENTRY_MAX_BYTES;

    fn write(sequence: u64, value_bytes: usize, is_late: bool) -> QueuedWrite {
        let key = Key { namespace: Default::default(), bytes: Bytes::from_static(b"k") };
        let value = Bytes::from(vec![0; value_bytes]);
        let write = Write::Store { key, mode: StoreMode::Set, flags: 0, expiry: Expiry::Never, value };
        let until = if is_late { Instant::now() } else { Instant::now() + Duration::from_secs(60) };
        let item = Item { session: 1, sequence, answered_below: 0, is_retry: false, write };
        QueuedWrite { item, epoch: 1, until, reply_is_bounded: false, respond: Respond::nobody() }
    }

    fn check(sizes: &[(usize, bool)], want_batches: &[&[u64]]) {
        let sizes = sizes.iter().enumerate();
        let mut waiting: Vec<QueuedWrite> =
            sizes.map(|(sequence, (bytes, is_late))| write(sequence as u64, *bytes, *is_late)).collect();
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            let (batch, _) = next_batch(&mut waiting);
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

    fn write_of(kind: usize, key_bytes: usize, value: Bytes) -> Write {
        let key = Key {
            namespace: "n".repeat(NAME_MAX_BYTES).parse().unwrap(),
            bytes: vec![b'k'; key_bytes].into(),
        };
        let (expiry, version) = (Expiry::At(u64::MAX), Some(u64::MAX));
        let initial = Some(Initial { value: value.clone(), expiry });
        let delta = Delta::Unsigned { by: u64::MAX, is_decrement: true };
        let adjustment = Box::new(Adjustment { delta, initial, version, expiry: Some(expiry) });
        match kind {
            0 => Write::Store { key, mode: StoreMode::PrependIf(u64::MAX), flags: u32::MAX, expiry, value },
            1 => Write::Adjust { key, adjustment },
            2 => Write::Delete { key, version },
            _ => Write::GetAndTouch { key, expiry },
        }
    }

    fn near(limit: usize) -> impl Strategy<Value = usize> {
        prop_oneof![limit - 2..=limit + 2, Just(0), Just(limit / 2)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// What the limits let in makes an entry that fits into an append, next to whatever else is read with it; sizes on
        /// both sides of every limit.
        #[test]
        fn what_is_let_in_can_be_sent(
            kind in 0..4_usize,
            key_bytes in near(KEY_MAX_BYTES),
            (limit, value_bytes) in prop_oneof![Just(1024_usize), Just(1024 * 1024), Just(VALUE_MAX_BYTES_LIMIT)]
                .prop_flat_map(|limit| (Just(limit), near(limit))),
        ) {
            let write = write_of(kind, key_bytes, vec![0; value_bytes].into());
            let carried = if kind < 2 { value_bytes } else { 0 };
            let is_within = key_bytes <= KEY_MAX_BYTES && carried <= limit;
            prop_assert_eq!(write.check_limits(limit).is_ok(), is_within);
            prop_assert_eq!(Command::Write(write.clone()).check_limits(limit).is_ok(), is_within);
            let bound = size_bytes(&write);
            let item = Item { session: 1, sequence: u64::MAX, answered_below: 0, is_retry: true, write };
            let one = Batch { now_ms: 1, epoch: 1, items: vec![item.clone()] }.encode().len();
            let two = Batch { now_ms: 1, epoch: 1, items: vec![item.clone(), item] }.encode().len();
            prop_assert!(two - one <= bound, "{} bytes, thought to be at most {bound}", two - one);
            prop_assert!(!is_within || one <= ENTRY_MAX_BYTES);
        }
    }

    #[test]
    fn values_of_every_kind_of_write_count_for_an_entry() {
        let value = Bytes::from(vec![b'1'; BATCH_BYTES_MAX / 2]);
        let mut waiting: Vec<QueuedWrite> = (0..3).map(|sequence| write(sequence, 0, false)).collect();
        waiting.iter_mut().for_each(|queued| queued.item.write = write_of(1, 1, value.clone()));
        assert_eq!(fitting(&waiting), 1);
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        check(&[(10, true), (10, false), (10, true)], &[&[1]]);
    }
}
