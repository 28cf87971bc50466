//! What an empty batch removes: expired records, found through the expiry rows, and records killed by a flush, found
//! by a sweep over all data rows. Both are bounded, so that no batch holds up its tablet for long.

use bytes::Bytes;

use super::Rows;
use super::apply::ApplyContext;
use super::head::{Head, garbage_row, slot_of_row};
use super::rows::{
    FORMAT_HEAD, KIND_DATA, KIND_ELEMENT, KIND_EXPIRY, KIND_GARBAGE, SWEEP_ROW, decode_record, encode_sweep,
    expiry_row, peek_record, split_data_row, split_expiry_row, try_scan,
};
use crate::kv::codec::BadBytes;

/// Expired records that one empty batch removes: a few milliseconds of work.
pub const EXPIRE_PER_BATCH_MAX: usize = 1024;
/// Data rows that one empty batch looks at for dead ones.
pub const SWEEP_PER_BATCH_MAX: usize = 2048;
/// Elements without a head that one empty batch removes.
pub const GARBAGE_PER_BATCH_MAX: usize = 2048;

/// The earliest expiry row.
pub fn first_expiry_ms<R: Rows>(rows: &R) -> Result<Option<u64>, R::Error> {
    let mut first = None;
    try_scan(rows, &[KIND_EXPIRY], |row, _| {
        if row.first() == Some(&KIND_EXPIRY) {
            first = Some(split_expiry_row(row)?.0);
        }
        Ok(false)
    })?;
    Ok(first)
}

/// Removes records whose time has come, the earliest first.
pub fn remove_expired<R: Rows>(context: &mut ApplyContext<'_, R>) -> Result<(), R::Error> {
    let clock_ms = context.tablet.state.clock_ms;
    if context.tablet.expiry_not_before_ms.is_none_or(|at| at > clock_ms) {
        return Ok(());
    }
    let mut expired = Vec::new();
    let mut next_ms = None;
    try_scan(context.rows, &[KIND_EXPIRY], |row, _| {
        if row.first() != Some(&KIND_EXPIRY) {
            return Ok(false);
        }
        let (at_ms, data_row) = split_expiry_row(row)?;
        if at_ms > clock_ms || expired.len() == EXPIRE_PER_BATCH_MAX {
            next_ms = Some(at_ms);
            return Ok(false);
        }
        expired.push((row.to_vec(), data_row));
        Ok(true)
    })?;
    context.tablet.expiry_not_before_ms = next_ms;
    for (expiry_row, data_row) in expired {
        remove_one(context, expiry_row, data_row)?;
    }
    Ok(())
}

fn remove_one<R: Rows>(
    context: &mut ApplyContext<'_, R>,
    expiry_row: Vec<u8>,
    data_row: Vec<u8>,
) -> Result<(), R::Error> {
    if let Some(value) = context.rows.get(&data_row)? {
        let (version, _, value_bytes) = peek_record(&value)?;
        abandon_elements(context, &data_row, &value)?;
        let (namespace, key) = split_data_row(&data_row)?;
        let record_bytes = (key.len() + value_bytes) as u64;
        // A tablet knows a handful of namespaces, and this path is not hot: no allocation of a name to look it up.
        let recount = &mut context.tablet.recount;
        let found = context.tablet.namespaces.iter_mut().find(|(name, _)| name.as_str() == namespace);
        if let Some((name, state)) = found
            && version > state.flushed_version
        {
            state.take(record_bytes);
            state.is_changed = true;
            let counted = recount.as_mut().and_then(|recount| recount.of(&data_row, name));
            counted.into_iter().for_each(|count| count.take(record_bytes));
        }
        context.changes.insert(data_row, None);
    }
    context.changes.insert(expiry_row, None);
    Ok(())
}

/// What a head row was the head of becomes garbage.
fn abandon_elements<R: Rows>(
    context: &mut ApplyContext<'_, R>,
    data_row: &[u8],
    value: &[u8],
) -> Result<(), BadBytes> {
    if value.first() == Some(&FORMAT_HEAD) {
        let head = Head::decode(&decode_record(&Bytes::copy_from_slice(value))?.value)?;
        let row = garbage_row(slot_of_row(data_row), head.incarnation);
        context.changes.insert(row, Some(Bytes::new()));
        context.tablet.has_garbage = true;
    }
    Ok(())
}

/// Whether there are elements to remove.
pub fn has_garbage<R: Rows>(rows: &R) -> Result<bool, R::Error> {
    Ok(first_garbage(rows)?.is_some())
}

fn first_garbage<R: Rows>(rows: &R) -> Result<Option<Vec<u8>>, R::Error> {
    let mut first = None;
    rows.scan(&[KIND_GARBAGE], &mut |row, _| {
        first = Some(row.to_vec()).filter(|row| row[0] == KIND_GARBAGE);
        false
    })?;
    Ok(first)
}

/// Removes elements that lost their head before this batch.
pub fn remove_garbage<R: Rows>(context: &mut ApplyContext<'_, R>) -> Result<(), R::Error> {
    let Some(garbage) = first_garbage(context.rows)? else {
        context.tablet.has_garbage = context.changes.keys().any(|row| row.first() == Some(&KIND_GARBAGE));
        return Ok(());
    };
    let prefix = [&[KIND_ELEMENT], &garbage[1..]].concat();
    let (mut removed, mut is_more) = (0, false);
    let changes = &mut context.changes;
    context.rows.scan(&prefix, &mut |row, _| {
        let is_element = row.starts_with(&prefix);
        is_more = is_element && removed == GARBAGE_PER_BATCH_MAX;
        if !is_element || is_more {
            return false;
        }
        changes.insert(row.to_vec(), None);
        removed += 1;
        true
    })?;
    if !is_more {
        context.changes.insert(garbage, None);
    }
    Ok(())
}

/// Goes on with the sweep for rows that a flush killed.
pub fn sweep<R: Rows>(context: &mut ApplyContext<'_, R>) -> Result<(), R::Error> {
    let Some(from) = context.tablet.sweep_from.take() else { return Ok(()) };
    let tablet = &*context.tablet;
    let mut dead = Vec::new();
    let mut visited = 0;
    let mut next = None;
    try_scan(context.rows, &from, |row, value| {
        if row.first() != Some(&KIND_DATA) {
            return Ok(false);
        }
        if visited == SWEEP_PER_BATCH_MAX {
            next = Some(row.to_vec());
            return Ok(false);
        }
        visited += 1;
        let (version, expires_at_ms, _) = peek_record(value)?;
        let (name, _) = split_data_row(row)?;
        let state = tablet.namespaces.iter().find(|(namespace, _)| namespace.as_str() == name);
        if state.is_some_and(|(_, state)| version <= state.flushed_version) {
            let head = if value.first() == Some(&FORMAT_HEAD) { Some(value.to_vec()) } else { None };
            dead.push((row.to_vec(), expires_at_ms, head));
        }
        Ok(true)
    })?;
    for (row, expires_at_ms, head) in dead {
        if let Some(head) = head {
            abandon_elements(context, &row, &head)?;
        }
        if let Some(at_ms) = expires_at_ms {
            context.changes.insert(expiry_row(at_ms, &row), None);
        }
        context.changes.insert(row, None);
    }
    context.changes.insert(SWEEP_ROW.to_vec(), next.as_deref().map(encode_sweep));
    context.tablet.sweep_from = next;
    Ok(())
}
