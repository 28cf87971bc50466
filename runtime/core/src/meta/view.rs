//! The meta state as one node shows it to others: everything that a decision about members needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Leaving, MembershipOperation, Merge, MetaState, RemovedNode, RevokedSlave, Splits, Tokens};
use crate::ids::{NodeId, NodeUuid};
use crate::ring::RingMap;

/// What the meta group has decided, as one node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaView {
    /// Members, tablets and their voters.
    pub ring: RingMap,
    /// From MERGE until its last move is done.
    pub merge: Option<Merge>,
    /// Replicas that were given up and are not dropped yet.
    #[serde(default)]
    pub leaving: Vec<Leaving>,
    /// The membership operation that runs.
    pub operation: Option<MembershipOperation>,
    /// As in `MetaState`.
    pub is_automerge: bool,
    /// As in `MetaState`.
    pub is_merge_suspended: bool,
    /// ABORTMERGE was given: automerge waits for the next command.
    pub is_automerge_held: bool,
    /// Every removed node, by UUID: permanently refused.
    pub removed: BTreeMap<NodeUuid, RemovedNode>,
    /// Slaves whose identity was revoked.
    #[serde(default)]
    pub revoked: BTreeMap<NodeUuid, RevokedSlave>,
    /// Tablets that are being split.
    #[serde(default)]
    pub splits: Splits,
}

impl MetaView {
    /// `None` until the cluster is founded.
    pub fn of(state: &MetaState) -> Option<MetaView> {
        Some(MetaView {
            ring: state.ring()?.clone(),
            merge: state.merge().cloned(),
            leaving: state.leaving().to_vec(),
            operation: state.operation().cloned(),
            is_automerge: state.is_automerge(),
            is_merge_suspended: state.is_merge_suspended(),
            is_automerge_held: state.is_automerge_held(),
            removed: state.all_removed().clone(),
            revoked: state.revoked.clone(),
            splits: state.splits.clone(),
        })
    }
}

impl From<&MetaView> for MetaState {
    /// The state that a view was taken of, as far as changes of members ask for it.
    fn from(view: &MetaView) -> MetaState {
        let ring = &view.ring;
        let gone = view.removed.values().map(|gone| gone.node_id.0);
        let last_id = ring.nodes.iter().map(|node| node.node_id.0).chain(gone).max();
        MetaState {
            ring: Some(ring.clone()),
            next_node_id: NodeId(last_id.unwrap_or(0) + 1),
            founded_tablets: ring.tablets.iter().map(|place| place.tablet).collect(),
            removed: view.removed.clone(),
            merge: view.merge.clone(),
            leaving: view.leaving.clone(),
            operation: view.operation.clone(),
            is_automerge: view.is_automerge,
            is_merge_suspended: view.is_merge_suspended,
            is_automerge_held: view.is_automerge_held,
            revoked: view.revoked.clone(),
            splits: view.splits.clone(),
            // A view has no hashes, and no change of members asks for them.
            tokens: Tokens::default(),
        }
    }
}
