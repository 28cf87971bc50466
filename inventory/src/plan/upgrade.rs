//! Upgrade: brings the nodes of a cluster to another program, one at a time, and takes them back. Between two nodes stands the gate.
//! Before the first one is stopped, the program must say that it can speak with the programs that run and read what they wrote.
//! *Invariant:* a plan names the digest that each node goes to, so that `resume` reaches the same end whatever the hosts say then.

mod goal;
mod refusals;

use dkc_core::ids::ClusterName;
use dkc_core::versions::ProgramVersions;

use super::deploy::host_refusals;
use super::gate::Gate;
use super::header::ring_version;
use super::restart::{meta_leader_last, rolling_impact};
use super::standing::{is_up, members_up, tolerated};
use super::start::{is_running, start_action, start_refusals};
use super::steps::{ObservedNode, Phase, Steps, places};
use super::timeouts::{timeouts, timeouts_refusal};
use super::{Danger, HostAction, Operation, Plan, Program, Refusal, Refused, Target};
use crate::model::{Inventory, NodeName};
use crate::observed::Observed;
use goal::Goal;

/// Programs that no node uses and a host keeps nevertheless, the newest ones.
pub const PROGRAMS_KEPT: u32 = 2;

/// `upgrade`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Whose nodes.
    pub cluster: ClusterName,
    /// Where to.
    pub to: UpgradeTo,
    /// Leave the slaves as they are.
    pub without_slaves: bool,
}

/// The program that the nodes shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradeTo {
    /// One on the operator's machine, which hosts get where they lack it.
    Program {
        /// Which one.
        program: Program,
        /// What it says of itself.
        versions: ProgramVersions,
        /// Its file; `None` for the shell's own.
        file: Option<String>,
    },
    /// One that the hosts keep.
    Kept {
        /// The first 16 hex digits of its SHA-256.
        digest: String,
    },
    /// The one that each node had before the last change (`--rollback`).
    Before,
}

/// Plans a change of programs; no steps if every node runs the right one.
pub fn upgrade(
    inventory: &Inventory,
    observed: &Observed,
    request: &UpgradeRequest,
) -> Result<Plan, Refused> {
    let name = &request.cluster;
    Target::Servers { cluster: name.clone(), numbers: Vec::new() }.nodes(inventory)?;
    let mut nodes = inventory.nodes_of(name);
    nodes.retain(|node| node.is_server() || !request.without_slaves);
    let mut refusals = Vec::new();
    let places = places(inventory, observed, &nodes, &mut refusals);
    if let UpgradeTo::Program { program, .. } = &request.to {
        refusals.extend(host_refusals(inventory, program, &places));
    }
    let goals = goal::of(name, &request.to, &places)?;
    let is_serving = !members_up(inventory, observed, name).is_empty();
    let turn = |(place, goal)| Turn::of(place, goal, is_serving, request);
    let mut turns: Vec<Turn<'_>> = places.into_iter().zip(goals).filter_map(turn).collect();
    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    if turns.is_empty() {
        Refused::unless_empty(refusals)?;
        plan.undo = "not needed".into();
        return Ok(plan);
    }
    refusals.extend(refusals::of(inventory, observed, request, &turns));
    order(inventory, observed, name, &mut turns);
    for turn in turns.iter().filter(|turn| turn.is_started && !is_up(&turn.view())) {
        refusals.extend(start_refusals(inventory, observed, &turn.place));
    }
    let restarted = turns.iter().filter(|turn| turn.is_started && turn.place.node.is_server());
    refusals.extend(timeouts_refusal(name, restarted.filter_map(|turn| timeouts(&turn.place)), true));
    Refused::unless_empty(refusals)?;

    let gate = gate(inventory, observed, name, &turns);
    plan.ring_version = ring_version(observed, &nodes);
    plan.impact = impact(inventory, name, &turns);
    plan.undo = undo(name, request, &turns);
    plan.steps = steps(request, &turns, gate.as_ref());
    Ok(plan)
}

