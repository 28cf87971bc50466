//! What lists, hashes, sets and sorted sets have in common: a head that is opened, elements in rows of their own, and a head
//! that is written back. See `tablet::head` for the rows.

use bytes::Bytes;

use super::{ELEMENTS_MAX, Ran, fault};
use crate::kv::{Fault, KEY_MAX_BYTES, Key};
use crate::tablet::Rows;
use crate::tablet::apply::ApplyContext;
use crate::tablet::head::{CollectionKind, Head, LIST_MIDDLE, element_prefix, slot_of_row};
use crate::tablet::view::{KeyRow, View};

/// The mark of the rows that hold elements.
pub const ELEMENT: u8 = b'e';

/// Names and values of elements, and the cursor behind them.
pub type Page = (Vec<(Bytes, Bytes)>, Bytes);

/// A collection that is being worked on.
pub struct Open {
    pub key_row: KeyRow,
    pub head: Head,
    prefix: Vec<u8>,
}

impl Open {
    fn new(key_row: KeyRow, head: Head) -> Open {
        let prefix = element_prefix(slot_of_row(&key_row.row), head.incarnation);
        Open { key_row, head, prefix }
    }

    /// The row with this mark and name.
    pub fn row(&self, mark: u8, name: &[u8]) -> Vec<u8> {
        let mut row = Vec::with_capacity(self.prefix.len() + 1 + name.len());
        row.extend_from_slice(&self.prefix);
        row.push(mark);
        row.extend_from_slice(name);
        row
    }
}

impl<R: Rows> View<'_, R> {
    /// What is there, if it is of this type.
    pub fn open(&self, key: &Key, kind: CollectionKind) -> Ran<Option<Open>, R> {
        let key_row = self.find_row(key)?;
        match (key_row.head(), key_row.live()) {
            (None, None) => Ok(None),
            (Some(head), _) if head.kind == kind => Ok(Some(Open::new(key_row, head))),
            _ => fault(Fault::WrongType),
        }
    }

    pub fn element(&self, open: &Open, name: &[u8]) -> Result<Option<Bytes>, R::Error> {
        self.row(&open.row(ELEMENT, name))
    }

    /// Rows with a mark, in order, from a name on, until `visit` answers false.
    pub fn each(
        &self,
        open: &Open,
        mark: u8,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), R::Error> {
        self.scan(&open.row(mark, &[]), from, visit)
    }

    /// All names and values.
    pub fn elements(&self, open: &Open) -> Ran<Vec<(Bytes, Bytes)>, R> {
        check_count(open.head.elements)?;
        let mut all = Vec::with_capacity(open.head.elements as usize);
        self.each(open, ELEMENT, &[], &mut |name, value| {
            all.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
            true
        })?;
        Ok(all)
    }

    /// All names; none if there is no such collection.
    pub fn names(&self, open: Option<&Open>) -> Ran<Vec<Bytes>, R> {
        match open {
            Some(open) => Ok(self.elements(open)?.into_iter().map(|(name, _)| name).collect()),
            None => Ok(Vec::new()),
        }
    }

    /// Every row of a collection, without the prefix before the mark.
    pub fn all_rows(&self, key_row: &KeyRow, head: &Head) -> Ran<Vec<(Vec<u8>, Bytes)>, R> {
        check_count(head.elements)?;
        let mut all = Vec::new();
        let prefix = element_prefix(slot_of_row(&key_row.row), head.incarnation);
        self.scan(&prefix, &[], &mut |name, value| {
            all.push((name.to_vec(), Bytes::copy_from_slice(value)));
            true
        })?;
        Ok(all)
    }

    /// A part of the elements behind a cursor, and the cursor to go on from, 0 at the end. A cursor is the hash of the element
    /// returned last, so that it is a number, as clients expect. If that element was deleted the scan starts over.
    pub fn scan_elements(&self, open: &Open, after: u64, count: u32) -> Ran<Page, R> {
        let found = self.elements_behind(open, after, count)?;
        match found {
            Some(found) => Ok(found),
            None => Ok(self.elements_behind(open, 0, count)?.unwrap_or_default()),
        }
    }

    /// None if no element has the cursor.
    fn elements_behind(&self, open: &Open, after: u64, count: u32) -> Ran<Option<Page>, R> {
        let count = (count as usize).clamp(SCAN_MIN, SCAN_MAX);
        let (mut found, mut is_more, mut is_behind) = (Vec::new(), false, after == 0);
        self.each(open, ELEMENT, &[], &mut |name, value| {
            if !is_behind {
                is_behind = cursor(name) == after;
                return true;
            }
            is_more = found.len() == count;
            if !is_more {
                found.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
            }
            !is_more
        })?;
        let next = found.last().filter(|_| is_more).map_or(0, |(name, _)| cursor(name));
        Ok(is_behind.then(|| (found, next.to_string().into())))
    }
}

