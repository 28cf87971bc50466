//! Restart: rolling, one server at a time with a health check and a canary write in between, or all at once. Stopped nodes are started.

use dkc_core::control::RoleStatus;
use dkc_core::ids::{ClusterName, NodeId};

use super::gate::Gate;
use super::header::ring_version;
use super::standing::{is_up, members_up, tolerated};
use super::start::{is_kept, is_running, start_action, start_refusals};
use super::steps::{ObservedNode, Phase, Steps, places};
use super::timeouts::{timeouts, timeouts_refusal};
use super::{Danger, HostAction, Operation, Plan, Refusal, Refused, Target};
use crate::model::{Inventory, NodeName};
use crate::observed::Observed;

/// `restart`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Which nodes.
    pub target: Target,
    /// One server at a time; the cluster keeps serving.
    pub rolling: bool,
    /// Proceed although some servers are already down (`--allow-no-quorum`).
    pub allow_no_quorum: bool,
}

/// Plans stops and starts; refused where a quorum would be lost, unless allowed.
pub fn restart(
    inventory: &Inventory,
    observed: &Observed,
    request: &RestartRequest,
) -> Result<Plan, Refused> {
    let nodes = request.target.nodes(inventory)?;
    let mut refusals = Vec::new();
    let mut places = places(inventory, observed, &nodes, &mut refusals);
    for place in places.iter().filter(|place| !is_kept(place)) {
        refusals.extend(start_refusals(inventory, observed, place));
    }
    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    if let Target::Servers { cluster, .. } = &request.target {
        match request.rolling {
            true => {
                let allow = request.allow_no_quorum;
                refusals.extend(rolling_refusal(inventory, observed, cluster, allow, &mut plan));
                refusals.extend(timeouts_refusal(cluster, places.iter().filter_map(timeouts), true));
            }
            false => plan.impact.push(format!("{cluster} is unavailable until its servers are back")),
        }
        if request.rolling {
            meta_leader_last(inventory, observed, cluster, &mut places, |place| &place.node);
        }
    }
    Refused::unless_empty(refusals)?;
    plan.ring_version = ring_version(observed, &nodes);
    plan.steps = match request.rolling {
        true => rolling_steps(&places, gate_of(inventory, observed, &request.target).as_ref()),
        false => steps_at_once(&places),
    };
    plan.undo = "not needed: a restart changes no data and no configuration".into();
    Ok(plan)
}

/// Refuses a rolling restart that would lose the quorum.
pub(super) fn rolling_refusal(
    inventory: &Inventory,
    observed: &Observed,
    name: &ClusterName,
    allow_no_quorum: bool,
    plan: &mut Plan,
) -> Option<Refusal> {
    let cluster = inventory.clusters.get(name)?;
    let servers = cluster.servers.len();
    let down_now = servers - members_up(inventory, observed, name).len();
    let tolerates = tolerated(cluster.copies());
    if down_now > 0 && down_now < servers && down_now + 1 > tolerates && !allow_no_quorum {
        return Some(Refusal::Quorum { cluster: name.clone(), down: down_now + 1, servers, tolerates });
    }
    plan.impact.extend(rolling_impact(inventory, name));
    None
}

/// What applications notice of servers that restart one by one.
pub(super) fn rolling_impact(inventory: &Inventory, name: &ClusterName) -> Option<String> {
    let tolerates = tolerated(inventory.clusters.get(name)?.copies());
    Some(match tolerates {
        0 => format!("{name}: keys on a server are unavailable while it restarts"),
        _ => format!("{name} keeps serving; it tolerates {} failures while a server restarts", tolerates - 1),
    })
}

fn gate_of(inventory: &Inventory, observed: &Observed, target: &Target) -> Option<Gate> {
    match target {
        Target::Servers { cluster, .. } => Gate::of(inventory, observed, cluster),
        Target::Slaves { .. } => None,
    }
}

/// Each server is its own phase, which ends with a health check and a write that is read back.
fn rolling_steps(places: &[ObservedNode<'_>], gate: Option<&Gate>) -> Vec<super::Step> {
    let mut steps = Steps::default();
    for (index, place) in places.iter().enumerate() {
        let phase = Phase::Turn(index);
        restart_steps(&mut steps, phase, place);
        if let Some(gate) = gate {
            gate.steps(&mut steps, phase, place);
        }
    }
    steps.numbered()
}

/// One node stops, starts and is waited for; one that is stopped is only started.
pub(super) fn restart_steps(steps: &mut Steps, phase: Phase, place: &ObservedNode<'_>) {
    if is_running(place) && place.node.is_server() {
        steps.node(phase, place, HostAction::PrepareStop { dir: place.dir() });
    }
    if is_up(&place.facts.node(&place.node)) {
        steps.node(phase, place, stop_action(place));
    }
    steps.node(phase, place, start_action(place));
    steps.node(phase, place, HostAction::WaitReady { dir: place.dir() });
}

fn steps_at_once(places: &[ObservedNode<'_>]) -> Vec<super::Step> {
    let mut steps = Steps::default();
    for place in places {
        if is_up(&place.facts.node(&place.node)) {
            steps.node(Phase::Stop, place, stop_action(place));
        }
        steps.node(Phase::Start, place, start_action(place));
        steps.node(Phase::Ready, place, HostAction::WaitReady { dir: place.dir() });
    }
    steps.numbered()
}

fn stop_action(place: &ObservedNode<'_>) -> HostAction {
    HostAction::StopNode { dir: place.dir(), manager: place.facts.service }
}

/// Restarts the meta group's leader last, so it changes only once.
pub(super) fn meta_leader_last<T>(
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
    places: &mut [T],
    node_of: impl Fn(&T) -> &NodeName,
) {
    let leader = inventory.servers_of(cluster).iter().find_map(|node| {
        match &observed.node(node)?.status.as_ref()?.role {
            RoleStatus::Server(server) => server.meta_leader,
            RoleStatus::Slave(_) => None,
        }
    });
    let node_id = |node: &NodeName| -> Option<NodeId> {
        match node {
            NodeName::Server(cluster, number) => Some(inventory.server(cluster, *number)?.node_id),
            NodeName::Slave(..) => None,
        }
    };
    places.sort_by_key(|place| leader.is_some() && node_id(node_of(place)) == leader);
}
