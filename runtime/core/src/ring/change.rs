//! What a change of members comes to: who holds replicas afterwards, and where. The meta group, the plans of the shell and what
//! it shows before confirmation all call this.

use super::{Assignment, InRing, MemberAction, Node, PlaceNode, RingMap, place};
use crate::ids::NodeId;

/// Below this many servers, one tablet for each server; more would only cost rounds.
const FEW_SERVERS: usize = 3;
/// Tablets for each of many servers, so that leaders stay even when one server leaves.
const TABLETS_PER_SERVER: usize = 2;

/// Tablets that a cluster of so many servers should have at least. Each has one leader, so fewer than servers leave some with
/// copies only; each is a Raft group with rounds of its own, so many are dear.
pub const fn tablets_wanted(servers: usize) -> usize {
    if servers <= FEW_SERVERS { FEW_SERVERS } else { servers * TABLETS_PER_SERVER }
}

impl Node {
    /// In service and not on its way out: it keeps or gets replicas at the next merge.
    pub fn stays(&self) -> bool {
        self.in_ring == InRing::ServiceIn && self.action != MemberAction::Delete
    }
}

/// The members that hold replicas once `come` have joined and `leave` are gone. Who is in both leaves.
pub fn members_after(ring: &RingMap, come: &[PlaceNode], leave: &[NodeId]) -> Vec<PlaceNode> {
    let is_new = |id: NodeId| come.iter().any(|node| node.node_id == id);
    let present = ring.nodes.iter().filter(|node| node.stays() && !is_new(node.node_id)).map(PlaceNode::from);
    present.chain(come.iter().cloned()).filter(|node| !leave.contains(&node.node_id)).collect()
}

/// Where everything lies then, as near to where it lies now as balance allows.
pub fn placement_after(ring: &RingMap, come: &[PlaceNode], leave: &[NodeId]) -> Assignment {
    let previous = Assignment::from(ring);
    let members = members_after(ring, come, leave);
    place(&members, ring.tablets.len() as u16, ring.replicas, Some(&previous))
}
