//! The index of one group: `Tail` is the state that callers see immediately; `RecordIndex` has the positions of its records in
//! the segments, as far as the writer has written.
//!
//! *Invariant:* an entry whose payload `Tail` has released has been written, and `RecordIndex` has its position. Nothing
//! unwritten is ever released.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::GroupState;

/// The position of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordPosition {
    pub generation: u64,
    pub offset: u32,
    pub payload_length: u32,
}

#[derive(Debug, Default)]
pub(super) struct Tail {
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    pub purged: Option<(u64, Bytes)>,
    /// The index of `payloads[0]`.
    first: u64,
    payloads: VecDeque<Option<Bytes>>,
    /// Entries below this have released their payload.
    cached_from: u64,
    cached_bytes: usize,
    /// Entries below this have been written.
    written_below: u64,
    /// Counts truncations, so that the writer's reports about entries truncated meanwhile are ignored.
    pub truncations: u64,
}

impl Tail {
    /// After a restart: every entry is on disk and none is in memory.
    pub fn recovered(group_index: &RecordIndex) -> Tail {
        let next = group_index.first + group_index.positions.len() as u64;
        Tail {
            vote: group_index.vote.clone(),
            committed: group_index.committed.clone(),
            purged: group_index.purged.clone(),
            first: group_index.first,
            payloads: VecDeque::from(vec![None; group_index.positions.len()]),
            cached_from: next,
            cached_bytes: 0,
            written_below: next,
            truncations: 0,
        }
    }

    /// Clears it: the group has left.
    pub fn forget(&mut self) {
        *self = Tail { truncations: self.truncations + 1, ..Tail::default() };
    }

    fn next(&self) -> u64 {
        self.first + self.payloads.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty() && self.vote.is_none() && self.purged.is_none() && self.committed.is_none()
    }

    /// The index that the next entry must have; `None` if any will do.
    fn expected(&self) -> Option<u64> {
        match (&self.purged, self.payloads.is_empty()) {
            (_, false) => Some(self.next()),
            (Some((purged, _)), true) => Some(purged + 1),
            (None, true) => None,
        }
    }

    pub fn append(&mut self, entries: &[(u64, Bytes)]) -> Result<(), String> {
        let mut expected = self.expected();
        for (index, _) in entries {
            if expected.is_some_and(|want| want != *index) {
                return Err(format!(
                    "entry {index} does not follow: {} is next",
                    expected.unwrap_or_default()
                ));
            }
            expected = Some(index + 1);
        }
        for (index, payload) in entries {
            if self.payloads.is_empty() {
                (self.first, self.cached_from, self.written_below) = (*index, *index, *index);
            }
            self.cached_bytes += payload.len();
            self.payloads.push_back(Some(payload.clone()));
        }
        self.assert_order();
        Ok(())
    }

    pub fn truncate_from(&mut self, index: u64) {
        self.truncations += 1;
        while !self.payloads.is_empty() && self.next() > index {
            self.cached_bytes -= self.payloads.pop_back().flatten().map_or(0, |p| p.len());
        }
        self.written_below = self.written_below.min(self.next());
        self.cached_from = self.cached_from.min(self.next());
        self.assert_order();
    }

    /// Asserts that nothing unwritten has been released.
    fn assert_order(&self) {
        debug_assert!(
            self.payloads.is_empty()
                || (self.first <= self.cached_from
                    && self.cached_from <= self.written_below
                    && self.written_below <= self.next()),
            "entries {} to {}, in memory from {}, written below {}",
            self.first,
            self.next(),
            self.cached_from,
            self.written_below
        );
    }

    pub fn purge_to(&mut self, index: u64, marker: Bytes) {
        while !self.payloads.is_empty() && self.first <= index {
            self.cached_bytes -= self.payloads.pop_front().flatten().map_or(0, |p| p.len());
            self.first += 1;
        }
        self.cached_from = self.cached_from.max(self.first);
        self.written_below = self.written_below.max(self.first);
        debug_assert!(
            self.purged.as_ref().is_none_or(|(before, _)| *before <= index),
            "purged up to {:?}, now up to {index}",
            self.purged
        );
        self.purged = Some((index, marker));
        self.assert_order();
    }

    /// The writer has written everything up to `index`: releases the oldest payloads above `cache_bytes`.
    pub fn written(&mut self, truncations: u64, index: u64, cache_bytes: usize) {
        if truncations == self.truncations {
            self.written_below = self.written_below.max(index + 1).min(self.next());
        }
        while self.cached_bytes > cache_bytes && self.cached_from < self.written_below {
            let position = (self.cached_from - self.first) as usize;
            self.cached_bytes -= self.payloads[position].take().map_or(0, |p| p.len());
            self.cached_from += 1;
        }
        self.assert_order();
    }

    /// The entries of the range that exist, with their payloads where they are in memory.
    pub fn read(&self, range: Range<u64>) -> Vec<(u64, Option<Bytes>)> {
        let (from, to) = (range.start.max(self.first), range.end.min(self.next()));
        (from..to).map(|index| (index, self.payloads[(index - self.first) as usize].clone())).collect()
    }

    pub fn state(&self) -> GroupState {
        let last = self.next().checked_sub(1).filter(|_| !self.payloads.is_empty());
        GroupState {
            vote: self.vote.clone(),
            committed: self.committed.clone(),
            purged: self.purged.clone(),
            first_index: last.map(|_| self.first),
            last_index: last,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct RecordIndex {
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
    pub purged: Option<(u64, Bytes)>,
    first: u64,
    positions: VecDeque<RecordPosition>,
}

impl RecordIndex {
    pub fn new(first: u64, positions: VecDeque<RecordPosition>) -> RecordIndex {
        RecordIndex { first, positions, ..RecordIndex::default() }
    }

    pub fn first(&self) -> Option<u64> {
        (!self.positions.is_empty()).then_some(self.first)
    }

    pub fn push(&mut self, index: u64, position: RecordPosition) {
        if self.positions.is_empty() {
            self.first = index;
        }
        debug_assert_eq!(
            self.first + self.positions.len() as u64,
            index,
            "records of a group are consecutive"
        );
        self.positions.push_back(position);
    }

    pub fn position(&self, index: u64) -> Option<RecordPosition> {
        index.checked_sub(self.first).and_then(|at| self.positions.get(at as usize)).copied()
    }

    pub fn set_position(&mut self, index: u64, position: RecordPosition) {
        if let Some(slot) = index.checked_sub(self.first).and_then(|at| self.positions.get_mut(at as usize)) {
            *slot = position;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, RecordPosition)> + '_ {
        self.positions.iter().enumerate().map(|(at, position)| (self.first + at as u64, *position))
    }

    /// Removes entries from `index` on; returns their positions.
    pub fn truncate_from(&mut self, index: u64) -> VecDeque<RecordPosition> {
        let keep = (index.saturating_sub(self.first) as usize).min(self.positions.len());
        self.positions.split_off(keep)
    }

    /// Removes entries up to `index`; returns their positions.
    pub fn purge_to(&mut self, index: u64) -> VecDeque<RecordPosition> {
        let gone = (index.saturating_add(1).saturating_sub(self.first) as usize).min(self.positions.len());
        let rest = self.positions.split_off(gone);
        self.first += gone as u64;
        std::mem::replace(&mut self.positions, rest)
    }
}
