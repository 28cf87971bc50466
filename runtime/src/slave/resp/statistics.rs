//! Counters of Redis's commands, under the names of `INFO`.

use std::sync::atomic::Ordering;

use crate::slave::statistics::{add, counters};

counters!(
    /// Of one pair.
    Statistics:
    total_commands_processed,
    keyspace_hits,
    keyspace_misses,
    clients_numbered,
);

impl Statistics {
    pub fn count_command(&self) {
        add(&self.total_commands_processed, 1);
    }

    pub fn count_read(&self, is_hit: bool) {
        add(if is_hit { &self.keyspace_hits } else { &self.keyspace_misses }, 1);
    }

    /// The number of a new connection.
    pub fn next_client(&self) -> u64 {
        self.clients_numbered.fetch_add(1, Ordering::Relaxed) + 1
    }
}
