//! The control socket's words. A line that begins with `{` is a structured request and gets one JSON line; any
//! other line is a CHMPX word (`VERSION`, `SELFSTATUS`, …) and gets text, after which the connection is closed.

use serde::{Deserialize, Serialize};

use crate::ids::{
    ClusterId, ClusterName, MemberNo, Namespace, NodeAddress, NodeId, NodeUuid, RingVersion, TabletId,
};
use crate::meta::{MemberChange, Merge, Operation, OperationId};
use crate::ring::{Node, RingMap};

mod blob;
#[cfg(test)]
mod tests;

pub use crate::meta::MetaView;
pub use blob::BadBase64;

/// Longest request line.
pub const CONTROL_LINE_MAX_BYTES: usize = 96 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum ControlRequest {
    /// This node, from its own point of view. Never asks another node.
    Status,
    /// The ring map this node knows.
    Ring,
    /// Found the cluster from the configured founders. Idempotent; answered when every tablet has a leader.
    Found,
    /// Hand all leadership away, because this node will stop.
    PrepareStop,
    /// One key-value operation, routed to its leader. Bytes are given as text where they are UTF-8, else as base64.
    Data { namespace: Namespace, operation: DataOperation },
    /// Prometheus text.
    Metrics,
    /// A CHMPX word with its parameters; answers `ControlReply::Text`.
    Word { line: String },
    /// Members, merge and operation as this node knows them. Never asks another node.
    Meta,
    /// Takes the lock for a membership operation, for the whole cluster. Idempotent for the same id; refused with
    /// the name of who holds it.
    BeginOperation { id: OperationId, holder: String, what: String },
    /// Gives it back. Idempotent.
    EndOperation { id: OperationId },
    /// One change of members. While an operation runs, only changes that name it are carried out.
    Change { operation: Option<OperationId>, change: MemberChange },
}

/// A key or value in JSON: plain text where it is UTF-8, else base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blob {
    Text(String),
    Base64(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataOperation {
    Get {
        key: Blob,
    },
    Set {
        key: Blob,
        value: Blob,
        flags: u32,
        expires_in_ms: Option<u64>,
        mode: DataMode,
    },
    Remove {
        key: Blob,
    },
    Increment {
        key: Blob,
        by: u64,
        is_decrement: bool,
    },
    Touch {
        key: Blob,
        expires_in_ms: Option<u64>,
    },
    /// Keys in tablet order; `cursor` is what the last answer's `next` said.
    Keys {
        prefix: Option<Blob>,
        cursor: Option<String>,
        limit: u32,
    },
    Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataMode {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Cas(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlReply {
    Status(Box<NodeStatus>),
    Ring(Option<RingMap>),
    Ok,
    Data(DataReply),
    Text(String),
    /// `None` until the cluster is founded as far as this node knows.
    Meta(Option<Box<MetaView>>),
    /// A node was registered, or had been before.
    Registered {
        node_id: NodeId,
    },
    /// Refused or failed; nothing was changed unless `is_outcome_unknown`.
    Error {
        message: String,
        is_outcome_unknown: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataReply {
    Value { value: Blob, flags: u32, version: u64, expires_at_ms: Option<u64>, modified_at_ms: u64 },
    NotFound,
    Stored { version: u64 },
    NotStored,
    Exists,
    Removed,
    Touched,
    Number { value: u64 },
    NotANumber,
    TooLarge,
    Keys { keys: Vec<Blob>, next: Option<String> },
    Count { records: u64, bytes: u64 },
}

/// A replica on its way from this node to another, while a merge runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub tablet: TabletId,
    pub to: NodeId,
    pub bytes_sent: u64,
    /// An estimate; what is written meanwhile is not in it.
    pub bytes_total: u64,
    /// Since the transfer began, as measured here.
    pub bytes_per_s: u64,
}

/// What a node says of itself and of what it sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub release: String,
    pub cluster: ClusterName,
    pub cluster_id: ClusterId,
    pub node_uuid: NodeUuid,
    pub pid: u32,
    pub uptime_s: u64,
    pub role: RoleStatus,
    pub ring_version: RingVersion,
    /// Resident memory of the process.
    pub memory_bytes: u64,
    /// What it may use; 0 where nothing is configured for the whole process.
    #[serde(default)]
    pub memory_max_bytes: u64,
    pub connections: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one, inside the box of `ControlReply::Status`")]
pub enum RoleStatus {
    Server(ServerStatus),
    Slave(SlaveStatus),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub number: MemberNo,
    pub node_id: NodeId,
    pub address: NodeAddress,
    /// True once the cluster has been founded as far as this node knows.
    pub is_founded: bool,
    pub meta_leader: Option<NodeId>,
    /// Every server as this node sees it.
    pub members: Vec<MemberView>,
    /// The replicas this node holds.
    pub tablets: Vec<TabletStatus>,
    /// Tablets (all of them) that have no leader as far as this node can tell.
    pub tablets_without_leader: Vec<TabletId>,
    /// Further server failures that every tablet would survive.
    pub tolerates: u32,
    pub disk_free_bytes: u64,
    /// The log stopped acknowledging (full disk): why.
    pub trouble: Option<String>,
    /// The merge that runs, as far as this node knows.
    #[serde(default)]
    pub merge: Option<Merge>,
    /// The membership operation that runs: who does what.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// Replicas that this node is sending.
    #[serde(default)]
    pub transfers: Vec<Transfer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    pub node: Node,
    /// Answered within the last few heartbeats (itself: always).
    pub is_up: bool,
    pub leaders: u32,
    pub replicas: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletStatus {
    pub tablet: TabletId,
    pub leader: Option<NodeId>,
    pub term: u64,
    pub last_index: u64,
    pub applied_index: u64,
    pub records: u64,
    /// Keys and values of the records that are counted in `records`.
    #[serde(default)]
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlaveStatus {
    pub id: crate::ids::SlaveId,
    /// `ADDRESS (protocol)` of each listener that is open.
    pub listeners: Vec<String>,
    /// Each server and whether a connection to it stands.
    pub servers: Vec<ServerLink>,
    pub operations: u64,
    pub client_connections: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLink {
    pub number: MemberNo,
    pub address: NodeAddress,
    pub is_connected: bool,
    pub error: Option<String>,
}