/// Never 0, and within what clients in any language take for a number.
fn cursor(name: &[u8]) -> u64 {
    (xxhash_rust::xxh3::xxh3_64(name) >> 2) | 1
}

/// Elements of one step at least: a step begins at the beginning to find its place.
const SCAN_MIN: usize = 1000;
/// Elements of one step of a scan.
const SCAN_MAX: usize = 10_000;

pub fn check_count<E>(elements: u64) -> Result<(), super::Stop<E>> {
    if elements > ELEMENTS_MAX as u64 { fault(Fault::TooManyElements) } else { Ok(()) }
}

impl<R: Rows> ApplyContext<'_, R> {
    /// What is there if it is of this type, or a new one.
    pub fn open_or_new(&mut self, key: &Key, kind: CollectionKind) -> Ran<Open, R> {
        if let Some(open) = self.view().open(key, kind)? {
            return Ok(open);
        }
        let key_row = self.find_row(key)?;
        let incarnation = self.tablet.next_version();
        let head = Head { kind, incarnation, elements: 0, bytes: 0, first: LIST_MIDDLE };
        Ok(Open::new(key_row, head))
    }

    pub fn check_element(&self, name: &[u8], value: &[u8]) -> Ran<(), R> {
        if name.len() > KEY_MAX_BYTES {
            return fault(Fault::ElementTooLong);
        }
        if value.len() > self.tablet.value_max_bytes { fault(Fault::TooLarge) } else { Ok(()) }
    }

    /// Says what was there before.
    pub fn put_element(&mut self, open: &mut Open, name: &[u8], value: Bytes) -> Ran<Option<Bytes>, R> {
        let row = open.row(ELEMENT, name);
        let old = self.view().row(&row)?;
        match &old {
            Some(old) => open.head.bytes -= old.len() as u64,
            None => {
                open.head.elements += 1;
                open.head.bytes += name.len() as u64;
            }
        }
        open.head.bytes += value.len() as u64;
        self.changes.insert(row, Some(value));
        Ok(old)
    }

    /// Says what was there.
    pub fn remove_element(&mut self, open: &mut Open, name: &[u8]) -> Ran<Option<Bytes>, R> {
        let row = open.row(ELEMENT, name);
        let old = self.view().row(&row)?;
        if let Some(old) = &old {
            open.head.elements -= 1;
            open.head.bytes -= (name.len() + old.len()) as u64;
            self.changes.insert(row, None);
        }
        Ok(old)
    }

    /// Writes the head of a collection that has changed. One without elements is none.
    pub fn close(&mut self, open: Open) {
        let Open { key_row, head, .. } = open;
        if head.elements == 0 {
            return self.remove_row(key_row);
        }
        let (flags, expires_at_ms) =
            key_row.live().map_or((0, None), |record| (record.flags, record.expires_at_ms));
        let header = self.new_header(flags, expires_at_ms);
        self.put_head(key_row, &header, head);
    }

    /// Whatever is there goes, and a new one takes its place.
    pub fn open_anew(&mut self, key: &Key, kind: CollectionKind) -> Ran<Open, R> {
        let key_row = self.find_row(key)?;
        self.remove(key_row);
        self.open_or_new(key, kind)
    }
}

/// Numbers that follow from a seed, the same on every replica.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(seed | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// Some of them: as many as there are at most, or with a negative count as many as wanted, with repetitions.
    pub fn some<T: Clone>(&mut self, mut all: Vec<T>, count: i64) -> Vec<T> {
        let wanted = (count.unsigned_abs() as usize).min(ELEMENTS_MAX);
        if all.is_empty() {
            return Vec::new();
        }
        if count < 0 {
            return (0..wanted).map(|_| all[self.below(all.len())].clone()).collect();
        }
        for at in 0..wanted.min(all.len()) {
            let other = at + self.below(all.len() - at);
            all.swap(at, other);
        }
        all.truncate(wanted);
        all
    }
}
