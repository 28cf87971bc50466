//! What the state store asks of the engine that keeps its rows on disk, and nothing more. In the daemon that is fjall
//! (`fjall.rs`), in a simulation a disk that loses power (`simulation/engine.rs`); the code that freezes, ingests and
//! reads is the same over both.
//!
//! *Invariant (D5):* an ingestion is there whole or not at all, and it is durable when `finish` has returned.
//! *Invariant:* of two ingestions that hold the same key, the one that finished later wins.

use bytes::Bytes;

use super::StorageError;

/// Answers whether to go on.
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
    /// Gives back the space of rows between two keys that nobody reads any more, as far as that is cheap. What stays
    /// goes when it is compacted (`Incarnations::is_kept`).
    fn forget(&self, from: &[u8], to: &[u8]) -> Result<(), StorageError>;
    /// Replaces the catalog, durably and as a whole.
    fn write_catalog(&self, text: &str) -> Result<(), StorageError>;
    /// Bytes that the disk still has for us.
    fn free_bytes(&self) -> Result<u64, StorageError>;
    fn disk_bytes(&self) -> u64;
}

/// A row on its way in; without a value it removes.
pub type IngestedRow = (Vec<u8>, Option<Bytes>);

/// Rows on their way in. Dropped before `finish`, they leave nothing that is read.
pub trait Ingestion: Send {
    /// In ascending order, across all calls. Blocks while the disk is behind.
    fn write(&mut self, rows: Vec<IngestedRow>) -> Result<(), StorageError>;
    fn finish(self: Box<Self>) -> Result<(), StorageError>;
}
