//! Which rows may be stored, and the storage's own: the applied position and the membership of a group, behind all others of
//! their incarnation.

use bytes::Bytes;

use super::StorageError;
use super::incarnation::PREFIX_BYTES;

/// Rows of the storage itself begin with this byte, which `dkc_core::tablet` does not use.
pub const SYSTEM_KIND: u8 = 0xFF;
pub const APPLIED_ROW: &[u8] = &[SYSTEM_KIND, b'a'];
pub const MEMBERSHIP_ROW: &[u8] = &[SYSTEM_KIND, b'm'];
/// The engine's limit on a key, less the incarnation in front.
pub const ROW_MAX_BYTES: usize = u16::MAX as usize - PREFIX_BYTES;

/// What the engine would end the process for.
pub fn check_row(row: &[u8], value: Option<&Bytes>) -> Result<(), StorageError> {
    match row.first() {
        None => Err(StorageError::BadRow("its key is empty")),
        Some(&SYSTEM_KIND) => Err(StorageError::BadRow("its kind byte 0xFF belongs to the storage")),
        _ if row.len() > ROW_MAX_BYTES => Err(StorageError::BadRow("its key is longer than 65527 bytes")),
        _ if value.is_some_and(|value| u32::try_from(value.len()).is_err()) => {
            Err(StorageError::BadRow("its value is 4 GiB or longer"))
        }
        _ => Ok(()),
    }
}

/// The applied row: how many commits there were (8 bytes, little endian), then the caller's position.
pub fn encode_applied(commits: u64, applied: &[u8]) -> Bytes {
    Bytes::from([&commits.to_le_bytes(), applied].concat())
}

pub fn decode_applied(value: &[u8]) -> Option<(u64, Bytes)> {
    let (commits, applied) = value.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*commits), Bytes::copy_from_slice(applied)))
}
