//! Stop: slaves, a whole cluster, or some of its servers. Refused for a cluster that a running slave uses, and for a part
//! that would cost the rest its quorum.

use dkc_core::ids::{ClusterName, MemberNo};

use super::header::ring_version;
use super::standing::{failures, is_founded, is_up, members_up, tolerated};
use super::steps::{ObservedNode, Phase, Steps, facts, places};
use super::{Danger, HostAction, Operation, Plan, Refusal, Refused, Target};
use crate::model::{Inventory, NodeName};
use crate::observed::Observed;

/// `stop`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Which nodes.
    pub target: Target,
    /// Skip hosts that do not answer (`--allow-silent`).
    pub allow_silent: bool,
    /// Proceed although the remaining servers lose their quorum (`--allow-no-quorum`).
    pub allow_no_quorum: bool,
}

/// Plans to stop what runs; refused where a quorum would be lost, unless allowed.
pub fn stop(inventory: &Inventory, observed: &Observed, request: &StopRequest) -> Result<Plan, Refused> {
    let nodes = request.target.nodes(inventory)?;
    let mut refusals = Vec::new();
    let places = places(inventory, observed, &nodes, &mut refusals);
    if request.allow_silent {
        refusals.retain(|refusal| !matches!(refusal, Refusal::Silent { .. }));
    }
    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    let running: Vec<&ObservedNode<'_>> =
        places.iter().filter(|place| is_up(&place.facts.node(&place.node))).collect();
    let is_whole = match &request.target {
        Target::Servers { cluster, .. } => stops_all(inventory, observed, cluster, &nodes),
        Target::Slaves { .. } => false,
    };
    if let (Target::Servers { cluster, .. }, false) = (&request.target, running.is_empty()) {
        match is_whole {
            true => refusals.extend(slave_refusals(inventory, observed, cluster, request.allow_silent)),
            false => refusals.extend(quorum(inventory, observed, cluster, &nodes, request, &mut plan)),
        }
    }
    Refused::unless_empty(refusals)?;

    let mut steps = Steps::default();
    for place in &running {
        // Transfer leaderships only if servers remain to take them.
        if place.node.is_server() && !is_whole && is_founded(inventory, observed, place.node.cluster()) {
            steps.node(Phase::HandOver, place, HostAction::PrepareStop { dir: place.dir() });
        }
        steps.node(
            Phase::Stop,
            place,
            HostAction::StopNode { dir: place.dir(), manager: place.facts.service },
        );
    }
    plan.ring_version = ring_version(observed, &nodes);
    plan.steps = steps.numbered();
    if !plan.is_empty() {
        plan.impact.extend(impact(&request.target, is_whole));
    }
    plan.undo = start_words(&request.target);
    Ok(plan)
}

/// Whether no server remains running.
fn stops_all(inventory: &Inventory, observed: &Observed, cluster: &ClusterName, nodes: &[NodeName]) -> bool {
    let stays = |node: &NodeName| {
        let NodeName::Server(_, number) = node else { return false };
        !nodes.contains(node) && members_up(inventory, observed, cluster).contains(number)
    };
    !inventory.servers_of(cluster).iter().any(stays)
}

/// Running slaves of the cluster; a slave on a silent host counts as running.
fn slave_refusals(
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
    allow_silent: bool,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut ids = Vec::new();
    for id in inventory.slaves_of(cluster) {
        let node = NodeName::Slave(cluster.clone(), id);
        let Some(host) = inventory.host_of(&node) else { continue };
        match facts(observed, &host) {
            Ok(facts) if is_up(&facts.node(&node)) => ids.push(id.to_string()),
            Ok(_) => {}
            Err(_) if allow_silent || inventory.deployed_of(&node).is_none() => {}
            Err(refusal) => refusals.push(refusal),
        }
    }
    if !ids.is_empty() {
        refusals.push(Refusal::SlavesUse { cluster: cluster.clone(), ids });
    }
    refusals
}

/// The effect of a partial stop: refused below the quorum, otherwise reported.
fn quorum(
    inventory: &Inventory,
    observed: &Observed,
    name: &ClusterName,
    nodes: &[NodeName],
    request: &StopRequest,
    plan: &mut Plan,
) -> Option<Refusal> {
    let cluster = inventory.clusters.get(name)?;
    let stays = |number: &&MemberNo| !nodes.contains(&NodeName::Server(name.clone(), **number));
    let up_after = members_up(inventory, observed, name).iter().filter(stays).count();
    let servers = cluster.servers.len();
    let down = servers - up_after;
    let tolerates = tolerated(cluster.copies());
    if down <= tolerates {
        plan.impact.push(format!(
            "{name} keeps serving; it tolerates {} more until the servers are started",
            failures(tolerates - down)
        ));
        return None;
    }
    if !is_founded(inventory, observed, name) {
        return None;
    }
    if !request.allow_no_quorum {
        return Some(Refusal::Quorum { cluster: name.clone(), down, servers, tolerates });
    }
    plan.danger = Danger::LosesData;
    plan.confirm = Some(format!("{name}@g{}", inventory.generation));
    plan.impact.push(format!("{name} loses its quorum: some or all keys become unavailable"));
    None
}

fn impact(target: &Target, is_whole: bool) -> Vec<String> {
    match target {
        Target::Servers { cluster, .. } if is_whole => {
            vec![format!("{cluster} becomes unavailable; its data stays on disk")]
        }
        Target::Servers { .. } => Vec::new(),
        Target::Slaves { .. } => vec!["applications on these hosts lose their listener".into()],
    }
}

fn start_words(target: &Target) -> String {
    match target {
        Target::Servers { cluster, .. } => format!("start cluster -n {cluster}"),
        Target::Slaves { ids } if ids.len() == 1 => format!("start slave --id {}", ids[0]),
        Target::Slaves { .. } => "start slave".into(),
    }
}
