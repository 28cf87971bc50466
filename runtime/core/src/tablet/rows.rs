//! What the rows of a tablet look like. The first byte is the kind; all other kinds are left to the storage for its
//! own rows (applied index, membership), which are no part of the tablet's state.
//!
//! ```text
//! system   1 's'                                       → format, u64 clock_ms, u64 session_clock_ms, u64 version,
//!                                                        u32 epoch
//!          1 'n' namespace                             → format, u64 records, u64 bytes, u64 flushed_version, u64 flush_at_ms
//!          1 'r'                                       → format, u16 first slot, u16 last slot, u32 since epoch (absent: as founded)
//!          1 'c'                                       → see `recount` (absent: the counts are right)
//!          1 'w'                                       → format, data row at which the sweep goes on (absent = no sweep)
//! session  2 u64 session                               → see `sessions`
//! expiry   3 u64 expires_at_ms, then as the data row   → nothing
//! data     4 u16 slot, u8 length, namespace, key       → format, u32 flags, u64 version, u64 expires_at_ms (0 = never),
//!                                                        u64 modified_at_ms, value
//!          of a list, hash, set or sorted set          → its head; see `head`, also for the kinds 5 and 6
//! ```
//!
//! *Invariant:* every data row that expires has exactly one expiry row, and no expiry row is without its data row.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Changes, Rows};
use crate::ids::Namespace;
use crate::kv::codec::{BadBytes, Reader};
use crate::kv::{Key, Record};
use crate::ring::slot_of;

/// Clock, counters, namespaces, sweep.
pub const KIND_SYSTEM: u8 = 1;
/// A session's replies.
pub const KIND_SESSION: u8 = 2;
/// When a data row expires.
pub const KIND_EXPIRY: u8 = 3;
/// A record, or the head of a collection.
pub const KIND_DATA: u8 = 4;
/// An element of a list, hash, set or sorted set.
pub const KIND_ELEMENT: u8 = 5;
/// Elements of a collection that was deleted, to be removed later.
pub const KIND_GARBAGE: u8 = 6;

/// Holds a `State`.
pub const STATE_ROW: &[u8] = &[KIND_SYSTEM, b's'];
/// Where the sweep goes on.
pub const SWEEP_ROW: &[u8] = &[KIND_SYSTEM, b'w'];
/// The slots, once there was a split.
pub const RANGE_ROW: &[u8] = &[KIND_SYSTEM, b'r'];
/// How far the records are counted anew.
pub const RECOUNT_ROW: &[u8] = &[KIND_SYSTEM, b'c'];
/// A namespace's name follows; holds a `NamespaceState`.
pub const NAMESPACE_PREFIX: &[u8] = &[KIND_SYSTEM, b'n'];

/// First byte of every row's value.
pub const FORMAT: u8 = 1;
/// Of a row that holds the head of a list, hash, set or sorted set.
pub const FORMAT_HEAD: u8 = 2;
/// The head behind what a record has, too.
pub const HEAD_BYTES: usize = 1 + 8 + 8 + 8 + 8;
/// Offset of `bytes` in a head row.
pub const HEAD_BYTES_AT: usize = 29 + 1 + 8 + 8;
const RECORD_HEADER_BYTES: usize = 1 + 4 + 8 + 8 + 8;
/// Kind and slot, before the namespace of a data row.
const DATA_HEADER_BYTES: usize = 1 + 2;
const EXPIRY_HEADER_BYTES: usize = 1 + 8;

/// What a record takes beside its key and value, about.
pub const ROW_OVERHEAD_BYTES: u64 = 48;

/// The format byte is the one this release writes.
pub fn check_format(reader: &mut Reader<'_>) -> Result<(), BadBytes> {
    if reader.u8()? == FORMAT { Ok(()) } else { Err(reader.bad("unknown format version")) }
}

/// The row of a key's record or head. Sorts by slot, so that a range of slots is a range of rows.
pub fn data_row(key: &Key) -> Vec<u8> {
    let namespace = key.namespace.as_str().as_bytes();
    let mut row = Vec::with_capacity(DATA_HEADER_BYTES + 1 + namespace.len() + key.bytes.len());
    row.push(KIND_DATA);
    row.extend_from_slice(&slot_of(&key.namespace, &key.bytes).0.to_be_bytes());
    row.push(namespace.len() as u8); // NAME_MAX_BYTES is 48
    row.extend_from_slice(namespace);
    row.extend_from_slice(&key.bytes);
    row
}

