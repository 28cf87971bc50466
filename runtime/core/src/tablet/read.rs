//! Reads of a tablet, decided by its replicated clock and its flushes.

use bytes::Bytes;

use super::rows::{FORMAT_HEAD, KIND_DATA, data_row, decode_record, peek_record, split_data_row, try_scan};
use super::{Rows, Tablet};
use crate::ids::Namespace;
use crate::kv::{Key, Read, Reply};

/// Rows that one scan looks at, so that a namespace with few records among many does not hold up its tablet.
const SCAN_VISITED_MAX: usize = 10_000;
/// Keys in one answer, whatever the caller asks for.
const SCAN_KEYS_MAX: usize = 10_000;
/// Bytes of keys after which an answer is full.
const SCAN_BYTES_MAX: usize = 1024 * 1024;

pub fn read<R: Rows>(tablet: &Tablet, rows: &R, read: &Read) -> Result<Reply, R::Error> {
    match read {
        Read::Get { key } => get(tablet, rows, key),
        Read::Operations(operations) => super::operations::read(tablet, rows, operations),
        Read::Scan { namespace, after, limit } => scan(tablet, rows, namespace, after, *limit),
        Read::Count { namespace } => Ok(match tablet.namespaces.get(namespace) {
            Some(state) => Reply::Count { records: state.records, bytes: state.bytes },
            None => Reply::Count { records: 0, bytes: 0 },
        }),
    }
}

fn get<R: Rows>(tablet: &Tablet, rows: &R, key: &Key) -> Result<Reply, R::Error> {
    let Some(state) = tablet.namespaces.get(&key.namespace) else { return Ok(Reply::NotFound) };
    let Some(value) = rows.get(&data_row(key))? else { return Ok(Reply::NotFound) };
    let record = decode_record(&value)?;
    let is_live = tablet.is_live(state, record.version, record.expires_at_ms);
    if is_live && value.first() == Some(&FORMAT_HEAD) {
        return Ok(Reply::WrongType);
    }
    Ok(if is_live { Reply::Record(record) } else { Reply::NotFound })
}

/// The cursor is the last data row that was looked at, without its kind byte. An answer may be empty and still have
/// a cursor to go on from.
fn scan<R: Rows>(
    tablet: &Tablet,
    rows: &R,
    namespace: &Namespace,
    after: &Bytes,
    limit: u32,
) -> Result<Reply, R::Error> {
    let Some(state) = tablet.namespaces.get(namespace) else {
        return Ok(Reply::Keys { keys: Vec::new(), next: None });
    };
    let mut from = [&[KIND_DATA], &after[..]].concat();
    if !after.is_empty() {
        from.push(0); // the first row that can stand after the cursor
    }
    let limit = (limit as usize).clamp(1, SCAN_KEYS_MAX);
    let (mut keys, mut key_bytes, mut visited) = (Vec::new(), 0, 0);
    let (mut last, mut is_more) = (Vec::new(), false);
    try_scan(rows, &from, |row, value| {
        if row.first() != Some(&KIND_DATA) {
            return Ok(false);
        }
        if keys.len() == limit || visited == SCAN_VISITED_MAX || key_bytes >= SCAN_BYTES_MAX {
            is_more = true;
            return Ok(false);
        }
        visited += 1;
        last.clear();
        last.extend_from_slice(&row[1..]);
        let (name, key) = split_data_row(row)?;
        let (version, expires_at_ms, _) = peek_record(value)?;
        if name == namespace.as_str() && tablet.is_live(state, version, expires_at_ms) {
            key_bytes += key.len();
            keys.push(Bytes::copy_from_slice(key));
        }
        Ok(true)
    })?;
    Ok(Reply::Keys { keys, next: is_more.then(|| Bytes::from(last)) })
}
