//! Plans of `tls rotate` and `tls revoke`: new leaves for all nodes, a new authority while every node always trusts the signing
//! one, and the revocation of a slave's identity. *Invariant:* every node trusts the new authority before any node presents a
//! certificate of it; no node presents a certificate of the old one when it is removed. An unreachable node
//! stops the plan before its first step.

use std::collections::BTreeMap;

use dkc_core::certificate::LEAF_DAYS;
use dkc_core::ids::{ClusterName, NodeUuid, SlaveId};

use super::authority::{AuthorityView, namespaces};
use super::header::ring_version;
use super::ring::endpoints;
use super::start::is_running;
use super::steps::{ObservedNode, Phase, Steps, places};
use super::{AuthorityStep, ClusterAction, Danger, HostAction, Operation, Plan, Refusal, Refused, Target};
use crate::enrolled::tokens;
use crate::model::{Inventory, NodeName};
use crate::observed::Observed;
use crate::ring_facts::RingFacts;

/// New certificates for a cluster and its slaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotateRequest {
    /// Its id and the command as typed.
    pub operation: Operation,
    /// The cluster.
    pub cluster: ClusterName,
    /// The cluster's authority, if it is present.
    pub authorities: BTreeMap<ClusterName, AuthorityView>,
    /// Another authority as well.
    pub ca: bool,
}

/// A slave whose identity is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeRequest {
    /// Its id and the command as typed.
    pub operation: Operation,
    /// The cluster.
    pub cluster: ClusterName,
    /// The slave, which must be one of that cluster.
    pub slave: SlaveId,
    /// The operator: `ann@admin1`.
    pub holder: String,
}

/// Plans new certificates, and another authority if asked for.
pub fn rotate(inventory: &Inventory, observed: &Observed, request: &RotateRequest) -> Result<Plan, Refused> {
    let name = &request.cluster;
    Target::Servers { cluster: name.clone(), numbers: Vec::new() }.nodes(inventory)?;
    let nodes = inventory.nodes_of(name);
    let mut refusals = Vec::new();
    let places = places(inventory, observed, &nodes, &mut refusals);
    Refused::unless_empty(refusals)?;
    let (installed, others): (Vec<ObservedNode<'_>>, Vec<ObservedNode<'_>>) =
        places.into_iter().partition(|place| place.facts.node(&place.node).exists);
    if installed.is_empty() {
        let refusal = |place: ObservedNode<'_>| Refusal::NotInstalled { host: place.host, node: place.node };
        Refused::unless_empty(others.into_iter().map(refusal).collect())?;
    }
    if !request.authorities.contains_key(name) {
        return Err(Refusal::AuthorityLost { cluster: name.clone() }.into());
    }

    let mut turns = Turns { inventory, places: &installed, steps: Steps::default(), turn: 0 };
    match request.ca {
        true => turns.authority(name),
        false => turns.leaves(),
    }
    let danger = if request.ca { Danger::Disruptive } else { Danger::Reversible };
    let mut plan = Plan::new(inventory, &request.operation, danger);
    plan.ring_version = ring_version(observed, &nodes);
    plan.steps = turns.steps.numbered();
    plan.impact = impact(request, &nodes, &installed);
    plan.undo = match request.ca {
        true => format!("run again: tls rotate -n {name} --ca   (another new authority)"),
        false => format!("not needed: the old certificates expire within {LEAF_DAYS} days"),
    };
    Ok(plan)
}

fn impact(request: &RotateRequest, nodes: &[NodeName], installed: &[ObservedNode<'_>]) -> Vec<String> {
    let mut lines = vec!["no connection is closed; new ones use the new certificates".to_owned()];
    if request.ca {
        lines.push("every node trusts both authorities until all have new certificates".into());
    }
    let is_left = |node: &&NodeName| !installed.iter().any(|place| place.node == **node);
    let left: Vec<String> = nodes.iter().filter(is_left).map(|node| node.to_string()).collect();
    if !left.is_empty() {
        lines.push(format!("not installed, gets its certificate from deploy: {}", left.join(", ")));
    }
    lines
}

/// Phases: all nodes complete one before any node starts the next.
struct Turns<'a> {
    inventory: &'a Inventory,
    places: &'a [ObservedNode<'a>],
    steps: Steps,
    turn: usize,
}

