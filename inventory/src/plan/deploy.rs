//! Deploy: makes the hosts match the inventory. Only differences are applied, and nothing is
//! restarted: a running node reloads if that is enough; otherwise it keeps its old configuration, and the plan says
//! so.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::config::{ConfigChange, NodeConfig, Role, layout};
use dkc_core::ids::{ClusterName, HostAddress};

use super::authority::{Authorities, AuthorityView, namespaces};
use super::header::ring_version;
use super::steps::{ObservedNode, Phase, Steps, places};
use super::timeouts::timeouts_refusal;
use super::{Danger, HostAction, Operation, Plan, Refusal, Refused, Selection, unified};
use crate::config_drift::in_use;
use crate::edit::record_deployed;
use crate::model::{Inventory, NodeName};
use crate::observed::{HostFacts, NodeView, Observed, UNIT_FILE};
use crate::render;
use crate::system_user;

/// A larger clock offset would make new certificates invalid and expiry times wrong.
pub const CLOCK_OFFSET_MAX_MS: i64 = 30_000;
/// A server's log keeps two segments besides the one that is written; the state needs some room to begin with.
const LOG_SEGMENTS_MIN: u64 = 3;
const STATE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Configuration, certificates and logs of a slave.
const SLAVE_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// `node.yaml` holds no secrets, but other users need not read it. Its group is the login user's.
const CONFIG_MODE: u32 = 0o640;

/// The program to deploy: this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The first 16 hex digits of its SHA-256.
    pub digest: String,
    /// Of the executable.
    pub bytes: u64,
    /// As printed by `uname -m`.
    pub architecture: String,
}

/// `deploy`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployRequest {
    /// Id and command line.
    pub operation: Operation,
    /// What to deploy to.
    pub selection: Selection,
    /// What to install.
    pub program: Program,
    /// Each cluster's authority, if it is present. A missing authority is created by
    /// a step, or refused if the cluster was founded with it.
    pub authorities: BTreeMap<ClusterName, AuthorityView>,
    /// Only configuration and certificates.
    pub config_only: bool,
}

/// Plans what makes the hosts match the inventory; no steps if they already do.
pub fn deploy(inventory: &Inventory, observed: &Observed, request: &DeployRequest) -> Result<Plan, Refused> {
    let nodes = request.selection.nodes(inventory)?;
    let mut refusals = parameter_refusals(inventory, &nodes);
    let places = places(inventory, observed, &nodes, &mut refusals);
    refusals.extend(host_refusals(inventory, &request.program, &places));
    refusals.extend(places.iter().filter_map(|place| node_refusal(inventory, request, place)));
    refusals.extend(timeouts_refusals(inventory, &nodes, &places));
    let authorities = Authorities::of(inventory, &request.authorities, &places);
    refusals.extend(authorities.refusals(&places));
    Refused::unless_empty(refusals)?;

    let mut steps = Steps::default();
    authorities.steps(&mut steps, &places);
    if !request.config_only {
        program_steps(&mut steps, request, &places);
        user_steps(&mut steps, inventory, &places);
    }
    for place in &places {
        node_steps(&mut steps, inventory, request, &authorities, place);
        reload_step(&mut steps, inventory, place);
    }
    let mut plan = Plan::new(inventory, &request.operation, Danger::Reversible);
    plan.ring_version = ring_version(observed, &nodes);
    plan.target = record_deployed(inventory, &nodes).inventory.generation;
    plan.steps = steps.numbered();
    plan.impact = impact(inventory, &plan, &places);
    plan.undo = undo(&places);
    Ok(plan)
}

pub(super) fn parameter_refusals(inventory: &Inventory, nodes: &[NodeName]) -> Vec<Refusal> {
    let clusters: BTreeSet<&ClusterName> = nodes.iter().map(|node| node.cluster()).collect();
    let refusal = |name: &ClusterName| {
        let message = inventory.parameters_of(inventory.clusters.get(name)?).err()?;
        Some(Refusal::Parameters { cluster: name.clone(), message })
    };
    clusters.into_iter().filter_map(refusal).collect()
}

/// Timeouts that the servers could not go to one by one are not written while a server runs: the next restart would be refused.
fn timeouts_refusals(inventory: &Inventory, nodes: &[NodeName], places: &[ObservedNode<'_>]) -> Vec<Refusal> {
    let clusters: BTreeSet<&ClusterName> = nodes.iter().map(|node| node.cluster()).collect();
    let change = |place: &ObservedNode<'_>| -> Option<_> {
        let wanted = render::node_config(inventory, &place.node)?.parameters;
        Some((in_use(&place.facts.node(&place.node))?.parameters, wanted))
    };
    let refusal = |name: &ClusterName| {
        let servers = places.iter().filter(|place| place.node.is_server() && place.node.cluster() == name);
        timeouts_refusal(name, servers.filter_map(change), false)
    };
    clusters.into_iter().filter_map(refusal).collect()
}

