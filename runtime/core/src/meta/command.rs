//! What may be asked of the meta group and what it answers. The order of the variants is the format of the log:
//! new ones go to the end.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::ServerEntry;
use crate::ids::{
    ClusterId, MemberNo, Namespace, NodeAddress, NodeId, NodeUuid, RingVersion, SlaveId, TabletId,
};
use crate::token::{SecretHash, TokenId};

use super::tokens::NewToken;

/// The id of a membership operation, chosen by who begins it, the same when they retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub Uuid);

/// A member that the cluster begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    /// Assigned at registration, never reused.
    pub node_id: NodeId,
    /// Identity of its data directory.
    pub uuid: NodeUuid,
    /// Unique among the members of today.
    pub number: MemberNo,
    /// Its node port; unique among the members of today.
    pub address: NodeAddress,
    /// Failure domain for placement.
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

/// One entry of the meta group's log. Reports of the merge driver name the merge, so that a late one about an aborted
/// merge cannot count for the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaCommand {
    /// Makes the ring map. Idempotent for the same cluster and the same founders, in any order.
    Found {
        /// Minted by the shell at `register cluster`.
        cluster: ClusterId,
        /// At least one, all in service from the beginning.
        nodes: Vec<Founder>,
        /// 1 to 16,384; can never change.
        tablets: u16,
        /// 1 to `REPLICAS_MAX`; with fewer members each holds everything.
        replicas: u32,
    },
    /// The tablet's group has been initialised. Idempotent.
    TabletFounded {
        /// Whose group its first leader has initialised.
        tablet: TabletId,
    },
    /// Takes the lock for a membership operation. Idempotent for the same id.
    BeginOperation {
        /// Minted by the caller; a retry uses the same one.
        id: OperationId,
        /// For the refusal that others get, as in `ann@admin1`.
        holder: String,
        /// In the operator's words.
        what: String,
    },
    /// Gives the lock back. Idempotent: an operation that does not run has ended.
    EndOperation {
        /// The id it was begun with.
        id: OperationId,
    },
    /// A change of members. While an operation runs, only changes that name it are carried out.
    Change {
        /// The operation that the change belongs to; `None` is refused while one runs.
        operation: Option<OperationId>,
        /// What is changed.
        change: MemberChange,
    },
    /// Driver: the new replicas of a tablet have been added to its group as learners. Idempotent.
    MoveStarted {
        /// `Merge::id` of the merge that the driver carries out.
        merge: RingVersion,
        /// The tablet that moves.
        tablet: TabletId,
    },
    /// Driver: they have caught up. Idempotent.
    CaughtUp {
        /// `Merge::id` of the merge that the driver carries out.
        merge: RingVersion,
        /// The tablet that moves.
        tablet: TabletId,
    },
    /// Driver, after COMPMERGE: the tablet's group has its new voters. Idempotent.
    MoveDone {
        /// `Merge::id` of the merge that the driver carries out.
        merge: RingVersion,
        /// The tablet that moves.
        tablet: TabletId,
    },
    /// Whether a merge begins and completes by itself after SERVICEIN and SERVICEOUT.
    SetAutomerge {
        /// The new setting, cluster-wide.
        is_on: bool,
    },
    /// Driver, before it touches a group's membership: changes nothing, and is refused when that move is no longer
    /// wanted. A node whose view of the meta group is behind learns it here.
    ConfirmMove {
        /// `Merge::id` of the merge that the driver carries out.
        merge: RingVersion,
        /// The tablet that moves.
        tablet: TabletId,
    },
    /// A node is about to drop a replica that its ring map does not give it: refused when it is wanted after all.
    /// From then on the replica is not given back before `ReplicaDropped`.
    LeaveReplica {
        /// The tablet of the replica.
        tablet: TabletId,
        /// The node that drops it.
        node: NodeId,
    },
    /// A node has dropped the replica that it had to give up at that ring version. Idempotent.
    ReplicaDropped {
        /// The tablet of the replica.
        tablet: TabletId,
        /// The node that dropped it.
        node: NodeId,
        /// `Leaving::since`, so that a late report cannot count for a later replica.
        since: RingVersion,
    },
    /// The identity of a slave is of no use from now on. Idempotent.
    RevokeSlave {
        /// The identity.
        uuid: NodeUuid,
        /// The id that operators know it by.
        id: SlaveId,
        /// Who revokes it, as in `ann@admin1`.
        by: String,
    },
    /// The tablet that comes of a split has a leader. Idempotent.
    TabletSplit {
        /// `Split::child`.
        child: TabletId,
    },
    /// From now on a slave can enrol with this token. Idempotent for the same token.
    IssueToken {
        /// Without its secret.
        token: NewToken,
        /// The clock of the server that was asked.
        now_ms: u64,
    },
    /// A token enrols nobody any more. Idempotent. Slaves that it has enrolled stay.
    RevokeToken {
        /// Which one.
        id: TokenId,
        /// Who revokes it, as in `ann@admin1`.
        by: String,
    },
    /// Marks tokens whose time has come as expired, permanently. Idempotent.
    ExpireTokens {
        /// The clock of the server that noticed.
        now_ms: u64,
    },
    /// Takes one use of a token for a slave. Idempotent for the same slave.
    RedeemToken {
        /// What the token names.
        id: TokenId,
        /// Of the secret that was shown.
        hash: SecretHash,
        /// The identity that comes of the slave's key.
        slave: NodeUuid,
        /// The clock of the server that was asked.
        now_ms: u64,
    },
}

