//! The rows of a tablet with the changes of a batch over them: what reads look at, and what writes find.

use std::collections::Bound;

use bytes::Bytes;

use super::head::Head;
use super::rows::{FORMAT_HEAD, data_row, decode_record};
use super::{Changes, Rows, Tablet};
use crate::kv::{Key, Record};

pub struct View<'a, R: Rows> {
    pub tablet: &'a Tablet,
    pub rows: &'a R,
    pub changes: &'a Changes,
}

/// What is in the place of a key.
pub struct ExistingRecord {
    /// Without a value if it has a head.
    pub record: Record,
    /// Of a list, hash, set or sorted set.
    pub head: Option<Head>,
    /// Counted in the namespace: not flushed, but perhaps expired.
    pub is_counted: bool,
    pub is_live: bool,
}

impl ExistingRecord {
    /// As they are counted in the namespace.
    pub fn value_bytes(&self) -> u64 {
        self.head.map_or(self.record.value.len() as u64, |head| head.bytes)
    }
}

/// The place of a key: its row, and what is there.
pub struct KeyRow {
    pub key: Key,
    pub row: Vec<u8>,
    pub present: Option<ExistingRecord>,
}

impl KeyRow {
    pub fn present(&self) -> Option<&ExistingRecord> {
        self.present.as_ref().filter(|present| present.is_live)
    }

    /// The record, or what a collection has of one.
    pub fn live(&self) -> Option<&Record> {
        self.present().map(|present| &present.record)
    }

    /// A collection that lives.
    pub fn head(&self) -> Option<Head> {
        self.present().and_then(|present| present.head)
    }
}

impl<R: Rows> View<'_, R> {
    pub fn row(&self, row: &[u8]) -> Result<Option<Bytes>, R::Error> {
        match self.changes.get(row) {
            Some(changed) => Ok(changed.clone()),
            None => self.rows.get(row),
        }
    }

    pub fn find_row(&self, key: &Key) -> Result<KeyRow, R::Error> {
        let row = data_row(key);
        let key = key.clone();
        let Some(value) = self.row(&row)? else { return Ok(KeyRow { key, row, present: None }) };
        let mut record = decode_record(&value)?;
        let head = match value.first() {
            Some(&FORMAT_HEAD) => Some(Head::decode(&std::mem::take(&mut record.value))?),
            _ => None,
        };
        let state = self.tablet.namespaces.get(&key.namespace);
        let is_counted = state.is_some_and(|state| record.version > state.flushed_version);
        let is_live =
            state.is_some_and(|state| self.tablet.is_live(state, record.version, record.expires_at_ms));
        Ok(KeyRow { key, row, present: Some(ExistingRecord { record, head, is_counted, is_live }) })
    }

    /// Rows with a prefix, from `prefix` and `from` on, without the prefix, until `visit` answers false.
    pub fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), R::Error> {
        let from = [prefix, from].concat();
        let bounds = (Bound::Included(from.as_slice()), Bound::Unbounded);
        let changes = self.changes.range::<[u8], _>(bounds);
        let mut changes = changes.take_while(|(row, _)| row.starts_with(prefix)).peekable();
        let mut goes_on = true;
        self.rows.scan(&from, &mut |row, value| {
            if !row.starts_with(prefix) {
                return false;
            }
            while let Some((changed, new)) = changes.next_if(|(changed, _)| changed.as_slice() < row) {
                if new.as_ref().is_some_and(|new| !visit(&changed[prefix.len()..], new)) {
                    goes_on = false;
                    return false;
                }
            }
            goes_on = match changes.next_if(|(changed, _)| changed.as_slice() == row) {
                Some((_, Some(new))) => visit(&row[prefix.len()..], new),
                Some((_, None)) => true,
                None => visit(&row[prefix.len()..], value),
            };
            goes_on
        })?;
        while goes_on {
            let Some((changed, new)) = changes.next() else { break };
            goes_on = new.as_ref().is_none_or(|new| visit(&changed[prefix.len()..], new));
        }
        Ok(())
    }
}
