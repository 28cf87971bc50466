//! The ring: which slot a key falls into, which tablet holds the slot, which nodes hold the tablet.
//!
//! *Invariant:* a key's slot never changes; a tablet's range of slots is fixed when the cluster is founded; and
//! `place` is a pure function of its arguments, so that every node and the shell compute the same placement.

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, MemberNo, NodeAddress, NodeId, NodeUuid, RingVersion, TabletId};

mod change;
mod place;
#[cfg(test)]
mod place_tests;
mod route;
mod slot;

pub use change::{members_after, placement_after};
pub use place::{Assigned, Assignment, PlaceNode, next_voters_of_meta, place, voters_of_meta};
pub use slot::{slot_of, tablet_range, tablet_ranges};

/// Parts of the key space. Never changes: a key's slot is for ever.
pub const SLOTS: u32 = 16384;

/// Most replicas of a tablet: more than any failure model asks for, and a bound for every list of voters.
pub const REPLICAS_MAX: u32 = 7;

/// One of the slots, 0 ≤ n < `SLOTS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotId(pub u16);

/// The whole key space, as the only tablet of a cluster has it.
pub const ALL_SLOTS: std::ops::RangeInclusive<SlotId> = SlotId(0)..=SlotId(SLOTS as u16 - 1);

/// CHMPX's node states, in its own notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InRing {
    ServiceIn,
    ServiceOut,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberAction {
    None,
    Add,
    Delete,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionProgress {
    Nothing,
    Pending,
    Doing,
    Done,
}

/// A server node as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub node_id: NodeId,
    pub uuid: NodeUuid,
    pub number: MemberNo,
    pub address: NodeAddress,
    pub zone: Option<String>,
    pub in_ring: InRing,
    pub action: MemberAction,
    pub operate: ActionProgress,
}

impl Node {
    /// In service, and nobody wants it out.
    pub fn stays_in_service(&self) -> bool {
        self.in_ring == InRing::ServiceIn && self.action != MemberAction::Delete
    }
}

/// A tablet's place on the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletPlace {
    pub tablet: TabletId,
    pub first_slot: SlotId,
    pub last_slot: SlotId,
    /// Grows whenever the voters change; checked where a command is applied.
    pub epoch: u32,
    pub voters: Vec<NodeId>,
    /// Replicas that are catching up during a merge; empty otherwise.
    pub learners: Vec<NodeId>,
    pub preferred_leader: NodeId,
}

/// The ring map: a hint for routing and the truth for placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingMap {
    pub cluster: ClusterId,
    pub version: RingVersion,
    pub replicas: u32,
    pub nodes: Vec<Node>,
    /// In slot order, without a gap.
    pub tablets: Vec<TabletPlace>,
}

impl std::fmt::Display for InRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            InRing::ServiceIn => "[SERVICE IN]",
            InRing::ServiceOut => "[SERVICE OUT]",
        })
    }
}
impl std::fmt::Display for MemberAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MemberAction::None => "[n/a]",
            MemberAction::Add => "[ADD]",
            MemberAction::Delete => "[DELETE]",
        })
    }
}
impl std::fmt::Display for ActionProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ActionProgress::Nothing => "[Nothing]",
            ActionProgress::Pending => "[Pending]",
            ActionProgress::Doing => "[Doing]",
            ActionProgress::Done => "[Done]",
        })
    }
}
