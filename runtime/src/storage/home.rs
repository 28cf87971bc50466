//! Where the rows of a group lie: under one incarnation, or, after a split, the rows of its slots under one that it shares with the tablets
//! that it was one with, and its own (clock, counters, sessions, position) under one of its own.

use std::ops::RangeInclusive;
use std::sync::Arc;

use dkc_core::ring::SlotId;
use dkc_core::tablet::rows::{KIND_EXPIRY, KIND_GARBAGE};

use super::engine::{IngestedRow, View, Visit};
use super::incarnation::{Incarnation, Part, prefix};
use super::position::Position;
use super::row::{APPLIED_ROW, MEMBERSHIP_ROW, SYSTEM_KIND, encode_applied};
use super::{StorageError, incarnation};

/// Kinds of rows that belong to slots.
const FIRST_OF_SLOTS: u8 = KIND_EXPIRY;
const BEHIND_SLOTS: u8 = KIND_GARBAGE + 1;

/// While it is held, the rows stay.
#[derive(Clone)]
pub struct Home {
    own: Arc<Incarnation>,
    /// Of the rows of slots; the same unless they are shared.
    slots: Arc<Incarnation>,
}

/// As the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedRows {
    pub incarnation: u64,
    pub slots: RangeInclusive<SlotId>,
}

/// One of the three stretches in which the rows of a group lie, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub incarnation: u64,
    pub from: u8,
    pub to: u8,
}

impl Home {
    pub fn whole(own: Arc<Incarnation>) -> Home {
        Home { slots: own.clone(), own }
    }

    pub fn shared(own: Arc<Incarnation>, slots: Arc<Incarnation>) -> Home {
        Home { own, slots }
    }

    /// Names the home among all that the group ever had.
    pub fn number(&self) -> u64 {
        self.own.number()
    }

    pub fn slots_number(&self) -> u64 {
        self.slots.number()
    }

    /// The slots whose rows are shared with others.
    pub fn shared_rows(&self) -> Option<SharedRows> {
        match self.slots.part() {
            Part::Slots(slots) => Some(SharedRows { incarnation: self.slots.number(), slots: slots.clone() }),
            Part::Whole | Part::Own => None,
        }
    }

    pub fn key(&self, row: &[u8]) -> Vec<u8> {
        match row.first() {
            Some(&(FIRST_OF_SLOTS..BEHIND_SLOTS)) => self.slots.key(row),
            _ => self.own.key(row),
        }
    }

    pub fn forget(&self) {
        self.own.forget();
        self.slots.forget();
    }

    /// The rows of a position. They come behind all others of their incarnation.
    pub fn position_rows(&self, position: &Position) -> Vec<IngestedRow> {
        let Some(applied) = &position.applied else { return Vec::new() };
        let mut rows = vec![(self.key(APPLIED_ROW), Some(encode_applied(position.commits, applied)))];
        let membership = position.membership.clone();
        rows.extend(membership.map(|value| (self.key(MEMBERSHIP_ROW), Some(value))));
        rows
    }

    pub fn stretches(&self) -> [Stretch; 3] {
        let (own, slots) = (self.own.number(), self.slots.number());
        [
            Stretch { incarnation: own, from: 0, to: FIRST_OF_SLOTS },
            Stretch { incarnation: slots, from: FIRST_OF_SLOTS, to: BEHIND_SLOTS },
            Stretch { incarnation: own, from: BEHIND_SLOTS, to: SYSTEM_KIND },
        ]
    }

    /// Rows of the engine from `from` on, in order, without the storage's own.
    pub fn scan(&self, engine: &dyn View, from: &[u8], visit: Visit<'_>) -> Result<(), StorageError> {
        if self.own.number() == self.slots.number() {
            return engine.scan(&self.own.key(from), &self.own.key(&[SYSTEM_KIND]), visit);
        }
        let mut goes_on = true;
        for Stretch { incarnation, from: first, to } in self.stretches() {
            if !goes_on || from.first().is_some_and(|kind| *kind >= to) {
                continue;
            }
            let from = if from.first().is_some_and(|kind| *kind >= first) { from } else { &[first][..] };
            let key = |row: &[u8]| [&prefix(incarnation)[..], row].concat();
            engine.scan(&key(from), &key(&[to]), &mut |key, value| {
                goes_on = visit(key, value);
                goes_on
            })?;
        }
        Ok(())
    }
}

impl Stretch {
    /// Whether the row lies in it, if it is one of the group.
    pub fn holds(&self, row: &[u8]) -> bool {
        row.first().is_some_and(|kind| (self.from..self.to).contains(kind))
    }

    pub fn key(&self, row: &[u8]) -> Vec<u8> {
        [&incarnation::prefix(self.incarnation)[..], row].concat()
    }
}
