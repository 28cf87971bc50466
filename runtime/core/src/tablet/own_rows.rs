//! The rows of a tablet among those of its siblings. A split moves no row: the two tablets go on in the same place, each with the rows of
//! its slots, until compaction or a snapshot parts them. What a replica finds in its place beside its own rows depends on its history,
//! so nothing may depend on it (R1): all of the tablet's scans go through here.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::Rows;
use super::rows::{KIND_DATA, KIND_EXPIRY, KIND_GARBAGE};
use crate::ring::SlotId;

/// Rows by slot follow the expiry rows, which are by time.
const SLOT_AT: usize = 1;
const SLOT_AT_IN_EXPIRY: usize = 1 + 8;

/// The slot that a row belongs to; `None` for rows of the tablet itself (clock, counters, sessions).
pub fn slot_in(row: &[u8]) -> Option<SlotId> {
    let at = match row.first()? {
        &KIND_EXPIRY => SLOT_AT_IN_EXPIRY,
        KIND_DATA..=KIND_GARBAGE => SLOT_AT,
        _ => return None,
    };
    row.get(at..).and_then(<[u8]>::first_chunk::<2>).map(|slot| SlotId(u16::from_be_bytes(*slot)))
}

/// Whether a row belongs to a tablet with these slots.
pub fn is_own(row: &[u8], slots: &RangeInclusive<SlotId>) -> bool {
    slot_in(row).is_none_or(|slot| slots.contains(&slot))
}

/// Rows of a tablet that was split; of one that never was, all rows.
pub struct OwnRows<'r, R: Rows> {
    rows: &'r R,
    slots: Option<RangeInclusive<SlotId>>,
}

impl<'r, R: Rows> OwnRows<'r, R> {
    /// `None`: there are no siblings.
    pub fn new(rows: &'r R, slots: Option<RangeInclusive<SlotId>>) -> Self {
        OwnRows { rows, slots }
    }
}

impl<R: Rows> Rows for OwnRows<'_, R> {
    type Error = R::Error;

    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, R::Error> {
        self.rows.get(row)
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), R::Error> {
        let Some(slots) = &self.slots else { return self.rows.scan(from, visit) };
        let mut next = Some(from.to_vec());
        while let Some(from) = next.take() {
            self.rows.scan(&from, &mut |row, value| {
                if is_own(row, slots) {
                    return visit(row, value);
                }
                next = beyond(row, slots);
                // An expiry row of a sibling: the next own one may follow at once.
                next.is_none() && row.first() == Some(&KIND_EXPIRY)
            })?;
        }
        Ok(())
    }
}

/// Where the next own row may be behind a sibling's, which is by slot.
fn beyond(row: &[u8], slots: &RangeInclusive<SlotId>) -> Option<Vec<u8>> {
    let kind = *row.first()?;
    let slot = slot_in(row).filter(|_| kind != KIND_EXPIRY)?;
    let kind = if slot < *slots.start() { kind } else { kind + 1 };
    (kind <= KIND_GARBAGE).then(|| [&[kind][..], &slots.start().0.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tablet::rows::{KIND_ELEMENT, KIND_SESSION};

    fn by_slot(kind: u8, slot: u16) -> Vec<u8> {
        [&[kind][..], &slot.to_be_bytes(), b"k"].concat()
    }

    fn expiry(at_ms: u64, slot: u16) -> Vec<u8> {
        [&[KIND_EXPIRY][..], &at_ms.to_be_bytes(), &slot.to_be_bytes(), b"k"].concat()
    }

    #[test]
    fn a_scan_passes_over_the_rows_of_siblings_before_between_and_behind() {
        let mut rows = BTreeMap::new();
        rows.insert(vec![KIND_SESSION, 9], Bytes::new());
        for slot in [1, 5, 6, 9] {
            rows.insert(expiry(100 - u64::from(slot), slot), Bytes::new());
            for kind in [KIND_DATA, KIND_ELEMENT, KIND_GARBAGE] {
                rows.insert(by_slot(kind, slot), Bytes::new());
            }
        }
        let check = |slots: Option<RangeInclusive<u16>>, from: &[u8]| {
            let slots = slots.map(|slots| SlotId(*slots.start())..=SlotId(*slots.end()));
            let mut found = Vec::new();
            let own = OwnRows::new(&rows, slots.clone());
            own.scan(from, &mut |row, _| {
                found.push(row.to_vec());
                true
            })
            .unwrap();
            let is_wanted = |row: &&Vec<u8>| slots.as_ref().is_none_or(|slots| is_own(row, slots));
            let want: Vec<Vec<u8>> =
                rows.range(from.to_vec()..).map(|(row, _)| row).filter(is_wanted).cloned().collect();
            assert_eq!(found, want, "{slots:?} from {from:?}");
            found.len()
        };
        assert_eq!(check(None, &[]), 17);
        assert_eq!(check(Some(5..=6), &[]), 9);
        for slots in [0..=0, 0..=4, 0..=5, 5..=8, 6..=6, 7..=8, 7..=9, 9..=16383, 0..=16383] {
            check(Some(slots.clone()), &[]);
            for row in rows.keys() {
                check(Some(slots.clone()), row);
            }
        }
    }
}
