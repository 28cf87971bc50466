//! Incarnations: the number that prefixes every row and names the state of the replica that it belongs to. A new number is allocated
//! for a created replica and for an incoming snapshot, durably before the first row is written under it, and never reused.
//!
//! *Invariant:* an incarnation is released only when the catalog durably no longer names it and no store, snapshot or ingestion
//! holds it. Compaction removes rows of released incarnations, and of slots that nobody holds in a shared one, so garbage is decided
//! here alone.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dkc_core::mutant::{self, Mutant};
use dkc_core::ring::SlotId;
use dkc_core::tablet::slot_in;

pub const PREFIX_BYTES: usize = 8;

/// What of an incarnation somebody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// What is no row of a slot.
    Own,
    /// The rows of these slots: tablets that were one before a split share an incarnation.
    Slots(RangeInclusive<SlotId>),
}

impl Part {
    fn holds(&self, row: &[u8]) -> bool {
        match (self, slot_in(row)) {
            (Part::Whole, _) | (Part::Own, None) => true,
            (Part::Slots(slots), Some(slot)) => slots.contains(&slot),
            (Part::Own, Some(_)) | (Part::Slots(_), None) => false,
        }
    }
}

/// The incarnations in use.
#[derive(Default)]
pub struct Incarnations {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By number, what of it is needed: one for each holder.
    kept: BTreeMap<u64, Vec<Part>>,
    /// Released, their space not yet freed: the first and the last of each range.
    ended: Vec<(u64, u64)>,
}

impl Incarnations {
    /// Keeps all rows of `number` from now on.
    pub fn keep(self: &Arc<Self>, number: u64) -> Arc<Incarnation> {
        self.keep_part(number, Part::Whole)
    }

    /// Keeps these rows of `number` from now on.
    pub fn keep_part(self: &Arc<Self>, number: u64, part: Part) -> Arc<Incarnation> {
        if !mutant::is_active(Mutant::LiveIncarnationsEnded) {
            self.inner.lock().kept.entry(number).or_default().push(part.clone());
        }
        Arc::new(Incarnation { number, part, is_forgotten: AtomicBool::new(false), all: self.clone() })
    }

    /// Whether a compaction must keep a row.
    pub fn is_kept(&self, key: &[u8]) -> bool {
        let Some(number) = number_of(key) else { return true };
        let inner = self.inner.lock();
        inner.kept.get(&number).is_some_and(|parts| parts.iter().any(|part| part.holds(&key[PREFIX_BYTES..])))
    }

    /// Whether all rows of an incarnation, or none, must be kept; `None` if each row has to be asked for.
    pub fn keeps_all(&self, number: u64) -> Option<bool> {
        match self.inner.lock().kept.get(&number) {
            None => Some(false),
            Some(parts) => parts.contains(&Part::Whole).then_some(true),
        }
    }

    /// For a mutant: as if nobody held it.
    pub fn let_go_of(&self, held: &Incarnation) {
        if let Some(parts) = self.inner.lock().kept.get_mut(&held.number) {
            parts.retain(|part| *part != held.part);
        }
    }

    /// Those released since the last call: the first and the last of each range.
    pub fn take_ended(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.inner.lock().ended)
    }

    /// Releases all up to `last` that are not in use: left over from earlier processes.
    pub fn end_gaps(&self, last: u64) {
        let mut inner = self.inner.lock();
        let (mut gaps, mut from) = (Vec::new(), 0);
        for (&kept, _) in inner.kept.range(..=last) {
            gaps.extend((from < kept).then(|| (from, kept - 1)));
            from = kept + 1;
        }
        gaps.extend((from <= last).then_some((from, last)));
        inner.ended.extend(gaps);
    }
}

/// One state of one replica, or the part of it that somebody needs.
pub struct Incarnation {
    number: u64,
    part: Part,
    is_forgotten: AtomicBool,
    all: Arc<Incarnations>,
}

