//! A tablet becomes two, in one log entry of the first. The parent keeps the lower slots. The child begins with the parent's clock,
//! version counter and sessions, so that cas tokens, expiry and retries go on as if nothing had happened; its records are where they were.
//!
//! ```text
//! entry  u8 format 3 | u16 child | u16 first slot | u32 epoch | u8 voters | u64 voter…
//! ```
//!
//! *Invariant (M5):* from the entry on, the parent answers "not here" for the child's slots, and, for what concerns a whole tablet, to
//! everybody whose ring map is from before the split.
//! *Invariant (X1):* a write that the parent applied is answered by the child from its copy of the sessions.

use std::ops::RangeInclusive;

use bytes::{BufMut, Bytes, BytesMut};

use super::recount::Recount;
use super::rows::{
    FORMAT, KIND_DATA, NamespaceState, RANGE_ROW, RECOUNT_ROW, STATE_ROW, SWEEP_ROW, State, check_format,
    encode_sweep,
};
use super::{Changes, Tablet};
use crate::ids::{NodeId, TabletId};
use crate::kv::codec::{BadBytes, Reader};
use crate::mutant::{self, Mutant};
use crate::ring::{REPLICAS_MAX, SlotId};

const FORMAT_SPLIT: u8 = 3;

/// A log entry of the parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The tablet that begins.
    pub child: TabletId,
    /// Of the child, which ends where the parent ended.
    pub first_slot: SlotId,
    /// The parent's epoch in the ring map; both tablets have the next one afterwards.
    pub epoch: u32,
    /// Of the parent and of the child.
    pub voters: Vec<NodeId>,
}

/// The child as it begins, on every replica alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Birth {
    /// The upper ones of the parent's.
    pub slots: RangeInclusive<SlotId>,
    /// Of the tablet itself: those of its slots are there already.
    pub rows: Changes,
}

impl Split {
    /// The bytes of the entry; see the module.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16 + 8 * self.voters.len());
        out.put_u8(FORMAT_SPLIT);
        out.put_u16(self.child.0);
        out.put_u16(self.first_slot.0);
        out.put_u32(self.epoch);
        out.put_u8(self.voters.len() as u8); // REPLICAS_MAX is 7
        self.voters.iter().for_each(|voter| out.put_u64(voter.0));
        out.freeze()
    }

    /// `None`: the entry is of another kind.
    pub fn decode(bytes: &Bytes) -> Option<Result<Split, BadBytes>> {
        (bytes.first() == Some(&FORMAT_SPLIT)).then(|| Split::decode_rest(bytes))
    }

    fn decode_rest(bytes: &Bytes) -> Result<Split, BadBytes> {
        let mut reader = Reader::new(bytes, "split");
        reader.u8()?;
        let (child, first_slot, epoch) = (TabletId(reader.u16()?), SlotId(reader.u16()?), reader.u32()?);
        let count = reader.u8()?;
        if count == 0 || u32::from(count) > REPLICAS_MAX {
            return Err(reader.bad("no voters, or too many"));
        }
        let voters = (0..count).map(|_| reader.u64().map(NodeId)).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Split { child, first_slot, epoch, voters })
    }
}

/// The slots of a tablet that was split or came of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub slots: RangeInclusive<SlotId>,
    /// What concerns the whole tablet has to be admitted under this epoch or a later one.
    pub since_epoch: u32,
}

impl Range {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(9);
        out.put_u8(FORMAT);
        out.put_u16(self.slots.start().0);
        out.put_u16(self.slots.end().0);
        out.put_u32(self.since_epoch);
        out.freeze()
    }

    pub fn decode(bytes: &Bytes) -> Result<Range, BadBytes> {
        let mut reader = Reader::new(bytes, "range row");
        check_format(&mut reader)?;
        let slots = SlotId(reader.u16()?)..=SlotId(reader.u16()?);
        let range = Range { slots, since_epoch: reader.u32()? };
        reader.end()?;
        Ok(range)
    }
}

impl Tablet {
    /// Carries out a split: the rows of the parent to write, and the child. `None` if the tablet has been split there before.
    pub fn split(&mut self, split: &Split) -> Option<(Changes, Birth)> {
        let (first, last) = (*self.slots.start(), *self.slots.end());
        if split.first_slot <= first || split.first_slot > last {
            return None;
        }
        let (lower, upper) = (first..=SlotId(split.first_slot.0 - 1), split.first_slot..=last);
        let since_epoch = split.epoch + 1;
        let birth = Birth { rows: self.rows_of_child(&upper, since_epoch), slots: upper.clone() };
        let mut changes = Changes::new();
        for (namespace, state) in &mut self.namespaces {
            *state = share(state, &lower, &self.slots);
            changes.insert(NamespaceState::row(namespace), Some(state.encode()));
        }
        let recount = Recount { is_changed: false, ..Recount::begin() };
        changes.insert(RECOUNT_ROW.to_vec(), Some(recount.encode()));
        self.recount = Some(recount);
        if !mutant::is_active(Mutant::ParentStillAnswers) {
            self.slots = lower.clone();
        }
        self.since_epoch = since_epoch;
        self.is_split = true;
        self.state.epoch = self.state.epoch.max(split.epoch);
        changes.insert(RANGE_ROW.to_vec(), Some(Range { slots: lower, since_epoch }.encode()));
        changes.insert(STATE_ROW.to_vec(), Some(self.state.encode()));
        Some((changes, birth))
    }

    fn rows_of_child(&self, slots: &RangeInclusive<SlotId>, since_epoch: u32) -> Changes {
        let mut rows = Changes::new();
        let version = if mutant::is_active(Mutant::ChildVersionRestarts) { 0 } else { self.state.version };
        let state = State { epoch: since_epoch, version, ..self.state };
        rows.insert(STATE_ROW.to_vec(), Some(state.encode()));
        rows.insert(RANGE_ROW.to_vec(), Some(Range { slots: slots.clone(), since_epoch }.encode()));
        rows.insert(RECOUNT_ROW.to_vec(), Some(Recount::begin().encode()));
        for (namespace, state) in &self.namespaces {
            rows.insert(NamespaceState::row(namespace), Some(share(state, slots, &self.slots).encode()));
        }
        if self.sweep_from.is_some() {
            rows.insert(SWEEP_ROW.to_vec(), Some(encode_sweep(&[KIND_DATA])));
        }
        if !mutant::is_active(Mutant::ChildWithoutSessions) {
            self.sessions.copy(&mut rows);
        }
        rows
    }

    /// The slots that are answered for here.
    pub fn slots(&self) -> &RangeInclusive<SlotId> {
        &self.slots
    }

    /// The slots of a tablet that may have rows of siblings in its place.
    pub fn slots_among_siblings(&self) -> Option<RangeInclusive<SlotId>> {
        self.is_split.then(|| self.slots.clone())
    }
}

/// The part of the counts that falls on some of the slots, until they are counted anew.
fn share(
    state: &NamespaceState,
    part: &RangeInclusive<SlotId>,
    whole: &RangeInclusive<SlotId>,
) -> NamespaceState {
    let length = |slots: &RangeInclusive<SlotId>| u128::from(slots.end().0 - slots.start().0) + 1;
    let share = |count: u64| (u128::from(count) * length(part) / length(whole)) as u64;
    NamespaceState {
        records: share(state.records),
        bytes: share(state.bytes),
        is_changed: false,
        ..state.clone()
    }
}
