//! A cache of one tablet's rows in the engine, for reads and for the previous value of a write. It evicts by generations: rows not
//! used while the younger generation filled up are evicted with the older one, so no order of use is kept.
//!
//! *Invariant:* a hit equals what the engine would answer. A look-up inserts its result only if nothing was committed since it began.
//! A commit removes its rows: the overlay answers for them until the engine has them.

use std::collections::HashMap;

use bytes::Bytes;
use dkc_core::mutant::{self, Mutant};
use dkc_core::tablet::Changes;

/// Larger rows are not cached: copying one costs more than finding it.
const ROW_BYTES_MAX: usize = 4096;
/// What a row takes beside its bytes: its place in the table and the heads of two allocations.
const ROW_OVERHEAD_BYTES: usize = 128;

type Generation = HashMap<Box<[u8]>, Option<Bytes>>;

#[derive(Debug)]
pub(super) struct RowCache {
    young: Generation,
    old: Generation,
    young_bytes: usize,
    generation_bytes_max: usize,
    /// Counts the changes that make a concurrent look-up's result stale.
    changes: u64,
}

impl RowCache {
    pub fn new(bytes_max: u64) -> RowCache {
        RowCache {
            young: Generation::new(),
            old: Generation::new(),
            young_bytes: 0,
            generation_bytes_max: (bytes_max / 2) as usize,
            changes: 0,
        }
    }

    /// `Some(None)`: the row is known not to exist.
    pub fn get(&mut self, row: &[u8]) -> Option<Option<Bytes>> {
        if let Some(value) = self.young.get(row) {
            return Some(value.clone());
        }
        let (row, value) = self.old.remove_entry(row)?;
        self.put(row, value.clone());
        Some(value)
    }

    /// Ask for this before a look-up and give it to `looked_up`.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What the engine has said about a row that was not here.
    pub fn looked_up(&mut self, changes: u64, row: &[u8], value: &Option<Bytes>) {
        if changes == self.changes && size_bytes(row, value) <= ROW_BYTES_MAX {
            self.put(row.into(), value.clone());
        }
    }

    /// These rows change.
    pub fn committed(&mut self, changes: &Changes) {
        self.changes += 1;
        if mutant::is_active(Mutant::CachedRowOutlivesCommit) || self.is_empty() {
            return;
        }
        for row in changes.keys() {
            self.remove(row);
        }
    }

    /// For a replaced state.
    pub fn clear(&mut self) {
        *self = RowCache { changes: self.changes + 1, ..RowCache::new(2 * self.generation_bytes_max as u64) };
    }

    fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    fn remove(&mut self, row: &[u8]) {
        if let Some(value) = self.young.remove(row) {
            self.young_bytes -= memory_bytes(row, &value);
        } else {
            self.old.remove(row);
        }
    }

    fn put(&mut self, row: Box<[u8]>, value: Option<Bytes>) {
        let bytes = memory_bytes(&row, &value);
        if self.young_bytes + bytes > self.generation_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(row, value);
    }
}

fn size_bytes(row: &[u8], value: &Option<Bytes>) -> usize {
    row.len() + value.as_ref().map_or(0, Bytes::len)
}

fn memory_bytes(row: &[u8], value: &Option<Bytes>) -> usize {
    size_bytes(row, value) + ROW_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn look_up(cache: &mut RowCache, row: &str, found: Option<Bytes>) {
        let changes = cache.changes();
        cache.looked_up(changes, row.as_bytes(), &found);
    }

    fn check(cache: &mut RowCache, row: &str, want: Option<Option<Bytes>>) {
        assert_eq!(cache.get(row.as_bytes()), want, "row {row}");
    }

    fn changes(row: &str, value: Option<Bytes>) -> Changes {
        Changes::from([(row.as_bytes().to_vec(), value)])
    }

    #[test]
    fn a_commit_takes_out_what_was_looked_up_and_puts_in_nothing() {
        let mut cache = RowCache::new(1 << 20);
        check(&mut cache, "a", None);
        look_up(&mut cache, "a", value("1"));
        look_up(&mut cache, "b", None);
        check(&mut cache, "a", Some(value("1")));
        check(&mut cache, "b", Some(None));
        cache.committed(&changes("a", None));
        cache.committed(&changes("c", value("3")));
        check(&mut cache, "a", None);
        check(&mut cache, "b", Some(None));
        check(&mut cache, "c", None);
        cache.clear();
        check(&mut cache, "b", None);
    }

    #[test]
    fn a_look_up_that_a_commit_overtook_is_not_put_in() {
        let mut cache = RowCache::new(1 << 20);
        let before = cache.changes();
        cache.committed(&changes("a", value("new")));
        cache.looked_up(before, b"a", &value("old"));
        check(&mut cache, "a", None);
        let before = cache.changes();
        cache.clear();
        cache.looked_up(before, b"a", &value("old"));
        check(&mut cache, "a", None);
    }

    #[test]
    fn what_is_not_used_goes_and_what_is_used_stays_within_the_bound() {
        let row_bytes = 2 + 1 + ROW_OVERHEAD_BYTES;
        let mut cache = RowCache::new(2 * 4 * row_bytes as u64);
        for number in 10..30 {
            look_up(&mut cache, &number.to_string(), value("x"));
            check(&mut cache, "10", Some(value("x")));
            assert!(cache.young.len() <= 4 && cache.old.len() <= 4);
        }
        check(&mut cache, "11", None);
        check(&mut cache, "29", Some(value("x")));
        // A commit reaches a row of the older generation too, and what is taken out leaves room.
        let old = cache.old.keys().next().unwrap().clone();
        let old = std::str::from_utf8(&old).unwrap().to_owned();
        cache.committed(&changes(&old, value("y")));
        check(&mut cache, &old, None);
        let all: Changes = (10..30).map(|number| (number.to_string().into_bytes(), None)).collect();
        cache.committed(&all);
        assert!(cache.is_empty() && cache.young_bytes == 0);
    }

    #[test]
    fn a_large_row_is_not_kept() {
        let mut cache = RowCache::new(1 << 20);
        let large = value(&"x".repeat(ROW_BYTES_MAX));
        look_up(&mut cache, "a", large.clone());
        check(&mut cache, "a", None);
        look_up(&mut cache, "a", value("1"));
        check(&mut cache, "a", Some(value("1")));
    }
}
