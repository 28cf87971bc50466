//! Every figure that a node gives Prometheus: name, type and help. The nodes write their samples from these rows, and
//! the reference of the book is made from them, so a name stands in one place only.

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// As it stands in the text form.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// For people, in one sentence.
    pub help: &'static str,
}

/// Prometheus' types of metrics that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from the start of the node on.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, in buckets.
    Histogram,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        })
    }
}

/// Writes each row as a constant and collects all of them in a table.
macro_rules! metrics {
    ($(#[$about:meta])* $table:ident: $($constant:ident = $name:literal, $kind:ident, $help:literal;)+) => {
        $(#[doc = $help] pub static $constant: Metric = Metric { name: $name, kind: Kind::$kind, help: $help };)+
        $(#[$about])*
        pub static $table: &[&Metric] = &[$(&$constant),+];
    };
}

metrics! {
    /// Of a server as a whole.
    SERVER:
    OPERATIONS = "dkc_operations_total", Counter, "Requests taken, by kind.";
    WRITE_LATENCY = "dkc_write_seconds", Histogram, "From the proposal of a write by its tablet's leader to its answer.";
    CONNECTIONS = "dkc_connections", Gauge, "Connections at the node port.";
    MEMORY = "dkc_memory_bytes", Gauge, "Resident memory.";
    UPTIME = "dkc_uptime_seconds", Gauge, "Time since the start.";
    RING_VERSION = "dkc_ring_version", Gauge, "Version of the ring map known here.";
    MEMORY_MAX = "dkc_memory_max_bytes", Gauge, "What memory_bytes allows.";
    STATE_DISK = "dkc_state_disk_bytes", Gauge, "Table files of the state.";
    STATE_GROWING = "dkc_state_growing_bytes", Gauge, "Rows applied since the last freeze.";
    STATE_FROZEN = "dkc_state_frozen_bytes", Gauge, "Rows that are being ingested.";
    STATE_WAITS = "dkc_state_waits_total", Counter, "Times that applying waited for an ingestion.";
    STATE_WAITED = "dkc_state_waited_seconds_total", Counter, "How long applying waited in all.";
    LOG = "dkc_log_bytes", Gauge, "Size of the Raft log's segments.";
    LOG_LIVE = "dkc_log_live_bytes", Gauge, "Bytes of the log that some group needs.";
    LOG_SYNCS = "dkc_log_syncs_total", Counter, "Writes of the log, each with one fdatasync.";
    LOG_ENTRIES = "dkc_log_entries_total", Counter, "Entries appended.";
    LOG_TROUBLE = "dkc_log_trouble", Gauge, "1 while the log cannot write and nothing is acknowledged.";
    GROUPS_HIBERNATING = "dkc_groups_hibernating", Gauge, "Raft groups without running timers, because they are idle.";
}

metrics! {
    /// Of a slave. Besides these, each counter of `stats` is told as `dkc_slave_NAME_total`.
    SLAVE:
    SLAVE_CONNECTIONS = "dkc_slave_connections", Gauge, "Open connections of applications.";
    SLAVE_MEMORY = "dkc_slave_memory_bytes", Gauge, "Resident memory.";
    SLAVE_MEMORY_FREE = "dkc_slave_memory_free_bytes", Gauge, "What connections may still take.";
    SLAVE_SERVER_UP = "dkc_slave_server_up", Gauge, "1 while connected to the server.";
    SLAVE_BATCH_LATENCY = "dkc_slave_batch_seconds", Histogram, "From the last byte of what an application has sent together to the last answer.";
}

metrics! {
    /// Of each Raft group of a server, with the label `group`.
    GROUP:
    RAFT_TERM = "dkc_raft_term", Gauge, "Raft term.";
    RAFT_IS_LEADER = "dkc_raft_is_leader", Gauge, "1 on the leader.";
    RAFT_LEADER = "dkc_raft_leader", Gauge, "Node id of the leader, 0 = unknown.";
    RAFT_LAST_INDEX = "dkc_raft_last_index", Gauge, "Last entry in the log.";
    RAFT_APPLIED_INDEX = "dkc_raft_applied_index", Gauge, "Last entry applied.";
    RAFT_PURGED_INDEX = "dkc_raft_purged_index", Gauge, "Last entry purged.";
}
