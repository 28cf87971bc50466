//! Destroy: services and directories of a cluster or a slave go, with all data in them. Only what carries the
//! marker of the very node is removed; everything else on the host stays.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::ids::{ClusterName, HostAddress, SlaveId};

use super::deploy::ownership_refusal;
use super::header::ring_version;
use super::standing::is_up;
use super::steps::{Phase, Place, Steps, places};
use super::{Danger, HostAction, Operation, Plan, Refusal, Refused};
use crate::edit::forget_deployed;
use crate::model::{Inventory, NodeName};
use crate::observed::{HostFacts, Observed};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestroyTarget {
    Cluster {
        name: ClusterName,
        /// Its slaves too; otherwise a cluster that has installed ones is not destroyed.
        with_slaves: bool,
    },
    Slave {
        id: SlaveId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestroyRequest {
    pub operation: Operation,
    pub target: DestroyTarget,
    /// Also the roots with the programs, where no other node is left in them.
    pub with_roots: bool,
}

impl DestroyTarget {
    /// The nodes that go.
    pub fn nodes(&self, inventory: &Inventory) -> Result<Vec<NodeName>, Refused> {
        use super::Target;
        match self {
            DestroyTarget::Slave { id } => Target::Slaves { ids: vec![*id] }.nodes(inventory),
            DestroyTarget::Cluster { name, with_slaves } => {
                let servers =
                    Target::Servers { cluster: name.clone(), numbers: Vec::new() }.nodes(inventory)?;
                let ids = installed_slaves(inventory, name);
                match with_slaves {
                    true => Ok(inventory.nodes_of(name)),
                    false if ids.is_empty() => Ok(servers),
                    false => Err(Refusal::SlavesLeft { cluster: name.clone(), ids }.into()),
                }
            }
        }
    }

    /// The hosts that must be asked.
    pub fn hosts(&self, inventory: &Inventory) -> Result<BTreeSet<HostAddress>, Refused> {
        let mut nodes = self.nodes(inventory)?;
        if let DestroyTarget::Cluster { name, .. } = self {
            // A host that is gone with its member was unregistered, or is silent, which hinders nothing.
            let removed = inventory.removed_of(name).into_iter();
            nodes.extend(
                removed.filter(|node| {
                    inventory.host_of(node).is_some_and(|host| inventory.host(&host).is_some())
                }),
            );
        }
        Ok(super::scope::hosts_of(inventory, &nodes))
    }
}

/// What members that left the ring have left on hosts that answer.
fn left_behind<'a>(inventory: &Inventory, observed: &'a Observed, target: &DestroyTarget) -> Vec<Place<'a>> {
    let DestroyTarget::Cluster { name, .. } = target else { return Vec::new() };
    let place = |node: NodeName| {
        let host = inventory.host_of(&node)?;
        let facts = observed.facts(&host)?;
        facts.node(&node).exists.then_some(Place { node, host, facts })
    };
    inventory.removed_of(name).into_iter().filter_map(place).collect()
}

/// A slave that is only registered runs nowhere and loses nothing with its cluster.
fn installed_slaves(inventory: &Inventory, cluster: &ClusterName) -> Vec<String> {
    let is_installed = |id: &SlaveId| inventory.slaves.get(id).is_some_and(|slave| slave.deployed.is_some());
    inventory.slaves_of(cluster).into_iter().filter(is_installed).map(|id| id.to_string()).collect()
}

pub fn destroy(
    inventory: &Inventory,
    observed: &Observed,
    request: &DestroyRequest,
) -> Result<Plan, Refused> {
    let nodes = request.target.nodes(inventory)?;
    let mut refusals = Vec::new();
    let mut places = places(inventory, observed, &nodes, &mut refusals);
    places.extend(left_behind(inventory, observed, &request.target));
    let is_ours = |place: &&Place<'_>| place.facts.node(&place.node).marker == inventory.uuid_of(&place.node);
    let present: Vec<&Place<'_>> = places.iter().filter(is_ours).collect();
    refusals.extend(places.iter().filter_map(|place| {
        let uuid = inventory.uuid_of(&place.node)?;
        ownership_refusal(&place.host, &place.dir(), &place.facts.node(&place.node), uuid)
    }));
    Refused::unless_empty(refusals)?;

    let mut steps = Steps::default();
    for place in &present {
        let (stop, remove) = match place.node.is_server() {
            true => (Phase::Stop, Phase::Remove),
            false => (Phase::StopSlaves, Phase::RemoveSlaves),
        };
        let manager = place.facts.service;
        if is_up(&place.facts.node(&place.node)) {
            steps.node(stop, place, HostAction::StopNode { dir: place.dir(), manager });
        }
        let uuid = inventory.uuid_of(&place.node).expect("a place is made of a registered node");
        steps.node(remove, place, HostAction::RemoveNode { dir: place.dir(), uuid, manager });
    }
    if request.with_roots {
        root_steps(&mut steps, &places);
    }
    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    plan.ring_version = ring_version(observed, &nodes);
    plan.target = forget_deployed(inventory, &nodes).inventory.generation;
    plan.steps = steps.numbered();
    plan.undo = "none: what is removed is gone".into();
    match &request.target {
        DestroyTarget::Slave { id } => {
            plan.impact.push(format!("slave {id} and its listeners go; no data is in it"));
            plan.impact.push(format!("slave {id} stays registered: unregister slave --id {id} forgets it"));
        }
        DestroyTarget::Cluster { name, .. } if !present.is_empty() => {
            plan.danger = Danger::LosesData;
            plan.confirm = Some(format!("{name}@g{}", inventory.generation));
            plan.impact.push(format!("every key in {name} is lost for ever"));
            plan.impact.push(format!(
                "{name} stays registered: deploy and start make it anew, unregister cluster -n {name} forgets it"
            ));
        }
        DestroyTarget::Cluster { .. } => {}
    }
    Ok(plan)
}

fn root_steps(steps: &mut Steps, places: &[Place<'_>]) {
    let hosts: BTreeMap<&HostAddress, &HostFacts> = places.iter().map(|p| (&p.host, p.facts)).collect();
    let going: BTreeSet<&NodeName> = places.iter().map(|place| &place.node).collect();
    for (host, facts) in hosts {
        let stays = facts.nodes.iter().any(|(node, view)| view.exists && !going.contains(node));
        if facts.root_has_marker && !stays {
            steps.host(Phase::RemoveRoots, host, HostAction::RemoveRoot { root: facts.root.clone() });
        }
    }
}
