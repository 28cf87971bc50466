//! The control socket's words. A line that begins with `{` is a structured request and gets one JSON line; any
//! other line is a CHMPX word (`VERSION`, `SELFSTATUS`, …) and gets text, after which the connection is closed.

use serde::{Deserialize, Serialize};

use crate::ids::{
    ClusterId, ClusterName, MemberNo, Namespace, NodeAddress, NodeId, NodeUuid, RingVersion, TabletId,
};
use crate::kv::Reply;
use crate::meta::{MemberChange, Merge, Operation, OperationId};
use crate::ring::{Node, RingMap};

mod blob;
mod data;
#[cfg(test)]
mod tests;

pub use crate::meta::MetaView;
pub use blob::BadBase64;
pub use data::DataRequest;

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
    /// Read `node.yaml` again and take over the parameters that can change in a running node. Refused, and nothing is
    /// changed, when the file is bad or when something else in it differs from what is in use.
    Reload,
    /// Take over changed certificates now instead of within seconds. Refused when they cannot be used.
    ReloadCertificates,
    /// One key-value operation, routed to its leader. Bytes are given as text where they are UTF-8, else as base64.
    Data(DataRequest),
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
pub enum ControlReply {
    Status(Box<NodeStatus>),
    Ring(Option<RingMap>),
    Ok,
    /// The parameters whose values were taken over; none when all were in use already.
    Reloaded {
        /// Their names.
        changed: Vec<String>,
    },
    /// What a key-value operation came to.
    #[serde(with = "data")]
    Data(Reply),
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
    pub connections: u32,
    /// The text of the configuration in use: that of the last start, with what was reloaded since. Text, so that another
    /// release with other parameters can be asked for its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_in_use: Option<String>,
    /// The certificate that new connections use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
}

/// The certificate that a node uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// In hex.
    pub serial: String,
    /// The server that signed it; `None` for the cluster's CA.
    pub issuer: Option<NodeUuid>,
    /// Seconds since the Unix epoch.
    pub from_s: i64,
    pub until_s: i64,
    /// What a slave may use; empty for servers.
    pub namespaces: Vec<Namespace>,
    /// Why its renewal, which is due, has failed.
    pub trouble: Option<String>,
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
