//! What holds of every ring map and every step of it, said once, for assertions and tests.

use std::collections::BTreeSet;

use super::{REPLICAS_MAX, RingMap, SLOTS};

impl RingMap {
    /// What is wrong with this map, in a word. `None` for every map that the meta group ever makes.
    pub fn flaw(&self) -> Option<&'static str> {
        let mut next = 0;
        for place in &self.tablets {
            if u32::from(place.first_slot.0) != next || place.last_slot < place.first_slot {
                return Some("the tablets do not cover the slots in order");
            }
            next = u32::from(place.last_slot.0) + 1;
            let voters: BTreeSet<_> = place.voters.iter().collect();
            if voters.len() != place.voters.len() {
                return Some("a node holds two replicas of a tablet");
            }
            if voters.is_empty() || voters.len() > REPLICAS_MAX as usize {
                return Some("a tablet has no voter or too many");
            }
            if place.learners.iter().any(|learner| voters.contains(learner)) {
                return Some("a voter is a learner as well");
            }
            if place.voters.iter().chain(&place.learners).any(|node| self.node(*node).is_none()) {
                return Some("a replica lies on a node that the ring does not have");
            }
        }
        (next != SLOTS).then_some("the tablets do not cover all slots")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ActionProgress, InRing, MemberAction, Node, SlotId, TabletPlace};
    use super::*;
    use crate::ids::{ClusterId, MemberNo, NodeId, NodeUuid, RingVersion, TabletId};

    fn map() -> RingMap {
        let uuid = "0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a11";
        let node = |id: u64| Node {
            node_id: NodeId(id),
            uuid: uuid.parse::<NodeUuid>().unwrap(),
            number: MemberNo(id as u32),
            address: format!("10.0.0.{id}:8020").parse().unwrap(),
            zone: None,
            in_ring: InRing::ServiceIn,
            action: MemberAction::None,
            operate: ActionProgress::Nothing,
        };
        let place = |tablet, first, last| TabletPlace {
            tablet: TabletId(tablet),
            first_slot: SlotId(first),
            last_slot: SlotId(last),
            epoch: 1,
            voters: vec![NodeId(1), NodeId(2)],
            learners: Vec::new(),
            preferred_leader: NodeId(1),
        };
        RingMap {
            cluster: uuid.parse::<ClusterId>().unwrap(),
            version: RingVersion(1),
            replicas: 2,
            nodes: vec![node(1), node(2), node(3)],
            tablets: vec![place(0, 0, 99), place(1, 100, SLOTS as u16 - 1)],
        }
    }

    fn check(change: impl Fn(&mut RingMap), want: Option<&str>) {
        let mut map = map();
        change(&mut map);
        assert_eq!(map.flaw(), want);
    }

    #[test]
    fn every_flaw_of_a_map_is_found() {
        check(|_| {}, None);
        check(|map| map.tablets[1].learners.push(NodeId(3)), None);
        check(
            |map| map.tablets[1].first_slot = SlotId(101),
            Some("the tablets do not cover the slots in order"),
        );
        check(|map| map.tablets[1].last_slot = SlotId(200), Some("the tablets do not cover all slots"));
        check(|map| map.tablets[0].voters.push(NodeId(1)), Some("a node holds two replicas of a tablet"));
        check(|map| map.tablets[0].voters.clear(), Some("a tablet has no voter or too many"));
        check(|map| map.tablets[0].learners.push(NodeId(2)), Some("a voter is a learner as well"));
        check(
            |map| map.tablets[0].voters.push(NodeId(9)),
            Some("a replica lies on a node that the ring does not have"),
        );
    }
}