/// Namespace and key of a data row.
pub fn split_data_row(row: &[u8]) -> Result<(&str, &[u8]), BadBytes> {
    let bad = BadBytes { what: "data row", at: 0, rule: "kind, slot, namespace and key" };
    let (&length, rest) = row.get(DATA_HEADER_BYTES..).and_then(<[u8]>::split_first).ok_or(bad)?;
    let (namespace, key) = rest.split_at_checked(usize::from(length)).ok_or(bad)?;
    Ok((std::str::from_utf8(namespace).map_err(|_| bad)?, key))
}

/// Sorts by time, so that what expires next comes first.
pub fn expiry_row(expires_at_ms: u64, data_row: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(EXPIRY_HEADER_BYTES + data_row.len());
    row.push(KIND_EXPIRY);
    row.extend_from_slice(&expires_at_ms.to_be_bytes());
    row.extend_from_slice(&data_row[1..]);
    row
}

/// When, and which data row.
pub fn split_expiry_row(row: &[u8]) -> Result<(u64, Vec<u8>), BadBytes> {
    let bad = BadBytes { what: "expiry row", at: 0, rule: "kind, time, and what a data row has" };
    let (at, place) = row.get(1..).and_then(<[u8]>::split_first_chunk::<8>).ok_or(bad)?;
    Ok((u64::from_be_bytes(*at), [&[KIND_DATA], place].concat()))
}

/// The header before the value in a data row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// memcached's; kept with the record.
    pub flags: u32,
    /// Greater than that of every record written before it in this tablet.
    pub version: u64,
    /// Milliseconds since the Unix epoch; stored as 0 for `None`.
    pub expires_at_ms: Option<u64>,
    /// By the replicated clock.
    pub modified_at_ms: u64,
}

/// The value is given in pieces, so that append and prepend copy once.
pub fn encode_record(header: &RecordHeader, pieces: [&[u8]; 2]) -> Bytes {
    let length = pieces[0].len() + pieces[1].len();
    let mut out = BytesMut::with_capacity(RECORD_HEADER_BYTES + length);
    out.put_u8(FORMAT);
    out.put_u32(header.flags);
    out.put_u64(header.version);
    out.put_u64(header.expires_at_ms.unwrap_or(0));
    out.put_u64(header.modified_at_ms);
    out.put_slice(pieces[0]);
    out.put_slice(pieces[1]);
    out.freeze()
}

/// The value of the record is a slice of `bytes`. In a head row the head takes its place.
pub fn decode_record(bytes: &Bytes) -> Result<Record, BadBytes> {
    let mut reader = Reader::new(bytes, "record");
    if !matches!(reader.u8()?, FORMAT | FORMAT_HEAD) {
        return Err(reader.bad("unknown format version"));
    }
    Ok(Record {
        flags: reader.u32()?,
        version: reader.u64()?,
        expires_at_ms: Some(reader.u64()?).filter(|&at| at != 0),
        modified_at_ms: reader.u64()?,
        value: reader.rest(),
    })
}

/// Version, expiry and length of the value, without touching the value. Of a collection: the bytes of all elements.
pub fn peek_record(bytes: &[u8]) -> Result<(u64, Option<u64>, usize), BadBytes> {
    let bad = BadBytes { what: "record", at: 0, rule: "a known format and a whole header" };
    let is_head = bytes.first() == Some(&FORMAT_HEAD) && bytes.len() == RECORD_HEADER_BYTES + HEAD_BYTES;
    if !is_head && (bytes.len() < RECORD_HEADER_BYTES || bytes[0] != FORMAT) {
        return Err(bad);
    }
    let number = |at: usize| bytes[at..].first_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or(bad);
    let expires_at_ms = Some(number(13)?).filter(|&at| at != 0);
    let value_bytes =
        if is_head { number(HEAD_BYTES_AT)? as usize } else { bytes.len() - RECORD_HEADER_BYTES };
    Ok((number(5)?, expires_at_ms, value_bytes))
}

/// The clock and counters of a tablet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// The replicated clock (T1).
    pub clock_ms: u64,
    /// Moves with the clock, but never by more than a step a batch; see `sessions`.
    pub session_clock_ms: u64,
    /// The version that was given out last.
    pub version: u64,
    /// The largest epoch of the ring map under which a write was admitted; writes of older ones are refused (M5).
    pub epoch: u32,
}

impl State {
    /// `FORMAT`, then the fields in their order.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(29);
        out.put_u8(FORMAT);
        out.put_u64(self.clock_ms);
        out.put_u64(self.session_clock_ms);
        out.put_u64(self.version);
        out.put_u32(self.epoch);
        out.freeze()
    }

    /// Refuses another format and bytes that are too few or too many.
    pub fn decode(bytes: &Bytes) -> Result<State, BadBytes> {
        let mut reader = Reader::new(bytes, "state row");
        check_format(&mut reader)?;
        let state = State {
            clock_ms: reader.u64()?,
            session_clock_ms: reader.u64()?,
            version: reader.u64()?,
            epoch: reader.u32()?,
        };
        reader.end()?;
        Ok(state)
    }
}

