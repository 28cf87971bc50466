//! The ring: which slot a key falls into, which tablet holds the slot, which nodes hold the tablet.

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterId, MemberNo, NodeAddress, NodeId, NodeUuid, RingVersion, TabletId};

/// Parts of the key space. Never changes: a key's slot is for ever.
pub const SLOTS: u32 = 16384;

/// One of the slots, 0 ≤ n < `SLOTS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotId(pub u16);

/// CHMPX's node states, in its own notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InRing {
    ServiceIn,
    ServiceOut,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    None,
    Add,
    Delete,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operate {
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
    pub action: Action,
    pub operate: Operate,
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
    /// A replica that is catching up, at most one.
    pub learner: Option<NodeId>,
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
