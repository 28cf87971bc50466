//! The state machine of one tablet: what a batch of writes does to its records, its sessions and its clock.
//!
//! *Invariant (D5):* data, session table, version counter and replicated clock leave here as ONE list of
//! changes; the storage writes them in one atomic batch together with the applied log index.
//! *Invariant (T1):* the clock of a tablet only moves by `Batch::now_ms`, and never backwards; expiry is decided
//! by it alone.
//! *Invariant (X1):* a (session, sequence) that was applied is answered again, never applied again.
//! *Invariant (R1):* the same batches give bit-identical rows on every replica, whenever it was opened.
//!
//! *Invariant (M5):* a write is applied only to a slot of this tablet, and only if it was admitted under an epoch of the
//! ring map that is not older than any before it.
//!
//! A flush costs one row: the namespace remembers the version that was last given out, and records with that
//! version or a smaller one are dead from then on. A flush with a delay waits in the same row for the first batch
//! whose clock has reached it. The dead rows are removed later, some with every empty batch (`removal`).

mod apply;
pub mod batch;
mod head;
mod operations;
mod own_rows;
mod read;
mod recount;
mod removal;
pub mod rows;
mod sessions;
mod split;
mod view;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::ids::Namespace;
use crate::kv::codec::BadBytes;
use crate::kv::{Read, Reply, Write};
use crate::ring::{SlotId, slot_of};
use apply::ApplyContext;
use recount::Recount;
use rows::{KIND_SESSION, KIND_SYSTEM, NamespaceState, RANGE_ROW, RECOUNT_ROW, STATE_ROW, SWEEP_ROW, State};
use sessions::Sessions;

pub use operations::{ANSWER_MAX_BYTES, ELEMENTS_MAX};
pub use own_rows::{OwnRows, is_own, slot_in};
pub use removal::{EXPIRE_PER_BATCH_MAX, SWEEP_PER_BATCH_MAX};
pub use sessions::{KEEP_MIN_MS, REPLIES_PER_SESSION_MAX, SESSIONS_MAX};
pub use split::{Birth, Split};

/// One write of one session, as a log entry holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Chosen at random by a slave (one per slave process and tablet); 0 = no session, applied as often as sent.
    pub session: u64,
    /// Counts from 1 inside the session, in the order of sending.
    pub sequence: u64,
    /// Every sequence below this has been answered to the application; its reply may be forgotten.
    pub answered_below: u64,
    /// The sender cannot know whether an earlier sending of the same sequence was applied.
    pub is_retry: bool,
    /// What is done, once for each sequence of a session.
    pub write: Write,
}

/// A log entry: many writes, one time. `now_ms` is the proposing leader's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Milliseconds since the Unix epoch. Earlier than the replicated clock: the clock stays.
    pub now_ms: u64,
    /// The epoch of the tablet in the ring map by which these writes were admitted.
    pub epoch: u32,
    /// Applied in this order. None: the batch moves the clock and removes expired rows.
    pub items: Vec<Item>,
}

/// The outcome of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied, now or before, with this result.
    Reply(Reply),
    /// Whether it was applied before cannot be said any more, and it was not applied now: a retry whose session
    /// has been forgotten, a sequence below `answered_below`, or a new session where there is no room for one.
    Unknown,
    /// Not applied, because the key's slot or the epoch is not this tablet's (M5): the sender's ring map is too old.
    NotHere,
}

/// The rows of a tablet as they were before the batch. Implemented by the storage and by test maps.
pub trait Rows {
    /// A row that cannot be read, or does not hold what this release writes. The daemon ends on it.
    type Error: From<BadBytes>;
    /// The value of a row; `None` if there is none.
    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, Self::Error>;
    /// Rows from `from` on, in order, until `visit` answers false.
    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Self::Error>;
}

/// Rows to write; `None` removes. In order, no row twice.
pub type Changes = BTreeMap<Vec<u8>, Option<Bytes>>;

