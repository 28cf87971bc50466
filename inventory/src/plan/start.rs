//! Start: starts stopped nodes, all at once, and founds the ring on the first start, which requires all founders. Running
//! nodes are left alone.

use dkc_core::config::layout;
use dkc_core::ids::ClusterName;

use super::deploy::{has_held_data, ownership_refusal};
use super::header::ring_version;
use super::standing::{failures, is_founded, members_up, tolerated};
use super::steps::{ObservedNode, Phase, Steps, places};
use super::{Danger, HostAction, Operation, Plan, Refusal, Refused, Target};
use crate::edit::{plural, record_founded};
use crate::listeners::listeners;
use crate::model::{Inventory, NodeName};
use crate::observed::{NodeView, Observed};
use crate::render;

/// `start`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Which nodes.
    pub target: Target,
}

/// Plans to start what does not run, and to found a cluster that has no ring yet.
pub fn start(inventory: &Inventory, observed: &Observed, request: &StartRequest) -> Result<Plan, Refused> {
    let nodes = request.target.nodes(inventory)?;
    let mut refusals = Vec::new();
    let places = places(inventory, observed, &nodes, &mut refusals);
    for place in places.iter().filter(|place| !is_kept(place)) {
        refusals.extend(start_refusals(inventory, observed, place));
    }
    let unfounded = match &request.target {
        Target::Servers { cluster, .. } if !is_founded(inventory, observed, cluster) => Some(cluster),
        _ => None,
    };
    if let Some(cluster) = unfounded {
        refusals.extend(founders_refusal(inventory, observed, cluster, &nodes));
    }
    Refused::unless_empty(refusals).map_err(|mut refused| {
        refused.instead.extend(unfounded.is_none().then(|| those_that_answer(&refused, &places)).flatten());
        refused
    })?;

    let mut steps = Steps::default();
    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    let too_few = too_few_words(inventory, observed, request, &places);
    for place in places.iter().filter(|place| !is_kept(place)) {
        // A daemon without a supervisor is ended by the one that takes it over.
        if is_running(place) && place.node.is_server() {
            steps.node(Phase::HandOver, place, HostAction::PrepareStop { dir: place.dir() });
        }
        steps.node(Phase::Start, place, start_action(place));
        // Without a quorum no server becomes ready, so do not wait.
        if too_few.is_none() {
            steps.node(Phase::Ready, place, HostAction::WaitReady { dir: place.dir() });
        }
    }
    plan.impact.extend(too_few);
    if let (Some(cluster), Some(first)) = (unfounded, places.first()) {
        steps.node(Phase::Found, first, HostAction::FoundCluster { dir: first.dir() });
        plan.impact.push(founding_words(inventory, cluster));
    }
    if let Target::Servers { cluster, .. } = &request.target {
        // Records a founding that an earlier, killed shell did not record.
        plan.target = record_founded(inventory, cluster).inventory.generation;
    }
    plan.ring_version = ring_version(observed, &nodes);
    plan.impact.extend(places.iter().filter(|p| !is_running(p)).filter_map(|p| drift_words(inventory, p)));
    plan.impact.extend(slave_words(inventory, &places));
    plan.undo = stop_words(&request.target);
    plan.steps = steps.numbered();
    Ok(plan)
}