/// What changes members: CHMPX's control words, registration and removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// A new node joins as `[SERVICE OUT]`, under an id that was never given out. Idempotent for the same UUID.
    RegisterNode {
        /// At least the next free one.
        node_id: NodeId,
        /// Refused if it was ever removed.
        uuid: NodeUuid,
        /// Refused if a member has it.
        number: MemberNo,
        /// Refused if a member has it.
        address: NodeAddress,
        /// Failure domain for placement.
        zone: Option<String>,
    },
    /// The node joins the ring with the next merge: `[ADD] [Pending]`.
    ServiceIn {
        /// A registered member.
        node: NodeId,
    },
    /// The node leaves the ring with the next merge: `[DELETE] [Pending]`.
    ServiceOut {
        /// Refused for the last member in service.
        node: NodeId,
    },
    /// Computes the target placement and starts copying replicas.
    Merge,
    /// Switches to the target placement: refused before every new replica has caught up; cannot be aborted.
    CompleteMerge,
    /// Drops the new replicas; refused after COMPMERGE.
    AbortMerge,
    /// Automerge waits, until NOSUSPENDMERGE.
    SuspendMerge,
    /// Automerge goes on, also where an ABORTMERGE held it.
    NoSuspendMerge,
    /// Takes a `[SERVICE OUT]` node off the registry; its UUID is refused from then on. Idempotent.
    RemoveNode {
        /// Out of service, with no replica left.
        node: NodeId,
    },
    /// Cuts a tablet in the middle of its slots; refused while anything moves. Idempotent for the same child.
    SplitTablet {
        /// It keeps the lower half.
        tablet: TabletId,
        /// The id of the upper half: the next one that no tablet ever had.
        child: TabletId,
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
            MemberChange::SplitTablet { .. } => "splitting a tablet",
        }
    }
}

/// The outcome of an applied command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaReply {
    /// Carried out, or had been carried out before.
    Done,
    /// The node is a member.
    Registered {
        /// On a retry the id of the first time.
        node_id: NodeId,
    },
    /// Nothing was changed.
    Refused(Refused),
    /// The token was good: the slave may have a certificate.
    Enrolled {
        /// On a retry the id of the first time.
        slave: SlaveId,
        /// What the certificate is bound to.
        namespaces: Vec<Namespace>,
    },
}

/// Why nothing was changed. The words are for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// Nearly every command needs a ring map.
    #[error("the cluster is not founded yet; `dkc start cluster` founds it")]
    NotFounded,
    /// A second founding that is no retry of the first.
    #[error("the cluster was already founded as {cluster} with other members or another shape")]
    FoundedOtherwise {
        /// The cluster that was founded.
        cluster: ClusterId,
    },
    /// The founders or the shape of the ring break a rule.
    #[error("the cluster cannot be founded: {why}")]
    BadFounding {
        /// The rule.
        why: String,
    },
    /// Another membership operation holds the lock (M2).
    #[error("{holder} is doing '{what}' (operation {}); wait for it, or resume or abort it first", .id.0)]
    Held {
        /// The id that a change would have to name.
        id: OperationId,
        /// Who began it.
        holder: String,
        /// What they do.
        what: String,
    },
    /// It has ended, or never began here.
    #[error("operation {} does not run (any more); begin one first", .0.0)]
    NoSuchOperation(OperationId),
    /// Not a member; it may have been removed.
    #[error("no member has node id {0}")]
    NoSuchNode(NodeId),
    /// Not in the ring map.
    #[error("there is no tablet {0}")]
    NoSuchTablet(TabletId),
    /// A removed UUID never returns (M3).
    #[error(
        "node {uuid} was removed from this cluster (it was No.{number}) and can never return; give the host a new data directory"
    )]
    RemovedForEver {
        /// The removed identity.
        uuid: NodeUuid,
        /// What it was.
        number: MemberNo,
    },
    /// A number, an address or a UUID that a member has.
    #[error("{what} is already taken by No.{number}")]
    Taken {
        /// Which of them.
        what: String,
        /// The member that has it.
        number: MemberNo,
    },
    /// Ids are only ever given out once, because votes name them.
    #[error("node id {node_id} was given out before; the next one is {next}")]
    NodeIdUsed {
        /// The id that was asked for.
        node_id: NodeId,
        /// The smallest that is free.
        next: NodeId,
    },
    /// The command does not fit the state: which state it is, and which command comes next.
    #[error("{word} is not possible: {state}; next: {next}")]
    Illegal {
        /// The refused command.
        word: String,
        /// The present state.
        state: String,
        /// The command that leads on from there.
        next: String,
    },
    /// Never issued here, forgotten, or with another secret: which of them is not told.
    #[error("no such token; it is of another cluster, or it is not complete")]
    NoSuchToken,
    /// It enrolled, or could have; now it enrols nobody.
    #[error("token {id} {why}; `dkc token issue` makes another")]
    TokenEnded {
        /// Which token.
        id: TokenId,
        /// What became of it.
        why: String,
    },
    /// A rule of tokens or of enrolment is broken.
    #[error("{why}")]
    BadToken {
        /// The rule.
        why: String,
    },
}
