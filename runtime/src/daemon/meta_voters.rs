//! The members of the meta group: every registered server follows it, three of those in service vote in it, and
//! removed servers leave it. The leader of the meta group makes these changes.

use std::collections::BTreeSet;

use dkc_core::ids::NodeId;
use dkc_core::meta::MetaState;
use dkc_core::ring::{InRing, MemberAction, Node, RingMap, next_voters_of_meta};

use super::leadership::Leadership;
use super::meta_group::MetaGroup;
use crate::raft::GroupError;

/// Largest lag of a follower that becomes a voter.
const LAG_MAX_ENTRIES: u64 = 64;

/// One round; what cannot be done now is retried in a later one.
pub async fn keep_meta_members(meta: &MetaGroup, leadership: &Leadership, state: &MetaState) {
    let Some(ring) = state.ring() else { return };
    if !meta.group().is_leader() {
        return;
    }
    // A leader that lost its vote stays a learner, because the consensus library would let it lead forever.
    if !meta.group().voters().contains(&meta.node()) {
        if let Some(to) = leadership.successor(meta.group()) {
            meta.group().transfer_leader(to).await;
        }
        return;
    }
    if let Err(error) = try_keep_meta_members(meta, ring).await {
        tracing::debug!(%error, "meta group membership not changed; will retry");
    }
}

async fn try_keep_meta_members(meta: &MetaGroup, ring: &RingMap) -> Result<(), GroupError> {
    let group = meta.group();
    let members = group.membership();
    let is_registered = |node: &NodeId| ring.node(*node).is_some();
    let new: Vec<NodeId> =
        ring.nodes.iter().map(|node| node.node_id).filter(|node| !members.nodes.contains(node)).collect();
    if !new.is_empty() {
        group.add_learners(&new, &members).await?;
        tracing::info!(nodes = ?new, "meta group learners added");
        return Ok(());
    }
    let wanted = next_voters_of_meta(ring.nodes.iter().filter(|node| may_vote(node)), &members.voters);
    let is_changed = members.is_joint || members.voters != wanted.iter().copied().collect();
    if is_changed && !wanted.is_empty() && can_begin_to_vote(meta, &wanted, &members.voters) {
        group.change_voters(&wanted, &members).await?;
        tracing::info!(voters = ?wanted, "meta group voters changed");
        return Ok(());
    }
    let gone: Vec<NodeId> =
        members.nodes.difference(&members.voters).copied().filter(|node| !is_registered(node)).collect();
    if !gone.is_empty() {
        group.remove_learners(&gone, &members).await?;
        tracing::info!(nodes = ?gone, "meta group learners removed");
    }
    Ok(())
}

fn can_begin_to_vote(meta: &MetaGroup, wanted: &[NodeId], present: &BTreeSet<NodeId>) -> bool {
    let near = meta.group().caught_up(LAG_MAX_ENTRIES);
    wanted.iter().all(|node| present.contains(node) || *node == meta.node() || near.contains(node))
}

/// Members that join or leave do not become voters; a leaving voter votes until it has left.
fn may_vote(node: &Node) -> bool {
    node.in_ring == InRing::ServiceIn && node.action != MemberAction::Add
}
