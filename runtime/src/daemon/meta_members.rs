//! The members of the meta group: every registered server follows it, three of those in service vote in it, and
//! who was removed is in it no more. The leader of the meta group sees to that.

use dkc_core::ids::NodeId;
use dkc_core::meta::MetaState;
use dkc_core::ring::{Action, InRing, Node, RingMap, next_voters_of_meta};

use super::server::Server;
use crate::raft::GroupError;

/// A follower that is so close to the leader can vote at once.
const LAG_MAX_ENTRIES: u64 = 64;

impl Server {
    /// One look; what cannot be done now is done at a later one.
    pub async fn keep_meta_members(&self, state: &MetaState) {
        let Some(ring) = state.ring() else { return };
        if !self.meta_group.is_leader() {
            return;
        }
        // A leader that lost its vote goes on following, so that the consensus library lets it lead for ever.
        if !self.meta_group.voters().contains(&self.node) {
            if let Some(to) = self.successor(&self.meta_group) {
                self.meta_group.transfer_leader(to).await;
            }
            return;
        }
        if let Err(error) = self.try_keep_meta_members(ring).await {
            tracing::debug!(%error, "the members of the meta group stay as they are for now");
        }
    }

    async fn try_keep_meta_members(&self, ring: &RingMap) -> Result<(), GroupError> {
        let group = &self.meta_group;
        let members = group.membership();
        let is_registered = |node: &NodeId| ring.node(*node).is_some();
        let new: Vec<NodeId> =
            ring.nodes.iter().map(|node| node.node_id).filter(|node| !members.nodes.contains(node)).collect();
        if !new.is_empty() {
            group.add_learners(&new, &members).await?;
            tracing::info!(nodes = ?new, "follow the meta group now");
            return Ok(());
        }
        let wanted = next_voters_of_meta(ring.nodes.iter().filter(|node| may_vote(node)), &members.voters);
        let is_changed = members.is_joint || members.voters != wanted.iter().copied().collect();
        if is_changed && !wanted.is_empty() && self.can_begin_to_vote(&wanted, &members.voters) {
            group.change_voters(&wanted, &members).await?;
            tracing::info!(voters = ?wanted, "new voters of the meta group");
            return Ok(());
        }
        let gone: Vec<NodeId> =
            members.nodes.difference(&members.voters).copied().filter(|node| !is_registered(node)).collect();
        if !gone.is_empty() {
            group.remove_learners(&gone, &members).await?;
            tracing::info!(nodes = ?gone, "follow the meta group no more");
        }
        Ok(())
    }

    fn can_begin_to_vote(&self, wanted: &[NodeId], present: &std::collections::BTreeSet<NodeId>) -> bool {
        let near = self.meta_group.caught_up(LAG_MAX_ENTRIES);
        wanted.iter().all(|node| present.contains(node) || *node == self.node || near.contains(node))
    }
}

/// Who comes or goes does not begin to vote; who goes votes until it has gone.
fn may_vote(node: &Node) -> bool {
    node.in_ring == InRing::ServiceIn && node.action != Action::Add
}
