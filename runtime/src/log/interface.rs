//! The types of the log's interface, shared by the log on disk and the simulated one.

use std::io;

use bytes::Bytes;

/// Called once: when its record is durable, or with the reason why it never will be.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Size of a segment. The first one of a new log is small; the others are allocated in the background.
    pub segment_bytes: u64,
    /// Bytes of recent payloads per group kept in memory; older ones are read from the segments.
    pub group_cache_bytes: usize,
    /// `GroupLog::room` waits while more than this is queued for the disk.
    pub queue_bytes_max: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { segment_bytes: 64 << 20, group_cache_bytes: 1 << 20, queue_bytes_max: 64 << 20 }
    }
}

/// The state of a group that the Raft library needs at a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupState {
    pub vote: Option<Bytes>,
    /// The last position passed to `save_committed` that reached the disk; may lag, never leads.
    pub committed: Option<Bytes>,
    /// The last purged index with the marker given then.
    pub purged: Option<(u64, Bytes)>,
    pub first_index: Option<u64>,
    pub last_index: Option<u64>,
}

/// The size of the log, for status and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogUsage {
    pub segments: usize,
    pub bytes: u64,
    /// Bytes of live entries.
    pub live_bytes: u64,
    /// Rounds of write and fdatasync since the log was opened.
    pub rounds: u64,
    pub entries: u64,
}
