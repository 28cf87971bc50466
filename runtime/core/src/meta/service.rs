//! Members come and go: registration, SERVICEIN, SERVICEOUT, removal. These only say what is wanted; data moves
//! with MERGE (`merge`).

use super::apply::Outcome;
use super::{MetaReply, MetaState, Refused, RemovedNode};
use crate::ids::{MemberNo, NodeAddress, NodeId, NodeUuid};
use crate::mutant::{self, Mutant};
use crate::ring::{ActionProgress, InRing, MemberAction, Node};

impl MetaState {
    pub(super) fn register_node(
        &mut self,
        node_id: NodeId,
        uuid: NodeUuid,
        number: MemberNo,
        address: &NodeAddress,
        zone: Option<&str>,
    ) -> Outcome {
        if let Some(gone) = self.removed.get(&uuid) {
            return Err(Refused::RemovedForEver { uuid, number: gone.number });
        }
        let next_node_id = self.next_node_id;
        let ring = self.founded_ring_mut()?;
        if let Some(node) = ring.nodes.iter().find(|node| node.uuid == uuid) {
            return if (node.node_id, node.number) == (node_id, number) && node.address == *address {
                Ok(MetaReply::Registered { node_id: node.node_id })
            } else {
                Err(Refused::Taken { what: format!("UUID {uuid}"), number: node.number })
            };
        }
        if let Some(node) = ring.nodes.iter().find(|node| node.number == number || node.address == *address) {
            let what =
                if node.number == number { format!("No.{number}") } else { format!("address {address}") };
            return Err(Refused::Taken { what, number: node.number });
        }
        if node_id < next_node_id && !mutant::is_active(Mutant::NodeIdReused) {
            return Err(Refused::NodeIdUsed { node_id, next: next_node_id });
        }
        ring.nodes.push(Node {
            node_id,
            uuid,
            number,
            address: address.clone(),
            zone: zone.map(str::to_owned),
            in_ring: InRing::ServiceOut,
            action: MemberAction::None,
            operate: ActionProgress::Nothing,
        });
        ring.version.0 += 1;
        self.next_node_id = NodeId(node_id.0 + 1);
        Ok(MetaReply::Registered { node_id })
    }

    pub(super) fn service_in(&mut self, node_id: NodeId) -> Outcome {
        let node = self.known_node(node_id)?;
        match (node.in_ring, node.action) {
            (InRing::ServiceIn, MemberAction::None | MemberAction::Add) => return Ok(MetaReply::Done),
            _ => self.check_nothing_moves("SERVICEIN")?,
        }
        match node.in_ring {
            InRing::ServiceOut => {
                self.set_state(node_id, InRing::ServiceIn, MemberAction::Add, ActionProgress::Pending)
            }
            // Taken back before any data moved: it simply stays.
            InRing::ServiceIn => {
                self.set_state(node_id, InRing::ServiceIn, MemberAction::None, ActionProgress::Nothing)
            }
        }
    }

    pub(super) fn service_out(&mut self, node_id: NodeId) -> Outcome {
        let node = self.known_node(node_id)?;
        match (node.in_ring, node.action) {
            (InRing::ServiceOut, _) | (_, MemberAction::Delete) => return Ok(MetaReply::Done),
            _ => self.check_nothing_moves("SERVICEOUT")?,
        }
        if node.action == MemberAction::Add {
            return self.set_state(node_id, InRing::ServiceOut, MemberAction::None, ActionProgress::Nothing);
        }
        let stays = |other: &&Node| {
            other.node_id != node_id
                && other.in_ring == InRing::ServiceIn
                && other.action != MemberAction::Delete
        };
        if self.founded_ring()?.nodes.iter().filter(stays).count() == 0 {
            return Err(Refused::Illegal {
                word: "SERVICEOUT".into(),
                state: format!("{} and the last member in service", notation(&node)),
                next: "SERVICEIN of another member".into(),
            });
        }
        self.set_state(node_id, InRing::ServiceIn, MemberAction::Delete, ActionProgress::Pending)
    }

    pub(super) fn remove_node(&mut self, node_id: NodeId) -> Outcome {
        if self.removed.values().any(|gone| gone.node_id == node_id) {
            return Ok(MetaReply::Done);
        }
        let node = self.known_node(node_id)?;
        let holds_data =
            |place: &crate::ring::TabletPlace| place.replicas().any(|replica| replica == node_id);
        if node.in_ring != InRing::ServiceOut || self.founded_ring()?.tablets.iter().any(holds_data) {
            return Err(Refused::Illegal {
                word: "removing a node".into(),
                state: notation(&node),
                next: next_towards_out(&node).into(),
            });
        }
        let gone = RemovedNode { node_id, number: node.number, address: node.address };
        self.removed.insert(node.uuid, gone);
        self.leaving.retain(|one| one.node != node_id);
        let ring = self.founded_ring_mut()?;
        ring.nodes.retain(|other| other.node_id != node_id);
        ring.version.0 += 1;
        Ok(MetaReply::Done)
    }

    fn known_node(&self, node_id: NodeId) -> Result<Node, Refused> {
        self.founded_ring()?.node(node_id).cloned().ok_or(Refused::NoSuchNode(node_id))
    }

    /// CHMPX's guard: no service change while data moves.
    fn check_nothing_moves(&self, word: &str) -> Result<(), Refused> {
        let Some(merge) = &self.merge else { return Ok(()) };
        let next = if merge.is_completing() {
            "wait until COMPMERGE has ended"
        } else if merge.is_caught_up() {
            "COMPMERGE, or ABORTMERGE"
        } else {
            "wait until all is Done, or ABORTMERGE"
        };
        Err(Refused::Illegal { word: word.into(), state: merge.describe(), next: next.into() })
    }

    fn set_state(
        &mut self,
        node_id: NodeId,
        in_ring: InRing,
        action: MemberAction,
        operate: ActionProgress,
    ) -> Outcome {
        self.is_automerge_held = false;
        let ring = self.founded_ring_mut()?;
        for node in ring.nodes.iter_mut().filter(|node| node.node_id == node_id) {
            (node.in_ring, node.action, node.operate) = (in_ring, action, operate);
        }
        ring.version.0 += 1;
        Ok(MetaReply::Done)
    }
}

/// `No.4 is [SERVICE IN] [ADD] [Pending]`, as a refusal says it.
pub(super) fn notation(node: &Node) -> String {
    format!("No.{} is {} {} {}", node.number, node.in_ring, node.action, node.operate)
}

fn next_towards_out(node: &Node) -> &'static str {
    match (node.action, node.operate) {
        (MemberAction::None, _) => "SERVICEOUT, then MERGE and COMPMERGE",
        (MemberAction::Add, ActionProgress::Pending) => "SERVICEOUT",
        (MemberAction::Add, _) => "ABORTMERGE, then SERVICEOUT",
        (MemberAction::Delete, ActionProgress::Pending) => "MERGE, then COMPMERGE",
        (MemberAction::Delete, _) => "COMPMERGE",
    }
}