/// The part of a tablet's state that is kept in memory beside the rows: clock, version counter, sessions, counts.
/// Rebuilt from the rows by `open`, changed only by `apply`. After an error of `apply` it must be opened again.
#[derive(Debug)]
pub struct Tablet {
    value_max_bytes: usize,
    slots: RangeInclusive<SlotId>,
    /// What concerns the whole tablet has to be admitted under this epoch or a later one.
    since_epoch: u32,
    /// Since a split there may be rows of siblings among the rows.
    is_split: bool,
    state: State,
    namespaces: BTreeMap<Namespace, NamespaceState>,
    sessions: Sessions,
    /// Where the search for dead rows goes on; `None` = there are none.
    sweep_from: Option<Vec<u8>>,
    /// The counts of records are estimates until it has ended.
    recount: Option<Recount>,
    /// No expiry row is earlier than this. It may be too early: the next empty batch sets it right.
    expiry_not_before_ms: Option<u64>,
    /// There are elements without a head. It may be said too long: the next empty batch sets it right.
    has_garbage: bool,
}

impl Tablet {
    /// Reads clock, version counter, counts and sessions from the rows. `value_max_bytes` must be the same on all
    /// replicas, or they would differ in what they refuse; so must `slots`, the range that the tablet was founded with: a split
    /// leaves a row with another one.
    pub fn open<R: Rows>(
        rows: &R,
        value_max_bytes: usize,
        slots: RangeInclusive<SlotId>,
    ) -> Result<Tablet, R::Error> {
        let mut tablet = Tablet {
            value_max_bytes,
            slots,
            since_epoch: 0,
            is_split: false,
            state: State::default(),
            namespaces: BTreeMap::new(),
            sessions: Sessions::default(),
            sweep_from: None,
            recount: None,
            expiry_not_before_ms: None,
            has_garbage: false,
        };
        rows::try_scan(rows, &[KIND_SYSTEM], |row, value| match row.first() {
            Some(&KIND_SYSTEM) => tablet.load_system(row, &Bytes::copy_from_slice(value)).map(|()| true),
            Some(&KIND_SESSION) => tablet.sessions.load(row, &Bytes::copy_from_slice(value)).map(|()| true),
            _ => Ok(false),
        })?;
        let own = tablet.own(rows);
        tablet.expiry_not_before_ms = removal::first_expiry_ms(&own)?;
        tablet.has_garbage = removal::has_garbage(&own)?;
        Ok(tablet)
    }

