//! The interface of the state store to the engine that keeps its rows on disk: fjall in the daemon (`disk.rs`), a simulated disk
//! that loses power in the simulation (`simulation/engine.rs`). Freezing, ingesting and reading are the same code over both.
//!
//! *Invariant (D5):* an ingestion is atomic, and durable when `finish` has returned.
//! *Invariant:* of two ingestions that hold the same key, the one that finished later wins.

use bytes::Bytes;

use super::StorageError;

/// Returns whether to continue.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> bool;

/// Rows to read: the newest of an engine, or those of one moment.
pub trait View: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError>;
    /// Rows from `from` up to, without, `to`, in order.
    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StorageError>;
}

/// A handle; whoever holds one may read and ingest.
pub trait Engine: View {
    /// The rows of this moment, for as long as it is held.
    fn view(&self) -> Box<dyn View>;
    fn begin(&self) -> Result<Box<dyn Ingestion>, StorageError>;
    /// Frees the space of unreferenced rows between two keys where that is cheap; compaction removes the rest
    /// (`Incarnations::is_kept`).
    fn forget(&self, from: &[u8], to: &[u8]) -> Result<(), StorageError>;
    /// Replaces the catalog, durably and as a whole.
    fn write_catalog(&self, text: &str) -> Result<(), StorageError>;
    /// Free bytes on the disk.
    fn free_bytes(&self) -> Result<u64, StorageError>;
    fn disk_bytes(&self) -> u64;
}

/// A row to ingest; `None` removes it.
pub type IngestedRow = (Vec<u8>, Option<Bytes>);

/// An ingestion. Dropped before `finish`, it has no effect.
pub trait Ingestion: Send {
    /// In ascending order, across all calls. Blocks while the disk is behind.
    fn write(&mut self, rows: Vec<IngestedRow>) -> Result<(), StorageError>;
    fn finish(self: Box<Self>) -> Result<(), StorageError>;
}
