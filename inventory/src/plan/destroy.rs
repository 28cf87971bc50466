//! Destroy: removes services and directories of a cluster or a slave with all their data. Only directories with the node's
//! own marker are removed; everything else on the host stays.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::ids::{ClusterName, HostAddress, SlaveId};

use super::deploy::ownership_refusal;
use super::header::ring_version;
use super::standing::is_up;
use super::steps::{ObservedNode, Phase, Steps, places};
use super::{Danger, HostAction, Operation, Plan, Refusal, Refused};
use crate::edit::forget_deployed;
use crate::model::{Inventory, NodeName};
use crate::observed::{HostFacts, Observed};

/// What is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestroyTarget {
    /// All of a cluster.
    Cluster {
        /// Whose servers.
        name: ClusterName,
        /// Also its slaves; otherwise installed slaves are a reason to refuse.
        with_slaves: bool,
    },
    /// One slave; its cluster is untouched.
    Slave {
        /// Which slave.
        id: SlaveId,
    },
}

/// `destroy`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestroyRequest {
    /// Id and command line.
    pub operation: Operation,
    /// What is removed.
    pub target: DestroyTarget,
    /// Also remove roots with programs that contain no other node.
    pub with_roots: bool,
}

impl DestroyTarget {
    /// The nodes to remove.
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

    /// The hosts to observe.
    pub fn hosts(&self, inventory: &Inventory) -> Result<BTreeSet<HostAddress>, Refused> {
        let mut nodes = self.nodes(inventory)?;
        if let DestroyTarget::Cluster { name, .. } = self {
            // The host of a removed member may be unregistered or silent; neither prevents destroy.
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

/// Directories of removed members on hosts that answer.
fn left_behind<'a>(
    inventory: &Inventory,
    observed: &'a Observed,
    target: &DestroyTarget,
) -> Vec<ObservedNode<'a>> {
    let DestroyTarget::Cluster { name, .. } = target else { return Vec::new() };
    let place = |node: NodeName| {
        let host = inventory.host_of(&node)?;
        let facts = observed.facts(&host)?;
        facts.node(&node).exists.then_some(ObservedNode { node, host, facts })
    };
    inventory.removed_of(name).into_iter().filter_map(place).collect()
}

/// A slave that is only registered does not prevent destroying its cluster.
fn installed_slaves(inventory: &Inventory, cluster: &ClusterName) -> Vec<String> {
    let is_installed = |id: &SlaveId| inventory.slaves.get(id).is_some_and(|slave| slave.deployed.is_some());
    inventory.slaves_of(cluster).into_iter().filter(is_installed).map(|id| id.to_string()).collect()
}

/// Plans the end of services and directories, with all their data. Stays registered: `deploy` would reinstall it,
/// empty.
pub fn destroy(
    inventory: &Inventory,
    observed: &Observed,
    request: &DestroyRequest,
) -> Result<Plan, Refused> {
    let nodes = request.target.nodes(inventory)?;
    let mut refusals = Vec::new();
    let mut places = places(inventory, observed, &nodes, &mut refusals);
    places.extend(left_behind(inventory, observed, &request.target));
    let is_ours =
        |place: &&ObservedNode<'_>| place.facts.node(&place.node).marker == inventory.uuid_of(&place.node);
    let present: Vec<&ObservedNode<'_>> = places.iter().filter(is_ours).collect();
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
        let uuid = inventory.uuid_of(&place.node).expect("observed nodes are registered");
        steps.node(remove, place, HostAction::RemoveNode { dir: place.dir(), uuid, manager });
    }
    if request.with_roots {
        root_steps(&mut steps, &places);
    }
    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    plan.ring_version = ring_version(observed, &nodes);
    plan.target = forget_deployed(inventory, &nodes).inventory.generation;
    plan.steps = steps.numbered();
    plan.undo = "none".into();
    match &request.target {
        DestroyTarget::Slave { id } => {
            plan.impact.push(format!("removes slave {id} and its listeners; a slave holds no data"));
            plan.impact
                .push(format!("slave {id} stays registered; unregister slave --id {id} removes the entry"));
        }
        DestroyTarget::Cluster { name, .. } if !present.is_empty() => {
            plan.danger = Danger::LosesData;
            plan.confirm = Some(format!("{name}@g{}", inventory.generation));
            plan.impact.push(format!("all data in {name} is lost"));
            plan.impact.push(format!(
                "{name} stays registered; deploy and start create it again, unregister cluster -n {name} removes the entry"
            ));
        }
        DestroyTarget::Cluster { .. } => {}
    }
    Ok(plan)
}

fn root_steps(steps: &mut Steps, places: &[ObservedNode<'_>]) {
    let hosts: BTreeMap<&HostAddress, &HostFacts> = places.iter().map(|p| (&p.host, p.facts)).collect();
    let going: BTreeSet<&NodeName> = places.iter().map(|place| &place.node).collect();
    for (host, facts) in hosts {
        let stays = facts.nodes.iter().any(|(node, view)| view.exists && !going.contains(node));
        if facts.root_has_marker && !stays {
            steps.host(Phase::RemoveRoots, host, HostAction::RemoveRoot { root: facts.root.clone() });
        }
    }
}
