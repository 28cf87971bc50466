//! Apply: brings the parameters of the inventory to running nodes, node by node. A node reloads if that is enough, restarts if it
//! is not, and between two nodes stands the gate. What does not run gets its file only.

use std::collections::BTreeMap;

use dkc_core::config::Parameters;
use dkc_core::ids::ClusterName;

use super::deploy::{config_step, parameter_refusals};
use super::gate::Gate;
use super::header::ring_version;
use super::restart::{meta_leader_last, restart_steps, rolling_refusal};
use super::steps::{ObservedNode, Phase, Steps, places};
use super::timeouts::timeouts_refusal;
use super::{Danger, HostAction, Operation, Plan, Refusal, Refused};
use crate::config_drift::{Way, in_use};
use crate::edit::record_deployed;
use crate::model::{Inventory, NodeName};
use crate::observed::Observed;
use crate::render;

/// `apply config`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Registered clusters; one after the other.
    pub clusters: Vec<ClusterName>,
    /// Leave out hosts that do not answer (`--allow-silent`).
    pub allow_silent: bool,
    /// Restart servers although others are down already (`--allow-no-quorum`).
    pub allow_no_quorum: bool,
}

/// Plans reloads and restarts; no steps if every node goes by what the inventory says.
pub fn apply(inventory: &Inventory, observed: &Observed, request: &ApplyRequest) -> Result<Plan, Refused> {
    let nodes: Vec<NodeName> = request.clusters.iter().flat_map(|name| inventory.nodes_of(name)).collect();
    let mut refusals = parameter_refusals(inventory, &nodes);
    let places = places(inventory, observed, &nodes, &mut refusals);
    let mut plan = Plan::new(inventory, &request.operation, Danger::Reversible);
    if request.allow_silent {
        let silent = |refusal: &Refusal| matches!(refusal, Refusal::Silent { .. });
        let left = refusals.iter().filter(|refusal| silent(refusal));
        plan.impact.extend(left.map(|refusal| format!("left out, apply again when it answers: {refusal}")));
        refusals.retain(|refusal| !silent(refusal));
    }
    let mut by_cluster: BTreeMap<&ClusterName, Vec<(ObservedNode<'_>, Way)>> = BTreeMap::new();
    for place in places {
        let way = Way::of(inventory, &place.node, &place.facts.node(&place.node));
        let name = request.clusters.iter().find(|name| *name == place.node.cluster());
        by_cluster.entry(name.expect("nodes of these clusters")).or_default().push((place, way));
    }
    let mut rolling = Rolling { inventory, observed, request, steps: Steps::default(), turn: 0 };
    for (name, nodes) in by_cluster {
        refusals.extend(rolling.cluster(name, nodes, &mut plan));
    }
    Refused::unless_empty(refusals)?;

    plan.steps = rolling.steps.numbered();
    // A plan without restarts moves no leadership, but depends on the servers that it asks all the same.
    plan.ring_version = ring_version(observed, &nodes);
    plan.target = record_deployed(inventory, &written(&plan)).inventory.generation;
    plan.undo = "undo the inventory change, then apply config again".into();
    Ok(plan)
}

/// Nodes whose file the plan writes.
fn written(plan: &Plan) -> Vec<NodeName> {
    let writes = |action: &HostAction| matches!(action, HostAction::CheckConfiguration { .. });
    let steps = plan.steps.iter().filter(|step| step.action.on_host().is_some_and(writes));
    steps.filter_map(|step| step.node.clone()).collect()
}

struct Rolling<'a> {
    inventory: &'a Inventory,
    observed: &'a Observed,
    request: &'a ApplyRequest,
    steps: Steps,
    turn: usize,
}