impl Turns<'_> {
    fn leaves(&mut self) {
        self.issue();
        self.reload();
    }

    fn authority(&mut self, name: &ClusterName) {
        self.rotate(name, AuthorityStep::Begin);
        self.each(|place| HostAction::TrustAuthorities { dir: place.dir() });
        self.reload();
        self.rotate(name, AuthorityStep::Switch);
        self.issue();
        self.reload();
        self.rotate(name, AuthorityStep::End);
        self.each(|place| HostAction::TrustAuthorities { dir: place.dir() });
        self.reload();
    }

    fn each(&mut self, action: impl Fn(&ObservedNode<'_>) -> HostAction) {
        for place in self.places {
            self.steps.node(Phase::Turn(self.turn), place, action(place));
        }
        self.turn += 1;
    }

    fn issue(&mut self) {
        for place in self.places {
            let Some(uuid) = self.inventory.uuid_of(&place.node) else { continue };
            let action = HostAction::IssueCertificate {
                dir: place.dir(),
                uuid,
                is_server: place.node.is_server(),
                namespaces: namespaces(self.inventory, &place.node).into_iter().collect(),
            };
            self.steps.node(Phase::Turn(self.turn), place, action);
        }
        self.turn += 1;
    }

    /// Whoever does not run reads its files when it starts.
    fn reload(&mut self) {
        for place in self.places.iter().filter(|place| is_running(place)) {
            self.steps.node(
                Phase::Turn(self.turn),
                place,
                HostAction::ReloadCertificates { dir: place.dir() },
            );
        }
        self.turn += 1;
    }

    /// On the operator's machine, listed under the first host.
    fn rotate(&mut self, cluster: &ClusterName, step: AuthorityStep) {
        if let Some(place) = self.places.first() {
            let (root, cluster) = (place.facts.root.clone(), cluster.clone());
            let action = HostAction::RotateAuthority { root, cluster, step };
            self.steps.host(Phase::Turn(self.turn), &place.host, action);
        }
        self.turn += 1;
    }
}

/// Plans to take a slave's identity back.
pub fn revoke(inventory: &Inventory, observed: &Observed, request: &RevokeRequest) -> Result<Plan, Refused> {
    let (name, id) = (&request.cluster, request.slave);
    Target::Servers { cluster: name.clone(), numbers: Vec::new() }.nodes(inventory)?;
    let Some(uuid) = identity_of(inventory, observed, name, id) else {
        let of_cluster = inventory.slaves.iter().filter(|(_, slave)| slave.cluster == *name);
        let known = of_cluster.map(|(id, _)| id.to_string()).collect();
        return Err(Refusal::UnknownName { what: "slave", name: id.to_string(), known }.into());
    };
    let Some(facts) = RingFacts::of(inventory, observed, name) else {
        let why = "no server with a founded ring answers".to_owned();
        return Err(Refusal::RingSilent { cluster: name.clone(), why }.into());
    };
    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    plan.ring_version = Some(facts.view.ring.version);
    if facts.view.revoked.contains_key(&uuid) {
        return Ok(plan);
    }
    let action = ClusterAction::RevokeSlave { uuid, id, by: request.holder.clone() };
    let mut steps = Steps::default();
    steps.ring(Phase::Finish, endpoints(inventory, observed, name), action);
    plan.steps = steps.numbered();
    plan.impact = vec![
        format!(
            "every server disconnects slave {id} within seconds, permanently; its applications get errors"
        ),
        "its host keeps what it has; what it has read is not taken back".into(),
    ];
    plan.undo = match inventory.slaves.contains_key(&id) {
        true => format!(
            "not possible for this identity; with another one: destroy slave --id {id}, unregister slave --id {id}, register slave, \
             deploy"
        ),
        false => "not possible for this identity; its host can join again with another token".into(),
    };
    Ok(plan)
}

/// Of a registered slave, or of one that joined with a token and is in no inventory.
fn identity_of(
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
    id: SlaveId,
) -> Option<NodeUuid> {
    if let Some(slave) = inventory.slaves.get(&id) {
        return (slave.cluster == *cluster).then_some(slave.node_uuid);
    }
    let enrolled = tokens(inventory, observed, cluster)?.enrolled;
    enrolled.into_iter().find(|(_, slave)| slave.id == id).map(|(uuid, _)| uuid)
}
