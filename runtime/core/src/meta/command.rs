//! What may be asked of the meta group and what it answers. The order of the variants is the format of the log:
//! new ones go to the end.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::ServerEntry;
use crate::ids::{ClusterId, MemberNo, NodeAddress, NodeId, NodeUuid, RingVersion, TabletId};

/// The id of a membership operation, chosen by who begins it, the same when they retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub Uuid);

/// A member that the cluster begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    pub node_id: NodeId,
    pub uuid: NodeUuid,
    pub number: MemberNo,
    pub address: NodeAddress,
    pub zone: Option<String>,
}
impl From<&ServerEntry> for Founder {
    fn from(entry: &ServerEntry) -> Self {
        Founder {
            node_id: entry.node_id,
            uuid: entry.node_uuid,
            number: entry.number,
            address: entry.address.clone(),
            zone: entry.zone.clone(),
        }
    }
}

/// One entry of the meta group's log. What the driver says of a move names the merge, so that a late word about a
/// merge that was aborted cannot count for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaCommand {
    /// Makes the ring map. Idempotent for the same cluster and the same founders, in any order.
    Found {
        cluster: ClusterId,
        nodes: Vec<Founder>,
        tablets: u16,
        replicas: u32,
    },
    /// The tablet's group has been initialised. Idempotent.
    TabletFounded {
        tablet: TabletId,
    },
    /// Takes the lock for a membership operation. Idempotent for the same id.
    BeginOperation {
        id: OperationId,
        holder: String,
        what: String,
    },
    /// Gives the lock back. Idempotent: an operation that does not run has ended.
    EndOperation {
        id: OperationId,
    },
    /// A change of members. While an operation runs, only changes that name it are carried out.
    Change {
        operation: Option<OperationId>,
        change: MemberChange,
    },
    /// Driver: the new replicas of a tablet have been added to its group as learners. Idempotent.
    MoveStarted {
        merge: RingVersion,
        tablet: TabletId,
    },
    /// Driver: they have caught up. Idempotent.
    CaughtUp {
        merge: RingVersion,
        tablet: TabletId,
    },
    /// Driver, after COMPMERGE: the tablet's group has its new voters. Idempotent.
    MoveDone {
        merge: RingVersion,
        tablet: TabletId,
    },
    SetAutomerge {
        is_on: bool,
    },
    /// Driver, before it touches a group's membership: changes nothing, and is refused when that move is no longer
    /// wanted. A node whose view of the meta group is behind learns it here.
    ConfirmMove {
        merge: RingVersion,
        tablet: TabletId,
    },
    /// A node is about to drop a replica that its ring map does not give it: refused when it is wanted after all.
    /// From then on the replica is not given back before `ReplicaDropped`.
    LeaveReplica {
        tablet: TabletId,
        node: NodeId,
    },
    /// A node has dropped the replica that it had to give up at that ring version. Idempotent.
    ReplicaDropped {
        tablet: TabletId,
        node: NodeId,
        since: RingVersion,
    },
}

/// What changes members: CHMPX's control words, registration and removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// A new node joins as `[SERVICE OUT]`, under an id that was never given out. Idempotent for the same UUID.
    RegisterNode {
        node_id: NodeId,
        uuid: NodeUuid,
        number: MemberNo,
        address: NodeAddress,
        zone: Option<String>,
    },
    ServiceIn {
        node: NodeId,
    },
    ServiceOut {
        node: NodeId,
    },
    Merge,
    CompleteMerge,
    AbortMerge,
    SuspendMerge,
    NoSuspendMerge,
    /// Takes a `[SERVICE OUT]` node off the registry; its UUID is refused for ever. Idempotent.
    RemoveNode {
        node: NodeId,
    },
}

impl MemberChange {
    /// The operator's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            MemberChange::RegisterNode { .. } => "registering a node",
            MemberChange::ServiceIn { .. } => "SERVICEIN",
            MemberChange::ServiceOut { .. } => "SERVICEOUT",
            MemberChange::Merge => "MERGE",
            MemberChange::CompleteMerge => "COMPMERGE",
            MemberChange::AbortMerge => "ABORTMERGE",
            MemberChange::SuspendMerge => "SUSPENDMERGE",
            MemberChange::NoSuspendMerge => "NOSUSPENDMERGE",
            MemberChange::RemoveNode { .. } => "removing a node",
        }
    }
}

/// What an applied command came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaReply {
    /// Carried out, or had been carried out before.
    Done,
    Registered {
        node_id: NodeId,
    },
    Refused(Refused),
}

/// Why nothing was changed. The words are for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    #[error("the cluster is not founded yet; `dkc start cluster` founds it")]
    NotFounded,
    #[error("the cluster was already founded as {cluster} with other members or another shape")]
    FoundedOtherwise { cluster: ClusterId },
    #[error("the cluster cannot be founded: {why}")]
    BadFounding { why: String },
    #[error("{holder} is doing '{what}' (operation {}); wait for it, or resume or abort it first", .id.0)]
    Held { id: OperationId, holder: String, what: String },
    #[error("operation {} does not run (any more); begin one first", .0.0)]
    NoSuchOperation(OperationId),
    #[error("no member has node id {0}")]
    NoSuchNode(NodeId),
    #[error("there is no tablet {0}")]
    NoSuchTablet(TabletId),
    #[error(
        "node {uuid} was removed from this cluster (it was No.{number}) and can never return; give the host a new data directory"
    )]
    RemovedForEver { uuid: NodeUuid, number: MemberNo },
    #[error("{what} is already taken by No.{number}")]
    Taken { what: String, number: MemberNo },
    #[error("node id {node_id} was given out before; the next one is {next}")]
    NodeIdUsed { node_id: NodeId, next: NodeId },
    /// The command does not fit the state: which state it is, and which command comes next.
    #[error("{word} is not possible: {state}; next: {next}")]
    Illegal { word: String, state: String, next: String },
}