    fn own<'r, R: Rows>(&self, rows: &'r R) -> OwnRows<'r, R> {
        OwnRows::new(rows, self.slots_among_siblings())
    }

    /// One number over all rows of the tablet: replicas at the same index have the same (R1).
    pub fn state_hash<R: Rows>(&self, rows: &R) -> Result<u64, R::Error> {
        rows::state_hash(&self.own(rows))
    }

    fn load_system(&mut self, row: &[u8], value: &Bytes) -> Result<(), BadBytes> {
        if row == STATE_ROW {
            self.state = State::decode(value)?;
        } else if row == RANGE_ROW {
            let split::Range { slots, since_epoch } = split::Range::decode(value)?;
            (self.slots, self.since_epoch, self.is_split) = (slots, since_epoch, true);
        } else if row == RECOUNT_ROW {
            self.recount = Some(Recount::decode(value)?);
        } else if row == SWEEP_ROW {
            self.sweep_from = Some(rows::decode_sweep(value)?);
        } else if let Some(namespace) = NamespaceState::namespace_of(row) {
            self.namespaces.insert(namespace?, NamespaceState::decode(value)?);
        } else {
            return Err(BadBytes { what: "system row", at: 1, rule: "unknown" });
        }
        Ok(())
    }

    /// Carries out a batch: outcomes in the order of the items, and the rows to write. An empty batch moves the
    /// clock and removes a bounded number of expired and flushed rows.
    pub fn apply<R: Rows>(&mut self, rows: &R, batch: &Batch) -> Result<(Vec<Outcome>, Changes), R::Error> {
        let before = self.state;
        let (outcomes, changes) = self.carry_out(rows, batch)?;
        debug_assert_eq!(outcomes.len(), batch.items.len(), "an outcome for each item");
        let is_monotone = before.clock_ms <= self.state.clock_ms
            && before.version <= self.state.version
            && before.epoch <= self.state.epoch;
        debug_assert!(is_monotone, "T1: {before:?} became {:?}", self.state);
        debug_assert!(
            changes.keys().all(|row| is_own(row, &self.slots)),
            "M5: a row of another tablet than {:?}",
            self.slots
        );
        Ok((outcomes, changes))
    }

    fn carry_out<R: Rows>(&mut self, rows: &R, batch: &Batch) -> Result<(Vec<Outcome>, Changes), R::Error> {
        let own = self.own(rows);
        let mut context = ApplyContext { tablet: self, rows: &own, changes: Changes::new() };
        context.move_clock(batch.now_ms);
        context.begin_due_flushes();
        if batch.items.is_empty() {
            recount::go_on(&mut context)?;
            removal::remove_expired(&mut context)?;
            removal::sweep(&mut context)?;
            removal::remove_garbage(&mut context)?;
        }
        if !batch.items.is_empty() && !context.is_of_this_epoch(batch.epoch) {
            context.write_state();
            return Ok((vec![Outcome::NotHere; batch.items.len()], context.changes));
        }
        let mut outcomes = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            outcomes.push(context.item(item)?);
        }
        context.write_state();
        Ok((outcomes, context.changes))
    }

    /// Answers a read from the rows by the replicated clock. The caller has made sure that it may, and by which epoch of the
    /// ring map it was sent here. `None`: not here (M5).
    pub fn read<R: Rows>(&self, rows: &R, read: &Read, epoch: u32) -> Result<Option<Reply>, R::Error> {
        let is_here = match read.key() {
            Some(key) => self.slots.contains(&slot_of(&key.namespace, &key.bytes)),
            None => epoch >= self.since_epoch,
        };
        is_here.then(|| read::read(self, &self.own(rows), read)).transpose()
    }

    /// The earliest time at which there may be something to remove: when the leader's clock has passed it, the
    /// leader proposes an empty batch, which moves the clock and removes. Cheap, and in the past while more is left
    /// to remove than one batch may.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        let is_more = self.sweep_from.is_some() || self.has_garbage || self.recount.is_some();
        let sweep = is_more.then_some(self.state.clock_ms);
        let flush = self.namespaces.values().map(|n| n.flush_at_ms).filter(|&at| at != 0).min();
        [sweep, flush, self.expiry_not_before_ms].into_iter().flatten().min()
    }

    /// Those that have or had records, in their order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.keys()
    }

    /// Records and bytes of all namespaces.
    pub fn counted(&self) -> (u64, u64) {
        self.namespaces.values().fold((0, 0), |(records, bytes), n| (records + n.records, bytes + n.bytes))
    }

    /// About how many bytes the rows of the records have.
    pub fn size_bytes(&self) -> u64 {
        self.namespaces.values().map(|n| n.bytes + n.records * rows::ROW_OVERHEAD_BYTES).sum()
    }

    /// The replicated clock.
    pub fn clock_ms(&self) -> u64 {
        self.state.clock_ms
    }

    /// Whether a record with this version and expiry exists, by the replicated clock and the flushes.
    fn is_live(&self, namespace: &NamespaceState, version: u64, expires_at_ms: Option<u64>) -> bool {
        version > namespace.flushed_version && expires_at_ms.is_none_or(|at| at > self.state.clock_ms)
    }
}

#[cfg(test)]
mod tests;
