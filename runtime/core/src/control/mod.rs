//! The control socket's words. A line that begins with `{` is a structured request and gets one JSON line; any
//! other line is a CHMPX word (`VERSION`, `SELFSTATUS`, …) and gets text, after which the connection is closed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{
    ClusterId, ClusterName, MemberNo, Namespace, NodeAddress, NodeId, NodeUuid, RingVersion, SlaveId,
    TabletId,
};
use crate::kv::Reply;
use crate::meta::{
    EnrolledSlave, MemberChange, MembershipOperation, Merge, NewToken, OperationId, TokenView,
};
use crate::ring::{Node, RingMap};
use crate::salvage::{SalvagedServer, SlotRange};
use crate::token::TokenId;
use crate::versions::{DiskFormats, ProgramVersions};

mod answer;
mod blob;
mod data;
mod exported;
mod latency;
#[cfg(test)]
mod tests;

pub use crate::meta::MetaView;
pub use blob::BadBase64;
pub use data::DataRequest;
pub use exported::{ExportedContent, ExportedRecord};
pub use latency::{LATENCY_BOUNDS_US, Latency};

/// Longest request line.
pub const CONTROL_LINE_MAX_BYTES: usize = 96 * 1024 * 1024;

/// One line of JSON on the control socket; answered with one line, a `ControlReply`.
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
    /// A page of keys with all that they hold.
    Export {
        /// Whose keys.
        namespace: Namespace,
        /// Only keys that begin with this.
        prefix: Blob,
        /// Where to go on: what the last page's `next` said.
        cursor: Option<String>,
    },
    /// Writes records of an export. Some may have been written when it fails; to do it again is harmless.
    Import {
        /// Into which namespace.
        namespace: Namespace,
        /// In the order of the export.
        records: Vec<ExportedRecord>,
        /// A key that exists stays as it is; otherwise it is replaced.
        keeps_existing: bool,
    },
    /// Takes the state of all tablets of the cluster at one moment; the servers keep it while it is read.
    Cut {
        /// Random, below 2^56: the beginning of the cut's id.
        id: u64,
    },
    /// A page of a tablet's records, of a cut that this node keeps.
    CutPage {
        /// Which cut.
        id: u64,
        /// Which tablet.
        tablet: TabletId,
        /// Where to go on: what the last page's `next` said.
        cursor: Option<String>,
    },
    /// Nobody reads the cut any more. Idempotent.
    EndCut {
        /// Which cut.
        id: u64,
    },
    /// What this stopped server has; only a process that reads the directory of one answers (`dkcd salvage`).
    Salvage,
    /// A page of what such a process reads, of these slots of a tablet.
    SalvagePage {
        /// Which tablet.
        tablet: TabletId,
        /// Records of other slots are left out.
        slots: Vec<SlotRange>,
        /// Where to go on: what the last page's `next` said.
        cursor: Option<String>,
    },
    /// Such a process ends.
    EndSalvage,
    /// Prometheus text.
    Metrics,
    /// A CHMPX word with its parameters; answers `ControlReply::Text`.
    Word {
        /// As it was typed; case does not matter.
        line: String,
    },
    /// Members, merge and operation as this node knows them. Never asks another node.
    Meta,
    /// Takes the lock for a membership operation, for the whole cluster. Idempotent for the same id; refused with
    /// the name of who holds it.
    BeginOperation {
        /// Chosen by the caller, so that a retry is the same operation.
        id: OperationId,
        /// For the refusal that others get, as in `ann@admin1`.
        holder: String,
        /// In the operator's words.
        what: String,
    },
    /// Gives it back. Idempotent.
    EndOperation {
        /// The id it was begun with.
        id: OperationId,
    },
    /// The identity of a slave is of no use from now on, at any server. Idempotent.
    RevokeSlave {
        /// The identity.
        uuid: NodeUuid,
        /// The slave's id, for the refusal that it gets.
        id: SlaveId,
        /// Who revokes it, as in `ann@admin1`.
        by: String,
    },
    /// From now on a slave can enrol with this token. Idempotent for the same token.
    IssueToken {
        /// Without its secret.
        token: NewToken,
    },
    /// A token enrols nobody any more; slaves that it has enrolled stay. Idempotent.
    RevokeToken {
        /// Which one.
        id: TokenId,
        /// Who revokes it, as in `ann@admin1`.
        by: String,
    },
    /// Tokens and the slaves that they enrolled, as this node knows them, and the slaves that are connected to it.
    Tokens,
    /// The program that this node runs, which machines with a token may fetch at the node port.
    Program,
    /// One change of members. While an operation runs, only changes that name it are carried out.
    Change {
        /// The operation that the change belongs to; `None` is refused while one runs.
        operation: Option<OperationId>,
        /// What is changed.
        change: MemberChange,
    },
}

