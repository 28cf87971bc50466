//! What callers of the log hand over and are told: the same for the log on disk and for a simulated one.

use std::io;

use bytes::Bytes;

/// Called once, after what it belongs to is durable, or with the reason why that cannot happen any more.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Size of a segment. The first one of a new log is small, the others are prepared in the background.
    pub segment_bytes: u64,
    /// Recent payloads of each group that stay in memory; older ones are read from the segments.
    pub group_cache_bytes: usize,
    /// `GroupLog::room` waits while more than this is queued for the disk.
    pub queue_bytes_max: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { segment_bytes: 64 << 20, group_cache_bytes: 1 << 20, queue_bytes_max: 64 << 20 }
    }
}

/// What a restart of the Raft library wants to know of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupState {
    pub vote: Option<Bytes>,
    /// The last position handed to `save_committed` that reached the disk; may be behind, never ahead.
    pub committed: Option<Bytes>,
    /// The last purged index with the marker given then.
    pub purged: Option<(u64, Bytes)>,
    pub first_index: Option<u64>,
    pub last_index: Option<u64>,
}

/// What the log takes, for status and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogUsage {
    pub segments: usize,
    pub bytes: u64,
    /// Bytes of entries that some group still needs.
    pub live_bytes: u64,
    /// Rounds of write and fdatasync since the log was opened.
    pub rounds: u64,
    pub entries: u64,
}
