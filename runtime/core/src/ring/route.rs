//! Questions to a ring map. All are answered without allocation, because a slave asks one for every request.

use super::{Node, RingMap, SLOTS, SlotId, TabletPlace, slot_of};
use crate::ids::{MemberNo, NodeId, TabletId};
use crate::kv::Key;

impl RingMap {
    /// What every founded ring map does; a map from elsewhere is asked before it is routed by.
    pub fn covers_every_slot_once(&self) -> bool {
        let mut next = 0;
        let is_next = |place: &TabletPlace| {
            let is_next = u32::from(place.first_slot.0) == next && place.first_slot <= place.last_slot;
            next = u32::from(place.last_slot.0) + 1;
            is_next
        };
        self.tablets.iter().all(is_next) && next == SLOTS
    }

    /// The tablet that holds a slot. Panics on a map without tablets, which no founded cluster has.
    pub fn tablet_of_slot(&self, slot: SlotId) -> TabletId {
        self.place_of_slot(slot).tablet
    }

    /// The place of the tablet that holds a slot.
    pub fn place_of_slot(&self, slot: SlotId) -> &TabletPlace {
        let after = self.tablets.partition_point(|place| place.first_slot <= slot);
        &self.tablets[after.saturating_sub(1)]
    }

    /// `None` for a tablet that the map does not have.
    pub fn place_of(&self, tablet: TabletId) -> Option<&TabletPlace> {
        // Tablet `t` is the t-th range as long as no tablet was ever split; after a split the search finds it.
        let direct = self.tablets.get(usize::from(tablet.0)).filter(|place| place.tablet == tablet);
        direct.or_else(|| self.tablets.iter().find(|place| place.tablet == tablet))
    }

    /// For changes of voters only; slots are fixed.
    pub fn place_of_mut(&mut self, tablet: TabletId) -> Option<&mut TabletPlace> {
        self.tablets.iter_mut().find(|place| place.tablet == tablet)
    }

    /// Where a key lives.
    pub fn route(&self, key: &Key) -> &TabletPlace {
        self.place_of_slot(slot_of(&key.namespace, &key.bytes))
    }

    /// A member by its Raft id.
    pub fn node(&self, node_id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.node_id == node_id)
    }

    /// A member by the number that people use.
    pub fn node_of_number(&self, number: MemberNo) -> Option<&Node> {
        self.nodes.iter().find(|node| node.number == number)
    }
}

impl TabletPlace {
    /// Whether the slot lies in the tablet's range.
    pub fn holds(&self, slot: SlotId) -> bool {
        (self.first_slot..=self.last_slot).contains(&slot)
    }

    /// Voters and learners: every node that keeps this tablet's data.
    pub fn replicas(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().chain(&self.learners).copied()
    }
}
