//! Incarnations: the number that prefixes every row and names the state of the replica that it belongs to. A new number is allocated
//! for a created replica and for an incoming snapshot, durably before the first row is written under it, and never reused.
//!
//! *Invariant:* an incarnation is released only when the catalog durably no longer names it and no store, snapshot or ingestion
//! holds it. Compaction removes rows of released incarnations, so garbage is decided here alone.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dkc_core::mutant::{self, Mutant};

pub const PREFIX_BYTES: usize = 8;

/// The incarnations in use.
#[derive(Default)]
pub struct Incarnations {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    kept: BTreeSet<u64>,
    /// Released, their space not yet freed: the first and the last of each range.
    ended: Vec<(u64, u64)>,
}

impl Incarnations {
    /// Keeps the rows of `number` from now on.
    pub fn keep(self: &Arc<Self>, number: u64) -> Arc<Incarnation> {
        if !mutant::is_active(Mutant::LiveIncarnationsEnded) {
            self.inner.lock().kept.insert(number);
        }
        Arc::new(Incarnation { number, is_forgotten: AtomicBool::new(false), all: self.clone() })
    }

    /// Whether a compaction must keep a row.
    pub fn is_kept(&self, key: &[u8]) -> bool {
        number_of(key).is_none_or(|number| self.inner.lock().kept.contains(&number))
    }

    /// Those released since the last call: the first and the last of each range.
    pub fn take_ended(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.inner.lock().ended)
    }

    /// Releases all up to `last` that are not in use: left over from earlier processes.
    pub fn end_gaps(&self, last: u64) {
        let mut inner = self.inner.lock();
        let (mut gaps, mut from) = (Vec::new(), 0);
        for &kept in inner.kept.range(..=last) {
            gaps.extend((from < kept).then(|| (from, kept - 1)));
            from = kept + 1;
        }
        gaps.extend((from <= last).then_some((from, last)));
        inner.ended.extend(gaps);
    }
}

/// One state of one replica.
pub struct Incarnation {
    number: u64,
    is_forgotten: AtomicBool,
    all: Arc<Incarnations>,
}

impl Incarnation {
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The key of a row.
    pub fn key(&self, row: &[u8]) -> Vec<u8> {
        [&prefix(self.number)[..], row].concat()
    }

    /// Between these two are all rows.
    pub fn range(&self) -> ([u8; PREFIX_BYTES], [u8; PREFIX_BYTES]) {
        (prefix(self.number), prefix(self.number + 1))
    }

    /// Call this once the catalog does not name it any more.
    pub fn forget(&self) {
        self.is_forgotten.store(true, Ordering::Relaxed);
    }
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        // One that only ends with its process is kept: the catalog names it.
        if self.is_forgotten.load(Ordering::Relaxed) {
            let mut inner = self.all.inner.lock();
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
