//! The state machine of the meta group: who belongs to the cluster, where every tablet lives, what is being
//! moved, and which membership operation runs. The log carries `MetaCommand`s; `MetaState::apply` is the only
//! place that changes the state.
//!
//! *Invariant (M2):* one membership operation at a time; a change that names another operation is refused.
//! *Invariant (M3):* a removed UUID stays in `removed` forever and can never register again.
//! *Invariant:* `apply` is a pure function of state and command. It reads no clock and never fails: a refusal is
//! an answer. Raft memberships are changed by the driver of the runtime; this state holds what is wanted and what is done.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, MemberNo, NodeAddress, NodeId, NodeUuid, RingVersion, SlaveId, TabletId};
use crate::ring::{Node, RingMap};

mod apply;
pub(crate) mod codec;
mod command;
mod found;
mod merge;
mod revoke;
mod service;
mod split;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_split;
#[cfg(test)]
mod tests_tokens;
mod tokens;
mod view;

pub use codec::{BadBytes, META_FORMAT_VERSION, META_STATE_NEWEST};
pub use command::{Founder, MemberChange, MetaCommand, MetaReply, OperationId, Refused};
pub use merge::{Merge, MergeStep, Move, MoveState};
pub use revoke::REVOKED_MAX;
pub use split::{Split, Splits, middle_of};
pub use tokens::{
    ENROLLED_ID_FIRST, ENROLLED_MAX, EnrolledSlave, NewToken, TOKEN_LABEL_MAX_BYTES, TOKEN_NAMESPACES_MAX,
    TOKEN_TTL_MAX_MS, TOKEN_USES_MAX, TOKENS_MAX, TokenEnd, TokenView, Tokens,
};
pub use view::MetaView;

/// All that the meta group knows. Part of every snapshot of group 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaState {
    /// `None` until the cluster is founded.
    ring: Option<RingMap>,
    /// The id that the next registered node gets; ids are never given out again.
    next_node_id: NodeId,
    /// Tablets whose Raft group has been initialised by its first leader.
    founded_tablets: BTreeSet<TabletId>,
    /// Every removed node. Never shrinks.
    removed: BTreeMap<NodeUuid, RemovedNode>,
    merge: Option<Merge>,
    /// Replicas that were given up and that their nodes have not dropped yet. Until then none of them comes back:
    /// what a node acknowledged for an old replica must not count for a new one.
    leaving: Vec<Leaving>,
    operation: Option<MembershipOperation>,
    /// Merging and completing follow automatically after SERVICEIN and SERVICEOUT.
    is_automerge: bool,
    /// SUSPENDMERGE: automerge waits, cluster-wide, also for nodes that join later.
    is_merge_suspended: bool,
    /// Set by ABORTMERGE, so that automerge does not begin again what was just aborted. The next SERVICEIN,
    /// SERVICEOUT, MERGE or NOSUSPENDMERGE clears it.
    is_automerge_held: bool,
    /// Slaves whose certificates are of no use any more. Written behind everything else, and only where there is one, so that
    /// servers of an earlier release read what they know (`codec`).
    #[serde(skip)]
    revoked: BTreeMap<NodeUuid, RevokedSlave>,
    /// Written like `revoked`, from the first split on.
    #[serde(skip)]
    splits: Splits,
    /// Written like `revoked`, from the first token on.
    #[serde(skip)]
    tokens: Tokens,
}

impl Default for MetaState {
    fn default() -> Self {
        MetaState {
            ring: None,
            next_node_id: NodeId(1),
            founded_tablets: BTreeSet::new(),
            removed: BTreeMap::new(),
            merge: None,
            leaving: Vec::new(),
            operation: None,
            is_automerge: true,
            is_merge_suspended: false,
            is_automerge_held: false,
            revoked: BTreeMap::new(),
            splits: Splits::default(),
            tokens: Tokens::default(),
        }
    }
}

/// A replica that its node has to drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Which tablet.
    pub tablet: TabletId,
    /// The node that still has its rows and its log.
    pub node: NodeId,
    /// The ring version that gave it up.
    pub since: RingVersion,
}

/// What stays of a node that was removed, so that a refusal can name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedNode {
    /// Its Raft id, never given out again.
    pub node_id: NodeId,
    /// `No.` that it had.
    pub number: MemberNo,
    /// Where it was.
    pub address: NodeAddress,
}

/// A slave whose identity was revoked, so that a refusal can name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedSlave {
    /// The id that operators know it by.
    pub id: SlaveId,
    /// Who revoked it, as in `ann@admin1`.
    pub by: String,
}

/// The membership operation that runs: no other may change members until it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipOperation {
    /// Minted by the shell that began it.
    pub id: OperationId,
    /// Who began it, as in `ann@admin1`.
    pub holder: String,
    /// What they do, in the operator's words, as in `grow c0 by 10.77.0.14:8020`.
    pub what: String,
}

impl MetaState {
    /// The ring map; `None` until the cluster is founded.
    pub fn ring(&self) -> Option<&RingMap> {
        self.ring.as_ref()
    }

    /// The id given at `register cluster`; `None` until the cluster is founded.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.ring().map(|ring| ring.cluster)
    }

    /// Founded and every tablet initialised.
    pub fn is_founded(&self) -> bool {
        self.ring.is_some() && self.unfounded_tablets().next().is_none()
    }

    /// Tablets whose group still waits for its preferred leader to initialise it.
    pub fn unfounded_tablets(&self) -> impl Iterator<Item = TabletId> {
        let tablets = self.ring().into_iter().flat_map(|ring| ring.tablets.iter().map(|place| place.tablet));
        tablets.filter(|tablet| !self.founded_tablets.contains(tablet))
    }

    /// Its first leader has initialised the group.
    pub fn is_tablet_founded(&self, tablet: TabletId) -> bool {
        self.founded_tablets.contains(&tablet)
    }

    /// A present member.
    pub fn node(&self, node_id: NodeId) -> Option<&Node> {
        self.ring()?.node(node_id)
    }

    /// A present member.
    pub fn node_of_uuid(&self, uuid: NodeUuid) -> Option<&Node> {
        self.ring()?.nodes.iter().find(|node| node.uuid == uuid)
    }

    /// The node that was removed under this UUID, which is permanently refused.
    pub fn removed(&self, uuid: NodeUuid) -> Option<&RemovedNode> {
        self.removed.get(&uuid)
    }

    /// Every node that ever left.
    pub fn all_removed(&self) -> &BTreeMap<NodeUuid, RemovedNode> {
        &self.removed
    }
    /// The slave whose identity this is, if it was revoked.
    pub fn revoked(&self, uuid: NodeUuid) -> Option<&RevokedSlave> {
        self.revoked.get(&uuid)
    }

    /// ABORTMERGE was given and nothing since that lets automerge start again.
    pub fn is_automerge_held(&self) -> bool {
        self.is_automerge_held
    }
    /// Holds the lock of membership operations until `EndOperation`, also if its shell is gone.
    pub fn operation(&self) -> Option<&MembershipOperation> {
        self.operation.as_ref()
    }

    /// Replicas that wait for being dropped.
    pub fn leaving(&self) -> &[Leaving] {
        &self.leaving
    }
    /// From MERGE until its last move is done, or ABORTMERGE.
    pub fn merge(&self) -> Option<&Merge> {
        self.merge.as_ref()
    }

    /// Set by `SetAutomerge`; on in a new cluster.
    pub fn is_automerge(&self) -> bool {
        self.is_automerge
    }

    /// SUSPENDMERGE was given.
    pub fn is_merge_suspended(&self) -> bool {
        self.is_merge_suspended
    }
}
