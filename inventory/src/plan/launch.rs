//! Launch: a cluster that was just registered is installed, started and founded, and its slaves are started, in one plan. Refused for
//! the same reasons as deploy and start. What an earlier launch has done already is left out.

use std::collections::BTreeMap;

use dkc_core::ids::ClusterName;

use super::authority::{Authorities, AuthorityView};
use super::deploy::{host_refusals, node_refusal, node_steps, parameter_refusals, program_steps, user_steps};
use super::header::ring_version;
use super::standing::{is_founded, tolerated};
use super::start::{founding_words, is_kept, is_running, port_refusals, start_action};
use super::steps::{ObservedNode, Phase, Steps, places};
use super::{
    ClusterAction, Danger, DeployRequest, Endpoint, HostAction, Operation, Plan, Program, Refused, Selection,
    Target,
};
use crate::generation::Generation;
use crate::model::Inventory;
use crate::observed::Observed;

/// `launch cluster`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Registered in the inventory of the plan.
    pub cluster: ClusterName,
    /// The generation on disk; the plan is bound to it, not to the one with the new cluster.
    pub base: Generation,
    /// What is installed.
    pub program: Program,
    /// As in `DeployRequest::authorities`.
    pub authorities: BTreeMap<ClusterName, AuthorityView>,
}

/// Plans everything between a registered cluster and one that serves.
pub fn launch(inventory: &Inventory, observed: &Observed, request: &LaunchRequest) -> Result<Plan, Refused> {
    let name = &request.cluster;
    Target::Servers { cluster: name.clone(), numbers: Vec::new() }.nodes(inventory)?;
    let nodes = inventory.nodes_of(name);
    let mut refusals = parameter_refusals(inventory, &nodes);
    let places = places(inventory, observed, &nodes, &mut refusals);
    let deploy = DeployRequest {
        operation: request.operation.clone(),
        selection: Selection { clusters: vec![name.clone()], ..Selection::default() },
        program: request.program.clone(),
        authorities: request.authorities.clone(),
        config_only: false,
    };
    refusals.extend(host_refusals(inventory, &request.program, &places));
    refusals.extend(places.iter().filter_map(|place| node_refusal(inventory, &deploy, place)));
    for place in places.iter().filter(|place| !is_running(place)) {
        refusals.extend(port_refusals(inventory, place));
    }
    let authorities = Authorities::of(inventory, &deploy.authorities, &places);
    refusals.extend(authorities.refusals(&places));
    Refused::unless_empty(refusals)?;

    let mut steps = Steps::default();
    authorities.steps(&mut steps, &places);
    program_steps(&mut steps, &deploy, &places);
    user_steps(&mut steps, inventory, &places);
    for place in &places {
        node_steps(&mut steps, inventory, &deploy, &authorities, place);
    }
    start_steps(&mut steps, inventory, observed, name, &places);
    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    plan.base = request.base;
    plan.ring_version = ring_version(observed, &nodes);
    plan.steps = steps.numbered();
    plan.target = inventory.generation.next_if(plan.steps.iter().any(records));
    if !is_founded(inventory, observed, name) {
        plan.impact.push(founding_words(inventory, name));
    }
    plan.undo = match inventory.slaves_of(name).is_empty() {
        true => format!("destroy cluster -n {name}, then unregister cluster -n {name}"),
        false => {
            format!("destroy cluster -n {name} --with-slaves, then unregister its slaves and the cluster")
        }
    };
    Ok(plan)
}

/// Its result is recorded in the inventory.
fn records(step: &super::Step) -> bool {
    matches!(
        step.action.on_host(),
        Some(HostAction::CheckConfiguration { .. } | HostAction::FoundCluster { .. })
    )
}

/// Servers first and together, then the ring, then the slaves; last a look at the whole.
fn start_steps(
    steps: &mut Steps,
    inventory: &Inventory,
    observed: &Observed,
    name: &ClusterName,
    places: &[ObservedNode<'_>],
) {
    let (servers, slaves): (Vec<_>, Vec<_>) = places.iter().partition(|place| place.node.is_server());
    let is_new = !is_founded(inventory, observed, name);
    let mut is_changed = is_new;
    for (places, start, ready) in
        [(&servers, Phase::Start, Phase::Ready), (&slaves, Phase::Turn(0), Phase::Turn(1))]
    {
        for place in places.iter().filter(|place| !is_kept(place)) {
            is_changed = true;
            steps.node(start, place, start_action(place));
            steps.node(ready, place, HostAction::WaitReady { dir: place.dir() });
        }
    }
    if let Some(first) = servers.first().filter(|_| is_new) {
        steps.node(Phase::Found, first, HostAction::FoundCluster { dir: first.dir() });
    }
    if is_changed {
        let endpoint = |place: &&ObservedNode<'_>| Endpoint { host: place.host.clone(), dir: place.dir() };
        let endpoints: Vec<Endpoint> = servers.iter().map(endpoint).collect();
        let copies = inventory.clusters.get(name).map_or(0, |cluster| cluster.copies());
        let failures = tolerated(copies) as u32;
        steps.ring(Phase::Turn(2), endpoints.clone(), ClusterAction::WaitHealthy { failures });
        steps.ring(Phase::Turn(2), endpoints, ClusterAction::Canary);
    }
}
