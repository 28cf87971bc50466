//! How a server's budget, `memory_bytes`, is divided. The remainder is for the program itself, its connections, running snapshots and
//! compactions, and the allocator's overhead.

use dkc_core::config::{Parameters, ServerRole};

/// Sixteenths of the budget.
const OVERLAY_SIXTEENTHS: u64 = 6;
const BLOCK_CACHE_SIXTEENTHS: u64 = 2;
const ROW_CACHE_SIXTEENTHS: u64 = 1;
const LOG_CACHE_SIXTEENTHS: u64 = 1;
const LOG_QUEUE_SIXTEENTHS: u64 = 2;
/// A group keeps at least so much of its log in memory.
const GROUP_CACHE_BYTES_MIN: u64 = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySplit {
    /// Rows that are applied and not ingested yet: two generations.
    pub overlay_bytes: u64,
    /// Recently read blocks of tables.
    pub block_cache_bytes: u64,
    /// Recently looked up rows of tables, for each group.
    pub group_row_cache_bytes: u64,
    /// The end of each group's log, for followers that are a little behind.
    pub group_cache_bytes: u64,
    /// Entries that wait for the log's writer.
    pub log_queue_bytes: u64,
}

impl MemorySplit {
    pub fn of(parameters: &Parameters, role: &ServerRole) -> MemorySplit {
        let sixteenths = |count: u64| parameters.memory_bytes / 16 * count;
        let groups = u64::from(role.tablets) + 1;
        MemorySplit {
            overlay_bytes: sixteenths(OVERLAY_SIXTEENTHS),
            block_cache_bytes: sixteenths(BLOCK_CACHE_SIXTEENTHS),
            group_row_cache_bytes: sixteenths(ROW_CACHE_SIXTEENTHS) / groups,
            group_cache_bytes: (sixteenths(LOG_CACHE_SIXTEENTHS) / groups).max(GROUP_CACHE_BYTES_MIN),
            log_queue_bytes: sixteenths(LOG_QUEUE_SIXTEENTHS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_less_than_the_whole() {
        let caches = BLOCK_CACHE_SIXTEENTHS + ROW_CACHE_SIXTEENTHS + LOG_CACHE_SIXTEENTHS;
        let sum = OVERLAY_SIXTEENTHS + caches + LOG_QUEUE_SIXTEENTHS;
        assert!(sum <= 12, "{sum} sixteenths leave too little for the rest");
    }
}
