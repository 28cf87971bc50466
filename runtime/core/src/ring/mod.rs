//! The ring: which slot a key falls into, which tablet holds the slot, which nodes hold the tablet.
//!
//! *Invariant:* a key's slot never changes; a tablet's range of slots only changes when the tablet is split (`meta::split`); and
//! `place` is a pure function of its arguments, so that every node and the shell compute the same placement.

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, MemberNo, NodeAddress, NodeId, NodeUuid, RingVersion, TabletId};

mod change;
mod load;
mod place;
#[cfg(test)]
mod place_tests;
mod route;
mod slot;
mod sound;

pub use change::{members_after, placement_after, tablets_wanted};
pub use load::{ClusterLoad, TabletLoad, is_worth_a_split};
pub use place::{Assigned, Assignment, PlaceNode, next_voters_of_meta, place, voters_of_meta};
pub use slot::{founding_slots, slot_of, tablet_range, tablet_ranges};

/// Parts of the key space. Never changes, nor does a key's slot.
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
    /// Holds replicas, or will after the merge that adds it.
    ServiceIn,
    /// Registered, holds no replica.
    ServiceOut,
}
/// The change of members that a node takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberAction {
    /// None.
    None,
    /// It joins the ring with a merge.
    Add,
    /// It leaves the ring with a merge.
    Delete,
}
/// How far the node's `MemberAction` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionProgress {
    /// There is no action.
    Nothing,
    /// Waits for MERGE.
    Pending,
    /// Replicas are being copied.
    Doing,
    /// Every copy has caught up; waits for COMPMERGE.
    Done,
}

/// A server node as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its Raft id, never given out again.
    pub node_id: NodeId,
    /// Identity of its data directory.
    pub uuid: NodeUuid,
    /// `No.` that people use, unique among the members of today.
    pub number: MemberNo,
    /// Where servers and slaves connect to.
    pub address: NodeAddress,
    /// Failure domain, as the operator registered it.
    pub zone: Option<String>,
    /// Whether placement counts on it.
    pub in_ring: InRing,
    /// What a merge does with it.
    pub action: MemberAction,
    /// How far the merge is with it.
    pub operate: ActionProgress,
}

impl Node {
    /// In service, and no change is pending that removes it.
    pub fn stays_in_service(&self) -> bool {
        self.in_ring == InRing::ServiceIn && self.action != MemberAction::Delete
    }
}

/// A tablet's place on the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletPlace {
    /// Unique for ever: given at founding or by a split.
    pub tablet: TabletId,
    /// Only a split changes the range of slots.
    pub first_slot: SlotId,
    /// Included.
    pub last_slot: SlotId,
    /// Grows whenever the voters change; checked where a command is applied.
    pub epoch: u32,
    /// Ascending; 1 to `REPLICAS_MAX`.
    pub voters: Vec<NodeId>,
    /// Replicas that are catching up during a merge; empty otherwise.
    pub learners: Vec<NodeId>,
    /// A voter. Leadership goes back to it while it is up; elections do not depend on it.
    pub preferred_leader: NodeId,
}

/// The ring map: a hint for routing and the truth for placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingMap {
    /// The cluster whose ring this is.
    pub cluster: ClusterId,
    /// Rises with every change of the map.
    pub version: RingVersion,
    /// Voters that each tablet should have; fewer if there are fewer members in service.
    pub replicas: u32,
    /// Every member, in and out of service.
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
