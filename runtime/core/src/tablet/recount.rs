//! Counting the records of a tablet anew after a split: the split itself divides the counts by the number of slots, because it looks at
//! no row, and the empty batches that follow count what is there, some rows with each.
//!
//! *Invariant:* rows before `at` are counted in `counted`, those from `at` on are not; whatever changes a row of the first kind
//! changes `counted`, too.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::Rows;
use super::apply::ApplyContext;
use super::rows::{FORMAT, KIND_DATA, RECOUNT_ROW, check_format, peek_record, split_data_row, try_scan};
use crate::ids::Namespace;
use crate::kv::codec::{BadBytes, Reader};

/// Data rows that one empty batch counts.
pub const RECOUNT_PER_BATCH_MAX: usize = 16_384;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub records: u64,
    pub bytes: u64,
}

impl Count {
    pub fn add(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes += bytes;
    }

    pub fn take(&mut self, bytes: u64) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recount {
    /// The data row at which it goes on.
    pub at: Vec<u8>,
    pub counted: BTreeMap<Namespace, Count>,
    /// Changed by the batch that is being applied.
    pub is_changed: bool,
}

impl Recount {
    pub fn begin() -> Recount {
        Recount { at: vec![KIND_DATA], counted: BTreeMap::new(), is_changed: true }
    }

    /// The counts that hold for a row, if it was counted.
    pub fn of(&mut self, row: &[u8], namespace: &Namespace) -> Option<&mut Count> {
        if row >= &self.at[..] {
            return None;
        }
        self.is_changed = true;
        Some(self.counted.entry(namespace.clone()).or_default())
    }

    /// A flush killed every record of the namespace.
    pub fn forget(&mut self, namespace: &Namespace) {
        self.is_changed |= self.counted.remove(namespace).is_some();
    }

    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64 + self.at.len());
        out.put_u8(FORMAT);
        out.put_u32(self.at.len() as u32);
        out.put_slice(&self.at);
        out.put_u32(self.counted.len() as u32);
        for (namespace, count) in &self.counted {
            out.put_u8(namespace.as_str().len() as u8);
            out.put_slice(namespace.as_str().as_bytes());
            out.put_u64(count.records);
            out.put_u64(count.bytes);
        }
        out.freeze()
    }

    pub fn decode(bytes: &Bytes) -> Result<Recount, BadBytes> {
        let mut reader = Reader::new(bytes, "recount row");
        check_format(&mut reader)?;
        let length = reader.count(1)?;
        let at = reader.slice(length)?.to_vec();
        let mut counted = BTreeMap::new();
        for _ in 0..reader.count(17)? {
            let length = usize::from(reader.u8()?);
            let name = reader.slice(length)?;
            let namespace = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok());
            let namespace = namespace.ok_or(reader.bad("not a namespace"))?;
            counted.insert(namespace, Count { records: reader.u64()?, bytes: reader.u64()? });
        }
        reader.end()?;
        Ok(Recount { at, counted, is_changed: false })
    }
}

/// Counts some more rows, before this batch removes any. At the end the counts take the place of the estimates.
pub fn go_on<R: Rows>(context: &mut ApplyContext<'_, R>) -> Result<(), R::Error> {
    let Some(mut recount) = context.tablet.recount.take() else { return Ok(()) };
    let namespaces = &context.tablet.namespaces;
    let (mut visited, mut next) = (0, None);
    try_scan(context.rows, &recount.at, |row, value| {
        if row.first() != Some(&KIND_DATA) {
            return Ok(false);
        }
        if visited == RECOUNT_PER_BATCH_MAX {
            next = Some(row.to_vec());
            return Ok(false);
        }
        visited += 1;
        let (version, _, value_bytes) = peek_record(value)?;
        let (name, key) = split_data_row(row)?;
        let state = namespaces.iter().find(|(namespace, _)| namespace.as_str() == name);
        if let Some((namespace, _)) = state.filter(|(_, state)| version > state.flushed_version) {
            recount.counted.entry(namespace.clone()).or_default().add((key.len() + value_bytes) as u64);
        }
        Ok(true)
    })?;
    match next {
        Some(at) => {
            (recount.at, recount.is_changed) = (at, true);
            context.tablet.recount = Some(recount);
        }
        None => {
            for (namespace, state) in &mut context.tablet.namespaces {
                let count = recount.counted.get(namespace).copied().unwrap_or_default();
                (state.records, state.bytes, state.is_changed) = (count.records, count.bytes, true);
            }
            context.changes.insert(RECOUNT_ROW.to_vec(), None);
        }
    }
    Ok(())
}