pub(super) fn host_refusals(
    inventory: &Inventory,
    program: &Program,
    places: &[ObservedNode<'_>],
) -> Vec<Refusal> {
    let hosts: BTreeMap<&HostAddress, &HostFacts> = places.iter().map(|p| (&p.host, p.facts)).collect();
    let mut refusals = Vec::new();
    for (host, facts) in hosts {
        let on_host = places.iter().filter(|place| place.host == *host);
        let needed_bytes = needed_bytes(inventory, program, facts, on_host);
        refusals.extend(root_refusal(host, facts));
        if facts.architecture != program.architecture {
            refusals.push(Refusal::Architecture {
                host: host.clone(),
                is: facts.architecture.clone(),
                wanted: program.architecture.clone(),
            });
        }
        if facts.disk_free_bytes < needed_bytes {
            refusals.push(Refusal::DiskSpace {
                host: host.clone(),
                root: facts.root.clone(),
                free_bytes: facts.disk_free_bytes,
                needed_bytes,
            });
        }
        if facts.clock_offset_ms.abs() > CLOCK_OFFSET_MAX_MS {
            refusals.push(Refusal::Clock { host: host.clone(), offset_ms: facts.clock_offset_ms });
        }
    }
    refusals
}

fn root_refusal(host: &HostAddress, facts: &HostFacts) -> Option<Refusal> {
    let exposed = exposures(host, facts).into_iter().next();
    let (host, root) = (host.clone(), facts.root.clone());
    match (facts.root_is_foreign, facts.root_is_writable) {
        (true, _) => Some(Refusal::ForeignRoot { host, root }),
        (false, false) => Some(Refusal::RootNotWritable { host, root, user: facts.user.clone() }),
        (false, true) => exposed,
    }
}

/// Directories in which somebody else could put things in the place of ours.
pub(crate) fn exposures(host: &HostAddress, facts: &HostFacts) -> Vec<Refusal> {
    let exposed = |(dir, why): (String, String)| {
        let user = facts.user.clone();
        Refusal::Exposed { host: host.clone(), dir, why, user }
    };
    let root = facts.root_exposure.clone().map(|why| (facts.root.clone(), why));
    let runtime = facts.runtime_exposure.clone().map(|exposure| (exposure.dir, exposure.why));
    root.into_iter().chain(runtime).map(exposed).collect()
}

/// Disk space needed for the program, if missing, and for the log and state of each new node.
fn needed_bytes<'a>(
    inventory: &Inventory,
    program: &Program,
    facts: &HostFacts,
    places: impl Iterator<Item = &'a ObservedNode<'a>>,
) -> u64 {
    let of_program = if has_program(facts, program) { 0 } else { program.bytes };
    let nodes = places.filter(|place| facts.node(&place.node).identity.is_none()).map(|place| {
        let parameters = render::node_config(inventory, &place.node).map(|config| config.parameters);
        match place.node.is_server() {
            true => {
                parameters.map_or(0, |p| p.log_segment_bytes.saturating_mul(LOG_SEGMENTS_MIN))
                    + STATE_BYTES_MIN
            }
            false => SLAVE_BYTES_MIN,
        }
    });
    of_program + nodes.sum::<u64>()
}

pub(super) fn node_refusal(
    inventory: &Inventory,
    request: &DeployRequest,
    place: &ObservedNode<'_>,
) -> Option<Refusal> {
    let (host, dir, node) = (place.host.clone(), place.dir(), place.node.clone());
    let view = place.facts.node(&node);
    let uuid = inventory.uuid_of(&node)?;
    let path = format!("{dir}/{}", layout::CONTROL_SOCKET);
    if path.len() > render::SOCKET_PATH_MAX_BYTES {
        return Some(Refusal::SocketPath { host, path });
    }
    ownership_refusal(&host, &dir, &view, uuid).or_else(|| {
        if request.config_only && !view.exists {
            return Some(Refusal::NotInstalled { host, node });
        }
        (view.identity.is_none() && has_held_data(inventory, &node))
            .then_some(Refusal::LostData { host, node })
    })
}

/// Refuses a directory that is foreign or belongs to another node.
pub(crate) fn ownership_refusal(
    host: &HostAddress,
    dir: &str,
    view: &NodeView,
    uuid: dkc_core::ids::NodeUuid,
) -> Option<Refusal> {
    let (host, dir) = (host.clone(), dir.to_owned());
    match (view.exists, view.marker, view.identity) {
        // An empty one is what a deploy leaves that was killed right after it made the directory.
        (true, ..) if view.is_closed => {
            Some(Refusal::ClosedNode { host, dir, owner: view.owner.clone().unwrap_or_default() })
        }
        (true, None, _) if view.is_torn_directory_of(uuid) => None,
        (true, None, _) if !view.looks_empty() => Some(Refusal::UnmarkedNode { host, dir }),
        (true, Some(marker), _) if marker != uuid => Some(Refusal::ForeignNode { host, dir, marker }),
        (_, _, Some(identity)) if identity != uuid => Some(Refusal::ForeignData { host, dir, identity }),
        _ => None,
    }
}