/// If silent hosts are the only reasons, the same command for the members that answer.
fn those_that_answer(refused: &Refused, places: &[ObservedNode<'_>]) -> Option<String> {
    let is_silence = |reason: &Refusal| matches!(reason, Refusal::Silent { .. });
    let members: Vec<String> = places
        .iter()
        .filter_map(|place| match &place.node {
            NodeName::Server(_, number) => Some(format!("--no {number}")),
            NodeName::Slave(..) => None,
        })
        .collect();
    let cluster = places.first()?.node.cluster();
    let is_possible = refused.reasons.iter().all(is_silence) && !members.is_empty();
    is_possible
        .then(|| format!("or start the reachable ones: start cluster -n {cluster} {}", members.join(" ")))
}

/// Warns if too few members of a founded cluster run after this start.
fn too_few_words(
    inventory: &Inventory,
    observed: &Observed,
    request: &StartRequest,
    places: &[ObservedNode<'_>],
) -> Option<String> {
    let Target::Servers { cluster: name, .. } = &request.target else { return None };
    let cluster = inventory.clusters.get(name)?;
    let mut up = members_up(inventory, observed, name);
    up.extend(places.iter().filter_map(|place| match &place.node {
        NodeName::Server(_, number) => Some(*number),
        NodeName::Slave(..) => None,
    }));
    let servers = cluster.servers.len();
    let is_few = up.len() + tolerated(cluster.copies()) < servers;
    (is_few && is_founded(inventory, observed, name))
        .then(|| format!("with {} of {servers} servers, some keys of {name} remain unavailable", up.len()))
}

pub(super) fn is_kept(place: &ObservedNode<'_>) -> bool {
    place.facts.node(&place.node).is_kept()
}

pub(super) fn is_running(place: &ObservedNode<'_>) -> bool {
    place.facts.node(&place.node).is_running()
}

pub(super) fn start_action(place: &ObservedNode<'_>) -> HostAction {
    HostAction::StartNode { dir: place.dir(), manager: place.facts.service }
}

/// Why a stopped node cannot be started.
pub(super) fn start_refusals(
    inventory: &Inventory,
    observed: &Observed,
    place: &ObservedNode<'_>,
) -> Vec<Refusal> {
    let (host, node) = (place.host.clone(), place.node.clone());
    let view = place.facts.node(&node);
    let uuid = inventory.uuid_of(&node).expect("observed nodes are registered");
    if let Some(refusal) = ownership_refusal(&host, &place.dir(), &view, uuid) {
        return vec![refusal];
    }
    if view.identity.is_none() && has_held_data(inventory, &node) {
        return vec![Refusal::LostData { host, node }];
    }
    if let Some(refusal) = Refusal::put_back(&host, &node, &view) {
        return vec![refusal];
    }
    if !is_installed(&view) {
        return vec![Refusal::NotInstalled { host, node }];
    }
    let mut refusals = port_refusals(inventory, place);
    if node.is_server() && differs(inventory, place) && !is_founded(inventory, observed, node.cluster()) {
        refusals.push(Refusal::Drift { host, node });
    }
    refusals
}

fn is_installed(view: &NodeView) -> bool {
    view.exists
        && view.identity.is_some()
        && view.program.is_some()
        && view.files.contains_key(layout::CONFIG)
}

fn differs(inventory: &Inventory, place: &ObservedNode<'_>) -> bool {
    let wanted = render::node_config(inventory, &place.node).map(|config| render::config_digest(&config));
    wanted.as_ref() != place.facts.node(&place.node).files.get(layout::CONFIG)
}

/// Refuses ports that another program uses, and a slave without pairs.
pub(super) fn port_refusals(inventory: &Inventory, place: &ObservedNode<'_>) -> Vec<Refusal> {
    if let NodeName::Slave(_, id) = &place.node
        && inventory.slaves.get(id).is_some_and(|slave| slave.pairs.is_empty())
    {
        return vec![Refusal::NoPair { id: id.to_string() }];
    }
    // Its own daemon, which lost its supervisor.
    if is_running(place) {
        return Vec::new();
    }
    let refusal = |(address, port): (String, u16)| {
        let by = place.facts.listener_on(&address, port)?.to_owned();
        Some(Refusal::PortTaken { host: place.host.clone(), node: place.node.clone(), port, by })
    };
    listeners(inventory, &place.node).into_iter().filter_map(refusal).collect()
}

/// All founders must be running or started by this plan.
fn founders_refusal(
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
    nodes: &[NodeName],
) -> Option<Refusal> {
    let founders = inventory.clusters.get(cluster)?.servers.iter().filter(|server| server.is_founder);
    let names = founders.map(|server| NodeName::Server(cluster.clone(), server.number));
    let is_missing =
        |node: &NodeName| !nodes.contains(node) && !observed.node(node).is_some_and(NodeView::is_running);
    let missing: Vec<String> = names.filter(is_missing).map(|node| node.to_string()).collect();
    (!missing.is_empty()).then(|| Refusal::FoundersMissing { cluster: cluster.clone(), missing })
}

pub(super) fn founding_words(inventory: &Inventory, name: &ClusterName) -> String {
    let Some(cluster) = inventory.clusters.get(name) else { return String::new() };
    let (servers, copies) = (cluster.servers.len(), cluster.copies() as usize);
    format!(
        "founds {name}: {servers} {}, {} tablets, {copies} {} each; tolerates {}",
        plural(servers, "server"),
        cluster.tablets,
        plural(copies, "replica"),
        failures(tolerated(cluster.copies())),
    )
}

fn drift_words(inventory: &Inventory, place: &ObservedNode<'_>) -> Option<String> {
    let node = &place.node;
    differs(inventory, place).then(|| format!("{node} starts with an outdated configuration; run deploy"))
}

fn slave_words(inventory: &Inventory, places: &[ObservedNode<'_>]) -> Option<String> {
    let starts = places.iter().find(|place| !place.node.is_server() && !is_running(place))?;
    let cluster = starts.node.cluster();
    let is_founded = inventory.clusters.get(cluster).is_some_and(|c| c.founded);
    (!is_founded).then(|| format!("{cluster} has not been started; applications get errors until it is"))
}

fn stop_words(target: &Target) -> String {
    match target {
        Target::Servers { cluster, .. } => format!("stop cluster -n {cluster}"),
        Target::Slaves { ids } if ids.len() == 1 => format!("stop slave --id {}", ids[0]),
        Target::Slaves { .. } => "stop slave".into(),
    }
}
