//! What speaks against a change of programs: a cluster that is not healthy, and a program that could not speak with those that run or
//! not read what they wrote.

use super::{Turn, UpgradeRequest, UpgradeTo, of_node};
use crate::model::Inventory;
use crate::observed::Observed;
use crate::plan::Refusal;
use crate::ring_facts::RingFacts;

pub(super) fn of(
    inventory: &Inventory,
    observed: &Observed,
    request: &UpgradeRequest,
    turns: &[Turn<'_>],
) -> Vec<Refusal> {
    let not_installed = |turn: &&Turn<'_>| turn.view().identity.is_none();
    let refusal = |turn| of_node(turn, |host, node| Refusal::NotInstalled { host, node });
    let mut refusals: Vec<Refusal> = turns.iter().filter(not_installed).map(refusal).collect();
    refusals.extend(turns.iter().filter_map(untold));
    refusals.extend(turns.iter().filter_map(unreadable));
    refusals.extend(speechless(observed, request, inventory, turns));
    refusals.extend(unhealthy(inventory, observed, request));
    refusals
}

/// A program that says nothing may not be able to open the directory, and would be noticed only once the node is down.
fn untold(turn: &Turn<'_>) -> Option<Refusal> {
    let digest = turn.goal.digest.clone();
    let cluster = turn.place.node.cluster().clone();
    turn.goal.versions.is_none().then_some(Refusal::ProgramSilent { cluster, digest })
}

fn unreadable(turn: &Turn<'_>) -> Option<Refusal> {
    let disk = turn.view().status.as_ref()?.program.as_ref()?.disk?;
    let why = turn.goal.versions.as_ref()?.cannot_read(&disk)?;
    Some(of_node(turn, |host, node| Refusal::DiskFormat { host, node, why: why.clone() }))
}

/// While the nodes change one by one, each program must understand each other one, of slaves too.
fn speechless(
    observed: &Observed,
    request: &UpgradeRequest,
    inventory: &Inventory,
    turns: &[Turn<'_>],
) -> Option<Refusal> {
    let nodes = inventory.nodes_of(&request.cluster);
    let running = nodes.iter().filter_map(|node| observed.node(node)?.status.as_ref()?.program.as_ref());
    let why = running
        .flat_map(|program| turns.iter().map(move |turn| (program, turn)))
        .find_map(|(program, turn)| turn.goal.versions.as_ref()?.cannot_speak_with(&program.versions))?;
    Some(Refusal::WireVersions { cluster: request.cluster.clone(), why })
}

/// An upgrade begins in a cluster that is whole and at rest. A program is taken back because something is wrong.
fn unhealthy(inventory: &Inventory, observed: &Observed, request: &UpgradeRequest) -> Option<Refusal> {
    if request.to == UpgradeTo::Before {
        return None;
    }
    let cluster = request.cluster.clone();
    let facts = RingFacts::of(inventory, observed, &cluster)?;
    if let Some(progress) = facts.progress() {
        return Some(Refusal::Merging { cluster, state: progress.words() });
    }
    // Without a leader nothing gets better by stopping a server, unless its own program is what is wrong.
    facts.trouble().filter(|_| facts.down().is_empty()).map(|why| Refusal::NotServing { cluster, why })
}