/// Whether this server may have voted: restarted empty, it could undo acknowledged writes.
pub(super) fn has_held_data(inventory: &Inventory, node: &NodeName) -> bool {
    let NodeName::Server(cluster, number) = node else { return false };
    let is_founded = inventory.clusters.get(cluster).is_some_and(|c| c.founded);
    let server = inventory.server(cluster, *number);
    is_founded && server.is_some_and(|server| server.is_founder || server.deployed.is_some())
}

/// There, and whole: a power cut may have left less of it.
pub(super) fn has_program(facts: &HostFacts, program: &Program) -> bool {
    facts.programs.get(&program.digest) == Some(&program.bytes)
}

pub(super) fn program_steps(steps: &mut Steps, request: &DeployRequest, places: &[ObservedNode<'_>]) {
    let hosts: BTreeMap<&HostAddress, &HostFacts> = places.iter().map(|p| (&p.host, p.facts)).collect();
    let Program { digest, bytes, .. } = &request.program;
    for (host, facts) in hosts {
        let root = facts.root.clone();
        if !facts.root_has_marker {
            steps.host(Phase::PrepareHosts, host, HostAction::MakeRoot { root: root.clone() });
        }
        if !has_program(facts, &request.program) {
            steps.host(
                Phase::PrepareHosts,
                host,
                HostAction::UploadProgram { root, digest: digest.clone(), bytes: *bytes, from: None },
            );
        }
    }
}

/// Before any directory is made for them.
pub(super) fn user_steps(steps: &mut Steps, inventory: &Inventory, places: &[ObservedNode<'_>]) {
    let is_new = |place: &&ObservedNode<'_>| !place.facts.node(&place.node).exists;
    let wanted = places
        .iter()
        .filter(is_new)
        .filter_map(|place| Some((&place.host, place.facts.root.clone(), runs_as(inventory, place)?)));
    for (host, root, user) in wanted.collect::<BTreeSet<_>>() {
        steps.host(Phase::PrepareHosts, host, HostAction::MakeUser { root, user });
    }
}

/// The system user of a node; `None` where the login user runs it.
fn runs_as(inventory: &Inventory, place: &ObservedNode<'_>) -> Option<String> {
    system_user::runs_as(inventory, place.facts, &place.node)
}

pub(super) fn node_steps(
    steps: &mut Steps,
    inventory: &Inventory,
    request: &DeployRequest,
    authorities: &Authorities<'_>,
    place: &ObservedNode<'_>,
) {
    let (Some(config), Some(uuid)) =
        (render::node_config(inventory, &place.node), inventory.uuid_of(&place.node))
    else {
        return;
    };
    let view = place.facts.node(&place.node);
    let dir = place.dir();
    let mut actions = Vec::new();
    if !request.config_only && view.marker != Some(uuid) {
        let owner = runs_as(inventory, place);
        actions.push(HostAction::MakeNode { dir: dir.clone(), uuid, owner });
    }
    if authorities.needs_certificate(place) {
        let is_server = place.node.is_server();
        let namespaces = namespaces(inventory, &place.node).into_iter().collect();
        actions.push(HostAction::IssueCertificate { dir: dir.clone(), uuid, is_server, namespaces });
    }
    actions.extend(config_step(&dir, &config, &view));
    if !request.config_only && view.program.as_ref() != Some(&request.program.digest) {
        actions.push(HostAction::LinkProgram { dir: dir.clone(), digest: request.program.digest.clone() });
    }
    if !request.config_only && view.identity.is_none() {
        actions.push(HostAction::InitialiseData { dir: dir.clone(), uuid });
    }
    if !actions.is_empty() {
        actions.push(HostAction::CheckConfiguration { dir: dir.clone() });
    }
    if !request.config_only {
        let user = runs_as(inventory, place).unwrap_or_else(|| place.facts.user.clone());
        actions.extend(service_step(place, &dir, &user, &config));
    }
    actions.into_iter().for_each(|action| steps.node(Phase::InstallNodes, place, action));
}

pub(super) fn config_step(dir: &str, config: &NodeConfig, view: &NodeView) -> Option<HostAction> {
    let text = render::config_text(config);
    let present = view.files.get(layout::CONFIG);
    (present != Some(&render::digest(&text))).then(|| HostAction::WriteFile {
        path: format!("{dir}/{}", layout::CONFIG),
        diff: unified(view.config_text.as_deref(), &text),
        mode: CONFIG_MODE,
        replaces: present.cloned(),
        text,
    })
}

/// What a running node would have to take over; `None` when it does not run or does not say what it goes by.
fn change_in_use(inventory: &Inventory, place: &ObservedNode<'_>) -> Option<ConfigChange> {
    let in_use = in_use(&place.facts.node(&place.node))?;
    Some(in_use.change_to(&render::node_config(inventory, &place.node)?))
}

fn reload_step(steps: &mut Steps, inventory: &Inventory, place: &ObservedNode<'_>) {
    if change_in_use(inventory, place).is_some_and(|change| change.is_reload()) {
        steps.node(Phase::Reload, place, HostAction::ReloadNode { dir: place.dir() });
    }
}

pub(super) fn service_step(
    place: &ObservedNode<'_>,
    dir: &str,
    user: &str,
    config: &NodeConfig,
) -> Option<HostAction> {
    let view = place.facts.node(&place.node);
    let manager = place.facts.service;
    let pairs = match &config.role {
        Role::Slave(slave) => slave.pairs.as_slice(),
        Role::Server(_) => &[],
    };
    let text = render::unit_text(&place.node, dir, user, manager, pairs)?;
    (view.files.get(UNIT_FILE) != Some(&render::digest(&text))).then(|| HostAction::InstallService {
        dir: dir.to_owned(),
        manager,
        unit: render::unit_name(&place.node),
        text,
    })
}

/// Who takes the new over while it runs, and who runs on with the old and how it gets the new.
fn impact(inventory: &Inventory, plan: &Plan, places: &[ObservedNode<'_>]) -> Vec<String> {
    let mut lines = reloads(inventory, plan, places);
    let running = places.iter().filter(|place| place.facts.node(&place.node).is_running());
    let mut by_command: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for place in running.filter(|place| needs_restart(plan, &place.node)) {
        let command = match &place.node {
            NodeName::Server(cluster, _) => format!("restart cluster -n {cluster} --rolling"),
            NodeName::Slave(_, id) => format!("restart slave --id {id}"),
        };
        by_command.entry(command).or_default().push(place.node.to_string());
    }
    for (command, nodes) in by_command {
        lines.push(format!(
            "restart needed ({command}); until then the old version is used by {}",
            nodes.join(", ")
        ));
    }
    if lines.is_empty() && !plan.is_empty() {
        lines.push("running nodes are not touched".into());
    }
    lines
}

fn reloads(inventory: &Inventory, plan: &Plan, places: &[ObservedNode<'_>]) -> Vec<String> {
    let mut by_parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for place in places.iter().filter(|place| is_reloaded(plan, &place.node)) {
        if let Some(change) = change_in_use(inventory, place) {
            by_parameters.entry(change.dynamic.join(", ")).or_default().push(place.node.to_string());
        }
    }
    let line = |(parameters, nodes): (String, Vec<String>)| {
        format!("reload, no restart: {parameters} on {}", nodes.join(", "))
    };
    by_parameters.into_iter().map(line).collect()
}

fn actions_of<'a>(plan: &'a Plan, node: &NodeName) -> impl Iterator<Item = &'a HostAction> {
    let steps = plan.steps.iter().filter(move |step| step.node.as_ref() == Some(node));
    steps.filter_map(|step| step.action.on_host())
}

fn is_reloaded(plan: &Plan, node: &NodeName) -> bool {
    actions_of(plan, node).any(|action| matches!(action, HostAction::ReloadNode { .. }))
}

/// Something is written that only a start reads.
fn needs_restart(plan: &Plan, node: &NodeName) -> bool {
    let is_reloaded = is_reloaded(plan, node);
    actions_of(plan, node).any(|action| match action {
        HostAction::LinkProgram { .. } | HostAction::InstallService { .. } => true,
        HostAction::WriteFile { .. } => !is_reloaded,
        _ => false,
    })
}

fn undo(places: &[ObservedNode<'_>]) -> String {
    let is_new = |place: &&ObservedNode<'_>| !place.facts.node(&place.node).exists;
    let command = |place: &ObservedNode<'_>| match &place.node {
        NodeName::Server(cluster, _) => format!("destroy cluster -n {cluster}"),
        NodeName::Slave(_, id) => format!("destroy slave --id {id}"),
    };
    let commands: BTreeSet<String> = places.iter().filter(is_new).map(command).collect();
    match commands.is_empty() {
        // Slaves first: a cluster with installed slaves cannot be destroyed.
        false => commands.into_iter().rev().collect::<Vec<_>>().join("; "),
        true => "undo the inventory change, then deploy".into(),
    }
}
