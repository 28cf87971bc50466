//! Founding: the first ring map, and which tablets have been initialised.

use std::collections::BTreeSet;

use super::apply::Outcome;
use super::{Founder, MetaReply, MetaState, Refused};
use crate::ids::{ClusterId, NodeId, RingVersion, TabletId};
use crate::ring::{
    ActionProgress, Assigned, InRing, MemberAction, Node, PlaceNode, REPLICAS_MAX, RingMap, SLOTS,
    TabletPlace, place, tablet_range,
};

/// The epoch of a tablet whose voters are the founders'.
const FIRST_EPOCH: u32 = 1;

impl MetaState {
    pub(super) fn found(
        &mut self,
        cluster: ClusterId,
        founders: &[Founder],
        tablets: u16,
        replicas: u32,
    ) -> Outcome {
        let wanted = first_ring(cluster, founders, tablets, replicas)?;
        if let Some(ring) = &self.ring {
            return if is_same_founding(ring, &wanted, self.next_node_id, self.founding_tablets()) {
                Ok(MetaReply::Done)
            } else {
                Err(Refused::FoundedOtherwise { cluster: ring.cluster })
            };
        }
        let highest = wanted.nodes.iter().map(|node| node.node_id.0).max().unwrap_or(0);
        self.next_node_id = NodeId(self.next_node_id.0.max(highest + 1));
        self.ring = Some(wanted);
        Ok(MetaReply::Done)
    }

    pub(super) fn tablet_founded(&mut self, tablet: TabletId) -> Outcome {
        self.founded_ring()?.place_of(tablet).ok_or(Refused::NoSuchTablet(tablet))?;
        self.founded_tablets.insert(tablet);
        Ok(MetaReply::Done)
    }
}

/// Founding again is a retry as long as it is the same cluster in the same shape and names no new node.
/// Members may have come and gone since.
fn is_same_founding(ring: &RingMap, wanted: &RingMap, next: NodeId, founding_tablets: u16) -> bool {
    let is_known =
        |node: &Node| node.node_id < next && ring.node(node.node_id).is_none_or(|n| n.uuid == node.uuid);
    ring.cluster == wanted.cluster
        && usize::from(founding_tablets) == wanted.tablets.len()
        && ring.replicas == wanted.replicas
        && wanted.nodes.iter().all(is_known)
}

fn first_ring(
    cluster: ClusterId,
    founders: &[Founder],
    tablets: u16,
    replicas: u32,
) -> Result<RingMap, Refused> {
    check_founders(founders, tablets, replicas).map_err(|why| Refused::BadFounding { why })?;
    let mut nodes: Vec<Node> = founders.iter().map(first_node).collect();
    nodes.sort_by_key(|node| node.node_id);
    let place_nodes: Vec<PlaceNode> = nodes.iter().map(PlaceNode::from).collect();
    let assignment = place(&place_nodes, tablets, replicas, None);
    let first_place = |(tablet, assigned): (u16, Assigned)| {
        let (first_slot, last_slot) = tablet_range(TabletId(tablet), tablets);
        TabletPlace {
            tablet: TabletId(tablet),
            first_slot,
            last_slot,
            epoch: FIRST_EPOCH,
            voters: assigned.voters,
            learners: Vec::new(),
            preferred_leader: assigned.preferred_leader,
        }
    };
    let tablets = (0..tablets).zip(assignment.tablets).map(first_place).collect();
    Ok(RingMap { cluster, version: RingVersion(1), replicas, nodes, tablets })
}

fn first_node(founder: &Founder) -> Node {
    Node {
        node_id: founder.node_id,
        uuid: founder.uuid,
        number: founder.number,
        address: founder.address.clone(),
        zone: founder.zone.clone(),
        in_ring: InRing::ServiceIn,
        action: MemberAction::None,
        operate: ActionProgress::Nothing,
    }
}

fn check_founders(founders: &[Founder], tablets: u16, replicas: u32) -> Result<(), String> {
    if founders.is_empty() {
        return Err("it has no members".into());
    }
    if tablets == 0 || u32::from(tablets) > SLOTS {
        return Err(format!("{tablets} tablets: 1 to {SLOTS} are possible"));
    }
    if replicas == 0 || replicas > REPLICAS_MAX {
        return Err(format!("{replicas} replicas: 1 to {REPLICAS_MAX} are possible"));
    }
    if founders.iter().any(|founder| founder.node_id.0 == 0) {
        return Err("node id 0 means 'no node'".into());
    }
    let is_unique = |count: usize| count == founders.len();
    let ids: BTreeSet<_> = founders.iter().map(|founder| founder.node_id).collect();
    let uuids: BTreeSet<_> = founders.iter().map(|founder| founder.uuid).collect();
    let numbers: BTreeSet<_> = founders.iter().map(|founder| founder.number).collect();
    let addresses: BTreeSet<_> = founders.iter().map(|founder| &founder.address).collect();
    for (what, count) in [
        ("node id", ids.len()),
        ("UUID", uuids.len()),
        ("number", numbers.len()),
        ("address", addresses.len()),
    ] {
        if !is_unique(count) {
            return Err(format!("two members have the same {what}"));
        }
    }
    Ok(())
}
