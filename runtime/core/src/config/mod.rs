//! The configuration file of one node, `node.yaml`: rendered by the shell from the inventory, read by the daemon.
//! It is complete (every parameter with its value) and holds no secret.

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, ClusterName, MemberNo, Namespace, NodeAddress, NodeId, NodeUuid, SlaveId};

mod parameters;
mod parse;
#[cfg(test)]
mod tests;

pub use parameters::{Change, PARAMETERS, Parameter, Range};
pub use parse::BadConfig;

/// The version of the file's format.
pub const NODE_CONFIG_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    pub version: u32,
    pub cluster: ClusterName,
    pub cluster_id: ClusterId,
    pub node_uuid: NodeUuid,
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub role: Role,
    /// The servers of the cluster: for a server the founding members, for a slave where to begin.
    pub servers: Vec<ServerEntry>,
    pub parameters: Parameters,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Role {
    Server(ServerRole),
    Slave(SlaveRole),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRole {
    pub number: MemberNo,
    pub node_id: NodeId,
    pub listen: NodeAddress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The shape of the ring, used once: when the cluster is founded.
    pub tablets: u16,
    pub replicas: u32,
    /// True for a member that the cluster was registered with; false for one that joins later.
    pub is_founder: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlaveRole {
    pub id: SlaveId,
    pub pairs: Vec<Pair>,
}

/// One listener of a slave for applications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// `ADDRESS:PORT` on loopback, or the absolute path of a Unix socket.
    pub listen: String,
    pub protocol: Protocol,
    pub namespace: Namespace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Memcache,
    Resp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerEntry {
    pub number: MemberNo,
    pub node_id: NodeId,
    pub node_uuid: NodeUuid,
    pub address: NodeAddress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// How reads are made linearizable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadPolicy {
    /// The leader's lease: fast, assumes that clocks run at nearly the same rate.
    Lease,
    /// A round of heartbeats for every batch of reads.
    Index,
}

/// Every parameter of a node. `Default` is the documented default; units stand last in the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    pub heartbeat_ms: u64,
    pub election_timeout_min_ms: u64,
    pub election_timeout_max_ms: u64,
    pub read: ReadPolicy,
    /// How long a slave tries before it tells the application that it failed.
    pub request_deadline_ms: u64,
    pub value_max_bytes: u64,
    pub connections_max: u32,
    /// What all connections of applications of one slave may use together.
    pub slave_memory_bytes: u64,
    /// How long an application may say nothing.
    pub client_idle_timeout_ms: u64,
    /// How long an application may take over the rest of a request, or over its answers.
    pub client_stall_timeout_ms: u64,
    /// Writes that may wait in one tablet's queue before `Busy` is answered.
    pub tablet_queue_max: u32,
    pub log_segment_bytes: u64,
    /// What a server may use: rows that are not ingested yet, caches and queues are parts of it.
    pub memory_bytes: u64,
    /// Longest time that applied rows stand in memory and in the log only.
    pub persist_interval_ms: u64,
    /// Whether MERGE and COMPMERGE follow by themselves after SERVICEIN and SERVICEOUT.
    pub automerge: Switch,
    /// Most bytes in a second that this node sends to replicas that catch up by snapshot.
    pub merge_bytes_per_s: u64,
    /// Tablets that catch up at once on any one node.
    pub merge_incoming_max: u32,
    pub log_level: String,
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            heartbeat_ms: 75,
            election_timeout_min_ms: 250,
            election_timeout_max_ms: 450,
            read: ReadPolicy::Lease,
            request_deadline_ms: 10_000,
            value_max_bytes: crate::kv::VALUE_MAX_BYTES_DEFAULT as u64,
            connections_max: 4096,
            slave_memory_bytes: 256 * 1024 * 1024,
            client_idle_timeout_ms: 24 * 3_600_000,
            client_stall_timeout_ms: 60_000,
            tablet_queue_max: 16_384,
            log_segment_bytes: 64 * 1024 * 1024,
            memory_bytes: 256 * 1024 * 1024,
            persist_interval_ms: 60_000,
            automerge: Switch::On,
            merge_bytes_per_s: 32 * 1024 * 1024,
            merge_incoming_max: 2,
            log_level: "info".into(),
            log_format: LogFormat::Text,
        }
    }
}

/// Where things of a node lie, relative to its directory `<root>/<cluster>-<no>` (`-slave<id>` for a slave).
/// `<root>/bin/<first 16 hex digits of sha256>/dkc` are the programs; `<node dir>/dkcd` links to the one in use.
pub mod layout {
    /// In the root: says that the directory is ours. Nothing without a marker is ever removed.
    pub const ROOT_MARKER: &str = ".dkc-root";
    /// In a node's directory: one line with the node's UUID.
    pub const NODE_MARKER: &str = ".dkc-node";
    pub const BIN_DIR: &str = "bin";
    pub const PROGRAM: &str = "dkc";
    pub const PROGRAM_LINK: &str = "dkcd";
    pub const CONFIG: &str = "node.yaml";
    pub const TLS_DIR: &str = "tls";
    /// Trust anchors of the cluster (PEM, one or two).
    pub const TLS_CA: &str = "tls/ca.pem";
    pub const TLS_CERT: &str = "tls/node.pem";
    pub const TLS_KEY: &str = "tls/node.key";
    pub const DATA_DIR: &str = "data";
    /// Written by `dkcd init` with the node's UUID: a data directory without it is never started on.
    pub const IDENTITY: &str = "data/identity";
    pub const RAFT_LOG_DIR: &str = "data/log";
    pub const STATE_DIR: &str = "data/state";
    /// Says that the cluster has removed this node, and who said so: a daemon that finds it does not start.
    pub const REMOVED: &str = "REMOVED";
    pub const RUN_DIR: &str = "run";
    pub const CONTROL_SOCKET: &str = "run/control.sock";
    /// Of the supervisor, where there is no systemd.
    pub const PID_FILE: &str = "run/dkcd.pid";
    /// Held by the daemon while it runs; holds its process number.
    pub const DAEMON_LOCK: &str = "run/daemon.lock";
    /// Why the supervisor gave up restarting the daemon; absent while all is well.
    pub const GAVE_UP: &str = "run/gave-up";
    pub const LOG_DIR: &str = "log";
    pub const LOG_FILE: &str = "log/dkcd.log";
    /// One file for each finished step of an operation: `receipts/<operation>-<step>`.
    pub const RECEIPTS_DIR: &str = "receipts";
}