/// A key or value in JSON: plain text where it is UTF-8, else base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blob {
    /// Bytes that are UTF-8.
    Text(String),
    /// RFC 4648, standard alphabet, padded.
    Base64(String),
}

/// The answer to a `ControlRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlReply {
    /// To `Status`. Boxed, because it is far larger than the others.
    Status(Box<NodeStatus>),
    /// To `Ring`; `None` until this node knows one.
    Ring(Option<RingMap>),
    /// Carried out; nothing else to say.
    Ok,
    /// The parameters whose values were taken over; none when all were in use already.
    Reloaded {
        /// Their names.
        changed: Vec<String>,
    },
    /// The outcome of a key-value operation.
    #[serde(with = "data")]
    Data(Reply),
    /// A page of an export.
    Exported {
        /// May be none although there are more.
        records: Vec<ExportedRecord>,
        /// Give this to the next request; `None` after the last page.
        next: Option<String>,
    },
    /// To `Cut`.
    Cut {
        /// For its pages.
        id: u64,
        /// Every tablet once.
        parts: Vec<CutPart>,
        /// Of the ring map.
        ring_version: RingVersion,
        /// By the clock of the server that took it; milliseconds since the Unix epoch.
        taken_at_ms: u64,
    },
    /// To `CutPage` and `SalvagePage`; `None` if this node does not keep that cut of that tablet, or no longer does.
    CutPage(Option<CutPage>),
    /// To `Salvage`.
    Salvaged(Box<SalvagedServer>),
    /// All records of an import are written, but for those of keys that exist and were to stay.
    Imported {
        /// The keys that stayed as they were.
        kept: Vec<Blob>,
    },
    /// To `Word` and `Metrics`.
    Text(String),
    /// `None` until the cluster is founded as far as this node knows.
    Meta(Option<Box<MetaView>>),
    /// To `Tokens`.
    Tokens(Box<TokensView>),
    /// To `Program`.
    Program(ProgramView),
    /// A node was registered, or had been before.
    Registered {
        /// The id it has; on a retry the one of the first time.
        node_id: NodeId,
    },
    /// Refused or failed; nothing was changed unless `is_outcome_unknown`.
    Error {
        /// For people.
        message: String,
        /// The change may or may not have happened: observe before anything is done again.
        is_outcome_unknown: bool,
    },
}

/// Tokens and slaves, as one server knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensView {
    /// Living ones and dead ones that are remembered.
    pub tokens: Vec<TokenView>,
    /// Slaves that a token enrolled, by identity.
    pub enrolled: BTreeMap<NodeUuid, EnrolledSlave>,
    /// Where slaves of any origin are connected from, by identity.
    #[serde(default)]
    pub connected: BTreeMap<NodeUuid, String>,
}

/// An executable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramView {
    /// SHA-256 in hex.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
    /// As `uname -m` prints it.
    pub architecture: String,
}

/// Who keeps a tablet of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutPart {
    /// The tablet.
    pub tablet: TabletId,
    /// Its leader when the cut was taken.
    pub node: NodeId,
}

/// Records of one tablet and one namespace, as they were when a cut was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutPage {
    /// Of all these records.
    pub namespace: Namespace,
    /// May be none although there are more.
    pub records: Vec<ExportedRecord>,
    /// Give this to the next request; `None` after the last page.
    pub next: Option<String>,
}

/// A replica on its way from this node to another, while a merge runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The tablet whose state is sent.
    pub tablet: TabletId,
    /// The receiver, a learner.
    pub to: NodeId,
    /// Of the snapshot, since this transfer began.
    pub bytes_sent: u64,
    /// An estimate; what is written meanwhile is not in it.
    pub bytes_total: u64,
    /// Since the transfer began, as measured here.
    pub bytes_per_s: u64,
}

/// What a node says of itself and of what it sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Version of the program, as in `dkc --version`.
    pub release: String,
    /// Name in `node.yaml`.
    pub cluster: ClusterName,
    /// Identity of the cluster, in certificates and every Hello.
    pub cluster_id: ClusterId,
    /// Identity of the data directory.
    pub node_uuid: NodeUuid,
    /// Process number on its host.
    pub pid: u32,
    /// Since the process started.
    pub uptime_s: u64,
    /// What only a server or only a slave can say.
    pub role: RoleStatus,
    /// Of the newest ring map this node knows; 0 before it knows one.
    pub ring_version: RingVersion,
    /// Resident memory of the process.
    pub memory_bytes: u64,
    /// What it may use; 0 where nothing is configured for the whole process.
    #[serde(default)]
    pub memory_max_bytes: u64,
    /// Open connections at the node port, or of applications to a slave.
    pub connections: u32,
    /// The text of the configuration in use: that of the last start, with what was reloaded since. Text, so that another
    /// release with other parameters can be asked for its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_in_use: Option<String>,
    /// The certificate that new connections use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// `None` in the words of a release before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<RunningProgram>,
}

