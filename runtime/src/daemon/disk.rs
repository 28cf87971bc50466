//! This server's shared log, state store and lineage, and whether the disk has room for them.
//!
//! A node stops acknowledging before the disk is full: after a full disk the state store takes no more writes until a restart.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use dkc_core::config::{NodeConfig, ServerRole, layout};

use super::lineage_store::{LineageError, LineageStore};
use super::memory::MemorySplit;
use crate::log::{LogError, LogOptions, LogUsage, SharedLog};
use crate::storage::{Storage, StorageError, StorageOptions};

/// Reserve for the state store to ingest what it has accepted, and for one compaction.
const RESERVE_BYTES: u64 = 128 * 1024 * 1024;
/// Free space at which the node resumes: more than the lower limit, so that it does not flap.
const ENOUGH_BYTES: u64 = RESERVE_BYTES + 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Lineage(#[from] LineageError),
}

pub struct Disk {
    log: SharedLog,
    store: Storage,
    lineage: LineageStore,
    /// Set before the disk is full: no entry is taken any more.
    is_short: AtomicBool,
}

/// Whether a node is short of space, given whether it was.
fn is_short(was_short: bool, free_bytes: u64) -> bool {
    free_bytes < if was_short { ENOUGH_BYTES } else { RESERVE_BYTES }
}

impl Disk {
    pub async fn open(directory: &Path, config: &NodeConfig, role: &ServerRole) -> Result<Disk, DiskError> {
        let (directory, config, role) = (directory.to_owned(), config.clone(), role.clone());
        let opening = crate::task::spawn_blocking(move || -> Result<_, DiskError> {
            let (log, store) = Disk::open_log_and_store(&directory, &config, &role)?;
            let lineage = LineageStore::open(&directory, &log)?;
            Ok((log, store, lineage))
        });
        let (log, store, lineage) = opening
            .await
            .unwrap_or_else(|error| panic!("opening the disk ended without a result: {error}"))?;
        Ok(Disk { log, store, lineage, is_short: AtomicBool::new(false) })
    }

    /// What a server has on its disk, without beginning another run. Blocks.
    pub fn open_log_and_store(
        directory: &Path,
        config: &NodeConfig,
        role: &ServerRole,
    ) -> Result<(SharedLog, Storage), DiskError> {
        let split = MemorySplit::of(&config.parameters, role);
        let log_options = LogOptions {
            segment_bytes: config.parameters.log_segment_bytes,
            group_cache_bytes: split.group_cache_bytes as usize,
            queue_bytes_max: split.log_queue_bytes as usize,
        };
        let storage_options = StorageOptions {
            cache_bytes: split.block_cache_bytes,
            group_row_cache_bytes: split.group_row_cache_bytes,
            overlay_bytes: split.overlay_bytes,
        };
        let log = SharedLog::open(&directory.join(layout::RAFT_LOG_DIR), log_options)?;
        let store = Storage::open(&directory.join(layout::STATE_DIR), storage_options)?;
        Ok((log, store))
    }

    pub fn log(&self) -> &SharedLog {
        &self.log
    }

    pub fn store(&self) -> &Storage {
        &self.store
    }

    pub fn lineage(&self) -> &LineageStore {
        &self.lineage
    }

    pub fn log_usage(&self) -> LogUsage {
        self.log.usage()
    }

    /// Everything durable, and no entry is taken any more.
    pub async fn close(&self) -> Result<(), StorageError> {
        // The first may be what was frozen already.
        let ingested = self.store.ingest().await.and(self.store.ingest().await);
        self.lineage.persist().await;
        let log = self.log.clone();
        let closing = crate::task::spawn_blocking(move || log.close());
        closing.await.unwrap_or_else(|error| panic!("closing the log ended without a result: {error}"));
        ingested
    }

    pub fn free_bytes(&self) -> Result<u64, StorageError> {
        self.store.free_bytes()
    }

    /// Checks the free space.
    pub fn look(&self) {
        match self.free_bytes() {
            Ok(free_bytes) => self.take_free_bytes(free_bytes),
            Err(error) => tracing::warn!(%error, "free disk space unknown"),
        }
    }

    fn take_free_bytes(&self, free_bytes: u64) {
        let was_short = self.is_short();
        let is_short = is_short(was_short, free_bytes);
        self.is_short.store(is_short, Ordering::Relaxed);
        match (was_short, is_short) {
            (false, true) => {
                tracing::error!(free_bytes, reserve_bytes = RESERVE_BYTES, "disk almost full: writes refused")
            }
            (true, false) => tracing::info!(free_bytes, "disk space available: writes accepted"),
            _ => {}
        }
    }

    pub fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Why nothing is acknowledged at the moment, for status.
    pub fn trouble(&self) -> Option<String> {
        let short = || {
            let free_bytes = self.free_bytes().unwrap_or(0);
            format!(
                "short of disk space: {} MiB are free, {} MiB are needed before this node takes writes again",
                free_bytes >> 20,
                ENOUGH_BYTES >> 20
            )
        };
        self.log.trouble().or_else(|| self.is_short().then(short))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stops_at_the_reserve_and_goes_on_only_with_some_more() {
        let table = [
            (false, RESERVE_BYTES, false),
            (false, RESERVE_BYTES - 1, true),
            (true, RESERVE_BYTES, true),
            (true, ENOUGH_BYTES - 1, true),
            (true, ENOUGH_BYTES, false),
        ];
        for (was_short, free_bytes, want) in table {
            assert_eq!(is_short(was_short, free_bytes), want, "{was_short} {free_bytes}");
        }
    }
}