impl Rolling<'_> {
    /// Servers before slaves, and the leader of the meta group last of the servers, so that it changes only once.
    fn cluster(
        &mut self,
        name: &ClusterName,
        nodes: Vec<(ObservedNode<'_>, Way)>,
        plan: &mut Plan,
    ) -> Vec<Refusal> {
        if nodes.iter().all(|(_, way)| *way == Way::NotInstalled) {
            let refusal = |(place, _): (ObservedNode<'_>, Way)| Refusal::NotInstalled {
                host: place.host,
                node: place.node,
            };
            return nodes.into_iter().map(refusal).collect();
        }
        plan.impact.extend(words(&nodes));
        let mut refusals = Vec::new();
        let restarts = |(place, way): &&(ObservedNode<'_>, Way)| {
            matches!(way, Way::Restart(_)) && place.node.is_server()
        };
        if nodes.iter().any(|(_, way)| matches!(way, Way::Restart(_))) {
            plan.danger = Danger::Disruptive;
        }
        if nodes.iter().filter(restarts).count() > 0 {
            let allow = self.request.allow_no_quorum;
            refusals.extend(rolling_refusal(self.inventory, self.observed, name, allow, plan));
            refusals.extend(self.timeouts(name, &nodes));
        }
        let gate = Gate::of(self.inventory, self.observed, name);
        let (mut servers, slaves): (Vec<_>, Vec<_>) =
            nodes.into_iter().partition(|(place, _)| place.node.is_server());
        meta_leader_last(self.inventory, self.observed, name, &mut servers, |(place, _)| &place.node);
        for (place, way) in servers.iter().chain(&slaves) {
            self.node(place, way, gate.as_ref());
        }
        refusals
    }

    fn timeouts(&self, name: &ClusterName, nodes: &[(ObservedNode<'_>, Way)]) -> Option<Refusal> {
        let servers = nodes.iter().filter(|(place, _)| place.node.is_server());
        let parameters = |(place, _): &(ObservedNode<'_>, Way)| -> Option<(Parameters, Parameters)> {
            let wanted = render::node_config(self.inventory, &place.node)?.parameters;
            Some((in_use(&place.facts.node(&place.node))?.parameters, wanted))
        };
        timeouts_refusal(name, servers.filter_map(parameters), false)
    }

    fn node(&mut self, place: &ObservedNode<'_>, way: &Way, gate: Option<&Gate>) {
        let view = place.facts.node(&place.node);
        let Some(config) = render::node_config(self.inventory, &place.node) else { return };
        let phase = match way {
            Way::Nothing | Way::NotInstalled => return,
            // Before any node that runs is touched.
            Way::Write => Phase::InstallNodes,
            Way::Reload(_) | Way::Restart(_) => Phase::Turn(self.turn),
        };
        if let Some(write) = config_step(&place.dir(), &config, &view) {
            self.steps.node(phase, place, write);
            self.steps.node(phase, place, HostAction::CheckConfiguration { dir: place.dir() });
        }
        match way {
            Way::Reload(_) => self.steps.node(phase, place, HostAction::ReloadNode { dir: place.dir() }),
            Way::Restart(_) => restart_steps(&mut self.steps, phase, place),
            _ => return,
        }
        self.turn += 1;
        let Some(gate) = gate else { return };
        // The steps of one phase run in order on one host only, and the gate of a slave stands on a server's.
        let phase = if place.node.is_server() { phase } else { Phase::Turn(self.turn) };
        gate.steps(&mut self.steps, phase, place);
        self.turn += 1;
    }
}

/// Which nodes reload, restart, or get their file only.
fn words(nodes: &[(ObservedNode<'_>, Way)]) -> Vec<String> {
    let mut by_words: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (place, way) in nodes {
        let words = match way {
            Way::Nothing => continue,
            Way::NotInstalled => "not installed, left out (deploy)".into(),
            Way::Write => "configuration written only".into(),
            Way::Reload(change) => format!("reload, no restart: {}", change.dynamic.join(", ")),
            Way::Restart(Some(change)) => format!("restart: {}", change.restart_needed.join(", ")),
            Way::Restart(None) => "restart: it does not say what it goes by".into(),
        };
        by_words.entry(words).or_default().push(place.node.to_string());
    }
    by_words.into_iter().map(|(words, nodes)| format!("{words} on {}", nodes.join(", "))).collect()
}