/// The program that a node runs, which is not what its link names after a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProgram {
    /// The first 16 hex digits of its SHA-256, by the directory that it lies in; `None` for one that was not deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What it speaks and reads.
    pub versions: ProgramVersions,
    /// What is on a server's disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskFormats>,
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
    /// Seconds since the Unix epoch.
    pub until_s: i64,
    /// What a slave may use; empty for servers.
    pub namespaces: Vec<Namespace>,
    /// Why its renewal, which is due, has failed.
    pub trouble: Option<String>,
}

/// The part of a status that depends on the role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one, inside the box of `ControlReply::Status`")]
pub enum RoleStatus {
    /// Of a node that holds replicas.
    Server(ServerStatus),
    /// Of a node beside applications.
    Slave(SlaveStatus),
}

/// What a server sees of the ring. Everything but its own replicas may lag behind the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// `No.` of the inventory.
    pub number: MemberNo,
    /// Its Raft id.
    pub node_id: NodeId,
    /// Its node port.
    pub address: NodeAddress,
    /// True once the cluster has been founded as far as this node knows.
    pub is_founded: bool,
    /// `None` while this node knows of no leader of the meta group.
    pub meta_leader: Option<NodeId>,
    /// Every server as this node sees it.
    pub members: Vec<MemberView>,
    /// The replicas this node holds.
    pub tablets: Vec<TabletStatus>,
    /// Tablets (all of them) that have no leader as far as this node can tell.
    pub tablets_without_leader: Vec<TabletId>,
    /// Further server failures that every tablet would survive.
    pub tolerates: u32,
    /// On the file system of the data directory, for the service's user.
    pub disk_free_bytes: u64,
    /// The log stopped acknowledging (full disk): why.
    pub trouble: Option<String>,
    /// The merge that runs, as far as this node knows.
    #[serde(default)]
    pub merge: Option<Merge>,
    /// The membership operation that runs: who does what.
    #[serde(default)]
    pub operation: Option<MembershipOperation>,
    /// Replicas that this node is sending.
    #[serde(default)]
    pub transfers: Vec<Transfer>,
    /// What it had to do since the process started.
    #[serde(default)]
    pub served: Served,
}

/// What a server had to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Read requests that were taken.
    pub reads: u64,
    /// Write requests that were taken.
    pub writes: u64,
    /// From the proposal of a write by this node as its leader to its answer.
    pub write_latency: Latency,
}

/// A member and what this node sees of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// As in the ring map.
    pub node: Node,
    /// Answered within the last few heartbeats (itself: always).
    pub is_up: bool,
    /// Tablets that it leads, as far as this node can tell.
    pub leaders: u32,
    /// Replicas that the ring map gives it.
    pub replicas: u32,
}

/// A replica on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletStatus {
    /// Which tablet.
    pub tablet: TabletId,
    /// `None` while this node knows of no leader.
    pub leader: Option<NodeId>,
    /// Raft term of the replica.
    pub term: u64,
    /// Last entry in this node's log, committed or not.
    pub last_index: u64,
    /// Last entry that changed the rows.
    pub applied_index: u64,
    /// Live records, and expired ones that are not removed yet.
    pub records: u64,
    /// Keys and values of the records that are counted in `records`.
    #[serde(default)]
    pub bytes: u64,
    /// Requests that this node was given for it since the replica was opened.
    #[serde(default)]
    pub operations: u64,
}

/// What a slave says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlaveStatus {
    /// Unique in the inventory of the cluster.
    pub id: crate::ids::SlaveId,
    /// `ADDRESS (protocol)` of each listener that is open.
    pub listeners: Vec<String>,
    /// Each server and whether a connection to it is open.
    pub servers: Vec<ServerLink>,
    /// Operations answered to applications since the process started.
    pub operations: u64,
    /// Open connections of applications, all listeners together.
    pub client_connections: u32,
    /// From the last byte of what an application has sent together to the last answer.
    #[serde(default)]
    pub latency: Latency,
}

/// A slave's connection to one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLink {
    /// `No.` of the server.
    pub number: MemberNo,
    /// Where it connects to.
    pub address: NodeAddress,
    /// The handshake is done and the connection is open.
    pub is_connected: bool,
    /// Why the last attempt failed; `None` after one that did not.
    pub error: Option<String>,
}
