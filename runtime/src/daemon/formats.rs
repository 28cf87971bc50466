//! Whether this program can open a server's directory: asked before a node is stopped for it, while the node runs.
//!
//! *Invariant:* nothing is opened for writing and no lock is taken.

use std::path::Path;

use dkc_core::config::layout;

use super::disk::DiskError;
use crate::{log, storage};

/// Refuses formats that only another program reads. What is not there yet is fine.
pub fn check_formats(directory: &Path) -> Result<(), DiskError> {
    storage::check_format(&directory.join(layout::STATE_DIR))?;
    log::check_format(&directory.join(layout::RAFT_LOG_DIR))?;
    Ok(())
}
