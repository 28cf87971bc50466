//! The lineage's file in a node's directory.

use std::io;
use std::path::Path;

use dkc_core::config::layout;

use crate::durable_file;

/// It is no secret, and the directories above decide who may see it.
const MODE: u32 = 0o644;

/// Its text, if it is there.
pub fn read(directory: &Path) -> io::Result<Option<String>> {
    match std::fs::read(directory.join(layout::LINEAGE)) {
        // Damage is found by the checksum.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces it as a whole; durable when this returns.
pub fn write(directory: &Path, text: &str) -> io::Result<()> {
    durable_file::replace(&directory.join(layout::LINEAGE), text.as_bytes(), MODE)
}