impl Incarnation {
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn part(&self) -> &Part {
        &self.part
    }

    /// The key of a row.
    pub fn key(&self, row: &[u8]) -> Vec<u8> {
        [&prefix(self.number)[..], row].concat()
    }

    /// Call this once the catalog does not name it any more.
    pub fn forget(&self) {
        self.is_forgotten.store(true, Ordering::Relaxed);
    }
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        // One that only ends with its process is kept: the catalog names it.
        if !self.is_forgotten.load(Ordering::Relaxed) {
            return;
        }
        let mut inner = self.all.inner.lock();
        let Some(parts) = inner.kept.get_mut(&self.number) else { return };
        if let Some(at) = parts.iter().position(|part| *part == self.part) {
            parts.swap_remove(at);
        }
        if parts.is_empty() {
            inner.kept.remove(&self.number);
            inner.ended.push((self.number, self.number));
        }
    }
}

pub fn prefix(number: u64) -> [u8; PREFIX_BYTES] {
    number.to_be_bytes()
}

pub fn number_of(key: &[u8]) -> Option<u64> {
    key.first_chunk::<PREFIX_BYTES>().map(|prefix| u64::from_be_bytes(*prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_is_kept_until_it_is_forgotten_and_nobody_holds_it() {
        let all = Arc::new(Incarnations::default());
        let (first, second) = (all.keep(1), all.keep(2));
        let key = |number: u64| prefix(number).to_vec();
        drop(first);
        assert!(all.is_kept(&key(1)), "it was not forgotten");
        let snapshot = second.clone();
        second.forget();
        drop(second);
        assert!(all.is_kept(&key(2)), "a snapshot reads it");
        assert_eq!(all.take_ended(), []);
        drop(snapshot);
        assert!(!all.is_kept(&key(2)) && !all.is_kept(&key(3)));
        assert!(all.is_kept(b"short"), "what is not ours is left alone");
        assert_eq!(all.take_ended(), [(2, 2)]);
    }

    #[test]
    fn what_tablets_share_is_kept_slot_by_slot() {
        let all = Arc::new(Incarnations::default());
        let slots = |from, to| Part::Slots(SlotId(from)..=SlotId(to));
        let own = all.keep_part(1, Part::Own);
        let (lower, upper) = (all.keep_part(1, slots(0, 9)), all.keep_part(1, slots(10, 19)));
        let data = |slot: u8| [&prefix(1)[..], &[4, 0, slot]].concat();
        let expiry = |slot: u8| [&prefix(1)[..], &[3, 0, 0, 0, 0, 0, 0, 0, 7, 0, slot]].concat();
        let system = [&prefix(1)[..], b"\x01s"].concat();
        let kept = || {
            [data(9), expiry(9), data(10), expiry(19), data(20), system.clone()].map(|key| all.is_kept(&key))
        };
        assert_eq!(kept(), [true, true, true, true, false, true]);
        assert_eq!((all.keeps_all(1), all.keeps_all(2)), (None, Some(false)));
        upper.forget();
        drop(upper);
        assert_eq!(kept(), [true, true, false, false, false, true]);
        own.forget();
        drop(own);
        assert_eq!(kept(), [true, true, false, false, false, false]);
        assert_eq!(all.take_ended(), []);
        lower.forget();
        drop(lower);
        assert_eq!(all.take_ended(), [(1, 1)]);
    }

    #[test]
    fn all_that_is_not_kept_has_ended() {
        let all = Arc::new(Incarnations::default());
        let check = |last: u64, want: &[(u64, u64)]| {
            all.end_gaps(last);
            assert_eq!(all.take_ended(), want, "up to {last}");
        };
        check(3, &[(0, 3)]);
        for number in [0, 3, 4, 9] {
            drop(all.keep(number));
        }
        check(9, &[(1, 2), (5, 8)]);
        check(6, &[(1, 2), (5, 6)]);
    }
}