/// A node that does not run what it shall, and where it goes.
struct Turn<'a> {
    place: ObservedNode<'a>,
    goal: Goal,
    /// Its link names another program.
    is_linked: bool,
    /// It is stopped if it runs, and started.
    is_started: bool,
}

impl<'a> Turn<'a> {
    /// `None` for a node that is where it shall be. A server of a cluster that serves is started if it is stopped, or the cluster would
    /// have one less at each turn; so is what a program could not start that is taken back. Everything else that is stopped stays so.
    fn of(
        place: ObservedNode<'a>,
        goal: Goal,
        is_serving: bool,
        request: &UpgradeRequest,
    ) -> Option<Turn<'a>> {
        let view = place.facts.node(&place.node);
        let is_linked = view.program.as_ref() != Some(&goal.digest);
        let runs = view.status.as_ref().and_then(|status| status.program.as_ref());
        let runs_goal = runs.and_then(|program| program.digest.as_ref()) == Some(&goal.digest);
        let is_wanted = place.node.is_server() || (request.to == UpgradeTo::Before && is_linked);
        // One that keeps crashing, or says nothing, does not run what it shall.
        let is_started = if is_up(&view) { !runs_goal } else { is_serving && is_wanted };
        (is_linked || is_started).then_some(Turn { place, goal, is_linked, is_started })
    }

    fn view(&self) -> crate::observed::NodeView {
        self.place.facts.node(&self.place.node)
    }
}