/// What is counted and remembered of a namespace in this tablet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceState {
    /// Records that no flush has killed. An expired record counts until a batch has removed it.
    pub records: u64,
    /// Their keys and values.
    pub bytes: u64,
    /// Records with this version or a smaller one are dead, though their rows may still be there.
    pub flushed_version: u64,
    /// A flush waits for the clock to reach this; 0 = none.
    pub flush_at_ms: u64,
    /// Changed by the batch that is being applied.
    pub is_changed: bool,
}

impl NamespaceState {
    /// Its row: `NAMESPACE_PREFIX` and the name.
    pub fn row(namespace: &Namespace) -> Vec<u8> {
        [NAMESPACE_PREFIX, namespace.as_str().as_bytes()].concat()
    }

    /// A record goes. After a split the counts are estimates for a while.
    pub fn take(&mut self, bytes: u64) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// The namespace that a row is about; `None` if the row is of another kind.
    pub fn namespace_of(row: &[u8]) -> Option<Result<Namespace, BadBytes>> {
        let name = row.strip_prefix(NAMESPACE_PREFIX)?;
        let bad = BadBytes { what: "namespace row", at: 2, rule: "not a namespace" };
        Some(std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or(bad))
    }

    /// `FORMAT`, then the counters in their order.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(33);
        out.put_u8(FORMAT);
        out.put_u64(self.records);
        out.put_u64(self.bytes);
        out.put_u64(self.flushed_version);
        out.put_u64(self.flush_at_ms);
        out.freeze()
    }

    /// Refuses another format and bytes that are too few or too many.
    pub fn decode(bytes: &Bytes) -> Result<NamespaceState, BadBytes> {
        let mut reader = Reader::new(bytes, "namespace row");
        check_format(&mut reader)?;
        let state = NamespaceState {
            records: reader.u64()?,
            bytes: reader.u64()?,
            flushed_version: reader.u64()?,
            flush_at_ms: reader.u64()?,
            is_changed: false,
        };
        reader.end()?;
        Ok(state)
    }
}

/// Visits rows from `from` on; the first error of the visitor ends it and is the result.
pub fn try_scan<R: Rows>(
    rows: &R,
    from: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, BadBytes>,
) -> Result<(), R::Error> {
    let mut result = Ok(());
    rows.scan(from, &mut |row, value| match visit(row, value) {
        Ok(goes_on) => goes_on,
        Err(bad) => {
            result = Err(bad);
            false
        }
    })?;
    result.map_err(R::Error::from)
}

/// One number over all these rows.
pub fn state_hash<R: Rows>(rows: &R) -> Result<u64, R::Error> {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    rows.scan(&[KIND_SYSTEM], &mut |row, value| {
        if row.first().is_none_or(|kind| *kind > KIND_GARBAGE) {
            return false;
        }
        hash.update(&(row.len() as u64).to_be_bytes());
        hash.update(row);
        hash.update(&(value.len() as u64).to_be_bytes());
        hash.update(value);
        true
    })?;
    Ok(hash.digest())
}

/// A map as rows, for tests and tools.
impl Rows for std::collections::BTreeMap<Vec<u8>, Bytes> {
    type Error = BadBytes;

    fn get(&self, row: &[u8]) -> Result<Option<Bytes>, BadBytes> {
        Ok(std::collections::BTreeMap::get(self, row).cloned())
    }

    fn scan(&self, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), BadBytes> {
        for (row, value) in self.range(from.to_vec()..) {
            if !visit(row, value) {
                break;
            }
        }
        Ok(())
    }
}

/// Writes changes into a map of rows.
pub fn write_changes(rows: &mut std::collections::BTreeMap<Vec<u8>, Bytes>, changes: Changes) {
    for (row, value) in changes {
        match value {
            Some(value) => rows.insert(row, value),
            None => rows.remove(&row),
        };
    }
}

/// How far a sweep has come.
pub fn encode_sweep(from: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + from.len());
    out.put_u8(FORMAT);
    out.put_slice(from);
    out.freeze()
}

/// The data row at which the sweep goes on.
pub fn decode_sweep(bytes: &Bytes) -> Result<Vec<u8>, BadBytes> {
    let mut reader = Reader::new(bytes, "sweep row");
    check_format(&mut reader)?;
    Ok(reader.rest().to_vec())
}