/// A server that is down is the first to start, and from then on as many failures must be tolerated as with all of them.
fn gate(inventory: &Inventory, observed: &Observed, name: &ClusterName, turns: &[Turn<'_>]) -> Option<Gate> {
    let gate = Gate::of(inventory, observed, name)?;
    let is_down = turns.iter().any(|turn| turn.place.node.is_server() && !is_running(&turn.place));
    let copies = inventory.clusters.get(name)?.copies();
    Some(if is_down { gate.at_least(tolerated(copies) as u32) } else { gate })
}

/// Servers that do not run come first, since the others need them; the leader of the meta group is the last server, so that it
/// changes only once. Then the slaves.
fn order(inventory: &Inventory, observed: &Observed, name: &ClusterName, turns: &mut [Turn<'_>]) {
    meta_leader_last(inventory, observed, name, turns, |turn| &turn.place.node);
    turns.sort_by_key(|turn| (!turn.place.node.is_server(), is_running(&turn.place)));
}

/// All hosts have the program and all nodes are checked with it before the first node is touched.
fn steps(request: &UpgradeRequest, turns: &[Turn<'_>], gate: Option<&Gate>) -> Vec<super::Step> {
    let mut steps = Steps::default();
    upload_steps(&mut steps, request, turns);
    for Turn { place, goal, .. } in turns {
        let check = HostAction::CheckProgram { dir: place.dir(), digest: goal.digest.clone() };
        steps.node(Phase::InstallNodes, place, check);
    }
    let mut at = 0;
    for turn in turns {
        turn_steps(&mut steps, Phase::Turn(at), request, turn);
        at += 1;
        if let Some(gate) = gate.filter(|_| turn.is_started) {
            // The steps of one phase run in order on one host only, and the gate of a slave stands on a server's.
            let phase = if turn.place.node.is_server() { Phase::Turn(at - 1) } else { Phase::Turn(at) };
            gate.steps(&mut steps, phase, &turn.place);
            at += 1;
        }
    }
    for (host, root) in roots(turns) {
        steps.host(Phase::Turn(at), host, HostAction::PrunePrograms { root, keep: PROGRAMS_KEPT });
    }
    steps.numbered()
}

fn upload_steps(steps: &mut Steps, request: &UpgradeRequest, turns: &[Turn<'_>]) {
    let UpgradeTo::Program { program, file, .. } = &request.to else { return };
    for (host, root) in roots(turns) {
        let of_host = turns.iter().find(|turn| turn.place.host == *host);
        if of_host.is_some_and(|turn| !super::deploy::has_program(turn.place.facts, program)) {
            let (digest, bytes, from) = (program.digest.clone(), program.bytes, file.clone());
            steps.host(Phase::PrepareHosts, host, HostAction::UploadProgram { root, digest, bytes, from });
        }
    }
}

/// Each host once.
fn roots<'t>(turns: &'t [Turn<'_>]) -> std::collections::BTreeMap<&'t dkc_core::ids::HostAddress, String> {
    turns.iter().map(|turn| (&turn.place.host, turn.place.facts.root.clone())).collect()
}

/// The link changes while the node still serves, so that it is down for no longer than a restart.
fn turn_steps(steps: &mut Steps, phase: Phase, request: &UpgradeRequest, turn: &Turn<'_>) {
    let Turn { place, goal, .. } = turn;
    if turn.is_linked {
        let (dir, digest) = (place.dir(), goal.digest.clone());
        let link = match request.to {
            UpgradeTo::Before => HostAction::ReturnProgram { dir, digest },
            _ => HostAction::LinkProgram { dir, digest },
        };
        steps.node(phase, place, link);
    }
    if !turn.is_started {
        return;
    }
    if is_running(place) && place.node.is_server() {
        steps.node(phase, place, HostAction::PrepareStop { dir: place.dir() });
    }
    if is_up(&turn.view()) {
        let manager = place.facts.service;
        steps.node(phase, place, HostAction::StopNode { dir: place.dir(), manager });
    }
    steps.node(phase, place, start_action(place));
    steps.node(phase, place, HostAction::WaitReady { dir: place.dir() });
}

/// From and to of each node, and what applications notice.
fn impact(inventory: &Inventory, name: &ClusterName, turns: &[Turn<'_>]) -> Vec<String> {
    let mut lines: Vec<String> = turns.iter().map(from_to).collect();
    if turns.iter().any(|turn| turn.is_started && turn.place.node.is_server()) {
        lines.extend(rolling_impact(inventory, name));
    }
    let slaves: Vec<String> = turns
        .iter()
        .filter(|turn| turn.is_started && !turn.place.node.is_server())
        .map(|turn| turn.place.node.to_string())
        .collect();
    if !slaves.is_empty() {
        lines.push(format!("applications lose their connections to {} for a moment", slaves.join(", ")));
    }
    lines
}

fn from_to(turn: &Turn<'_>) -> String {
    let view = turn.view();
    let told = view.status.as_ref().and_then(|status| status.program.as_ref());
    let release = view.status.as_ref().map(|status| status.release.clone());
    let digest = told.and_then(|program| program.digest.clone()).or(view.program.clone());
    let from = match (release, digest) {
        (Some(release), Some(digest)) => format!("{release} ({digest})"),
        (release, digest) => release.or(digest).unwrap_or_else(|| "no program".into()),
    };
    let what = if turn.is_started { "" } else { ", with its next start" };
    format!("{}: {from} -> {}{what}", turn.place.node, turn.goal)
}

fn undo(name: &ClusterName, request: &UpgradeRequest, turns: &[Turn<'_>]) -> String {
    match (&request.to, turns.iter().find_map(|turn| turn.view().program)) {
        (UpgradeTo::Before, Some(digest)) => format!("upgrade -n {name} --to {digest}"),
        _ => {
            format!("upgrade -n {name} --rollback, while the program before can read what the new one writes")
        }
    }
}

/// A node with the refusals that concern it.
fn of_node(turn: &Turn<'_>, make: impl Fn(dkc_core::ids::HostAddress, NodeName) -> Refusal) -> Refusal {
    make(turn.place.host.clone(), turn.place.node.clone())
}
