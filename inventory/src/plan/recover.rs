//! `recover`: a cluster that lost its quorum for good starts over with what its stopped servers still have. First a backup of that is
//! written; then the servers are marked as removed, a cluster with another id and another authority is founded on the hosts that are
//! left, and the backup is restored into it. Old directories stay as they are.
//!
//! *Invariant:* until the backup is whole nothing has changed on any host; the old cluster may be started again until its first server is
//! marked.
//! *Invariant:* refused while a majority could serve: while a server runs, while one does not answer that was not given up by name, and
//! where the survivors are a majority themselves.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::ids::{ClusterName, MemberNo};
use dkc_core::ring::SLOTS;
use dkc_core::salvage::{Salvage, SalvagePart, SalvagedServer, SlotRange, choose};

use super::authority::Authorities;
use super::deploy::{host_refusals, node_refusal, node_steps, parameter_refusals, program_steps, user_steps};
use super::standing::is_up;
use super::start::{founding_words, port_refusals, start_action};
use super::steps::{ObservedNode, Phase, Steps, facts, places};
use super::{
    ClusterAction, Danger, DeployRequest, Endpoint, HostAction, Operation, Plan, Program, Refusal, Refused,
    SalvageSource, Selection,
};
use crate::edit::plural;
use crate::generation::Generation;
use crate::model::{Cluster, Inventory, NodeName, node_dir};
use crate::observed::Observed;

/// `recover`
#[derive(Debug, Clone)]
pub struct RecoverRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Which cluster; in the inventory of the plan it has its new id and servers already.
    pub cluster: ClusterName,
    /// The generation on disk; the plan is bound to it.
    pub base: Generation,
    /// What is installed.
    pub program: Program,
    /// As it was.
    pub old: Cluster,
    /// What its stopped servers have.
    pub found: Found,
    /// The backup's name.
    pub backup: String,
    /// The directory that it becomes.
    pub directory: String,
    /// Milliseconds since the Unix epoch in words.
    pub time_of: fn(u64) -> String,
}

/// What the stopped servers of a cluster have.
#[derive(Debug, Clone)]
pub struct Found {
    /// Those whose data can be read.
    pub read: BTreeMap<MemberNo, (Endpoint, SalvagedServer)>,
    /// The others that have a directory, and why it cannot be read.
    pub damaged: BTreeMap<MemberNo, String>,
}

impl Found {
    /// What is read of it, and what is missing.
    pub fn salvage(&self) -> Salvage {
        choose(&self.read.values().map(|(_, server)| server.clone()).collect::<Vec<_>>())
    }

    fn source(&self, part: &SalvagePart) -> Option<(MemberNo, &Endpoint)> {
        let is_of = |server: &SalvagedServer| server.node_id == part.node;
        let found = self.read.iter().find(|(_, (_, server))| is_of(server));
        found.map(|(number, (endpoint, _))| (*number, endpoint))
    }

    fn sources(&self, salvage: &Salvage) -> Vec<SalvageSource> {
        let source = |part: &SalvagePart| {
            let (_, endpoint) = self.source(part)?;
            Some(SalvageSource { endpoint: endpoint.clone(), part: part.clone() })
        };
        salvage.parts.iter().filter_map(source).collect()
    }
}

/// The servers to read: stopped, with a directory of their own. `lost` are those that do not answer and never return.
pub fn recoverable(
    inventory: &Inventory,
    observed: &Observed,
    name: &ClusterName,
    lost: &BTreeSet<MemberNo>,
) -> Result<BTreeMap<MemberNo, Endpoint>, Refused> {
    let nodes = super::Target::Servers { cluster: name.clone(), numbers: lost.iter().copied().collect() };
    nodes.nodes(inventory)?;
    let Some(cluster) = inventory.clusters.get(name) else { return Ok(BTreeMap::new()) };
    if !cluster.founded {
        let (why, next) = ("it was never founded".to_owned(), format!("start cluster -n {name}"));
        return Err(not_recoverable(name, why, next).into());
    }
    let (mut refusals, mut running, mut stopped) = (Vec::new(), Vec::new(), BTreeMap::new());
    for server in &cluster.servers {
        let node = NodeName::Server(name.clone(), server.number);
        let host = &server.address.host;
        match facts(observed, host) {
            Err(_) if lost.contains(&server.number) => {}
            Err(refusal) => {
                refusals.push(refusal);
                let why = format!("No.{} does not answer, and may serve with others", server.number);
                let next = format!("if it is lost for good, add --lost {}", server.number);
                refusals.push(not_recoverable(name, why, next));
            }
            Ok(_) if lost.contains(&server.number) => {
                let why = format!("the host of No.{}, {host}, answers", server.number);
                refusals.push(not_recoverable(name, why, format!("leave out --lost {}", server.number)));
            }
            Ok(facts) => {
                let view = facts.node(&node);
                if is_up(&view) {
                    running.push(format!("No.{}", server.number));
                } else if view.marker == Some(server.node_uuid) {
                    let dir = node_dir(&facts.root, &node);
                    stopped.insert(server.number, Endpoint { host: host.clone(), dir });
                }
            }
        }
    }
    if !running.is_empty() {
        let verb = if running.len() == 1 { "runs" } else { "run" };
        let why = format!("{} still {verb}, and only stopped servers are read", running.join(", "));
        let next =
            format!("status cluster -n {name}; if it cannot serve: stop cluster -n {name} --allow-silent");
        refusals.push(not_recoverable(name, why, next));
    }
    Refused::unless_empty(refusals)?;
    Ok(stopped)
}

fn not_recoverable(cluster: &ClusterName, why: String, next: String) -> Refusal {
    Refusal::NotRecoverable { cluster: cluster.clone(), why, next }
}

/// Refused where there is nothing to read, and where the cluster can serve.
pub fn check_found(name: &ClusterName, found: &Found) -> Result<Salvage, Refused> {
    let salvage = found.salvage();
    if salvage.parts.is_empty() {
        let whys = found.damaged.iter().map(|(number, why)| format!("; No.{number}: {why}"));
        let why = format!("no server has data that can be read{}", whys.collect::<String>());
        let next = format!("restore -n {name} --backup BACKUP, into a cluster that was founded anew");
        return Err(not_recoverable(name, why, next).into());
    }
    if salvage.has_quorum {
        let numbers: Vec<String> = found.read.keys().map(|number| format!("No.{number}")).collect();
        let why = format!("{} are a majority, and lose nothing", numbers.join(", "));
        return Err(not_recoverable(name, why, format!("start cluster -n {name}")).into());
    }
    Ok(salvage)
}

/// Plans only the backup of what is left; the cluster stays as it is.
pub fn salvage(inventory: &Inventory, request: &RecoverRequest) -> Result<Plan, Refused> {
    let salvage = check_found(&request.cluster, &request.found)?;
    let mut steps = Steps::default();
    salvage_step(&mut steps, request, &salvage);
    let mut plan = Plan::new(inventory, &request.operation, Danger::Reversible);
    plan.steps = steps.numbered();
    plan.impact = read_words(request, &salvage);
    plan.impact.push("the backup is not encrypted: whoever reads the directory reads the records".into());
    plan.undo = format!("backup delete {}", request.backup);
    Ok(plan)
}

/// Plans the whole recovery. The inventory is the one with the new servers.
pub fn recover(
    inventory: &Inventory,
    observed: &Observed,
    request: &RecoverRequest,
) -> Result<Plan, Refused> {
    let name = &request.cluster;
    let salvage = check_found(name, &request.found)?;
    let servers = inventory.servers_of(name);
    let mut refusals = parameter_refusals(inventory, &servers);
    let mut places = places(inventory, observed, &servers, &mut refusals);
    let slaves: Vec<NodeName> =
        inventory.slaves_of(name).into_iter().map(|id| NodeName::Slave(name.clone(), id)).collect();
    let mut silent = Vec::new();
    let slaves = super::steps::places(inventory, observed, &slaves, &mut silent);
    let deploy = deploy_request(request);
    // An installed slave only gets what the new cluster needs; one that never was waits for its deploy.
    let slaves: Vec<ObservedNode<'_>> =
        slaves.into_iter().filter(|place| place.facts.node(&place.node).exists).collect();
    places.extend(slaves);
    refusals.extend(host_refusals(inventory, &request.program, &places));
    refusals.extend(places.iter().filter_map(|place| node_refusal(inventory, &deploy, place)));
    for place in places.iter().filter(|place| place.node.is_server()) {
        refusals.extend(port_refusals(inventory, place));
    }
    Refused::unless_empty(refusals)?;

    let mut steps = Steps::default();
    salvage_step(&mut steps, request, &salvage);
    fence_steps(&mut steps, observed, request);
    install_steps(&mut steps, inventory, request, &deploy, &places);
    start_steps(&mut steps, request, &places);
    let mut plan = Plan::new(inventory, &request.operation, Danger::LosesData);
    plan.base = request.base;
    plan.confirm = Some(format!("{name}@g{}", request.base));
    plan.steps = steps.numbered();
    plan.target = inventory.generation.next();
    plan.impact = read_words(request, &salvage);
    plan.impact.push(founding_words(inventory, name));
    plan.impact.extend(left_words(inventory, observed, request));
    plan.undo = format!("none; the records that were found stay in the backup {}", request.backup);
    Ok(plan)
}

fn deploy_request(request: &RecoverRequest) -> DeployRequest {
    DeployRequest {
        operation: request.operation.clone(),
        selection: Selection { clusters: vec![request.cluster.clone()], ..Selection::default() },
        program: request.program.clone(),
        // The old one signs nothing any more.
        authorities: BTreeMap::new(),
        config_only: false,
    }
}

fn salvage_step(steps: &mut Steps, request: &RecoverRequest, salvage: &Salvage) {
    let sources = request.found.sources(salvage);
    let endpoints: BTreeSet<Endpoint> = sources.iter().map(|source| source.endpoint.clone()).collect();
    let action = ClusterAction::Salvage {
        cluster: request.cluster.clone(),
        cluster_id: request.old.id,
        name: request.backup.clone(),
        description: format!("recovery of {}", request.cluster),
        directory: request.directory.clone(),
        operation: request.operation.id.clone(),
        sources,
        missing: missing_words(request, salvage),
    };
    steps.ring(Phase::Salvage, endpoints.into_iter().collect(), action);
}

/// The old servers that can be reached never start again.
fn fence_steps(steps: &mut Steps, observed: &Observed, request: &RecoverRequest) {
    for server in &request.old.servers {
        let host = server.address.host.clone();
        let node = NodeName::Server(request.cluster.clone(), server.number);
        let Ok(facts) = facts(observed, &host) else { continue };
        let place = ObservedNode { node, host, facts };
        let view = place.facts.node(&place.node);
        if view.marker == Some(server.node_uuid) {
            let (dir, manager, uuid) = (place.dir(), place.facts.service, server.node_uuid);
            steps.node(Phase::Fence, &place, HostAction::StopNode { dir: dir.clone(), manager });
            steps.node(Phase::Fence, &place, HostAction::MarkRemoved { dir, uuid });
        }
    }
}

fn install_steps(
    steps: &mut Steps,
    inventory: &Inventory,
    request: &RecoverRequest,
    deploy: &DeployRequest,
    places: &[ObservedNode<'_>],
) {
    if let Some(first) = places.first() {
        let action = HostAction::MakeAuthority {
            root: first.facts.root.clone(),
            cluster: request.cluster.clone(),
            instead_of: Some(request.old.id),
        };
        steps.host(Phase::PrepareHosts, &first.host, action);
    }
    let authorities = Authorities::of(inventory, &deploy.authorities, places);
    program_steps(steps, deploy, places);
    user_steps(steps, inventory, places);
    for place in places {
        if !place.node.is_server() && place.facts.node(&place.node).is_running() {
            let manager = place.facts.service;
            steps.node(Phase::StopOldSlaves, place, HostAction::StopNode { dir: place.dir(), manager });
        }
        node_steps(steps, inventory, deploy, &authorities, place);
    }
}

/// Servers together, the ring, the records; and when these are there, the slaves.
fn start_steps(steps: &mut Steps, request: &RecoverRequest, places: &[ObservedNode<'_>]) {
    let (servers, slaves): (Vec<_>, Vec<_>) = places.iter().partition(|place| place.node.is_server());
    for (places, start, ready) in
        [(&servers, Phase::Start, Phase::Ready), (&slaves, Phase::Turn(1), Phase::Turn(2))]
    {
        for place in places.iter() {
            steps.node(start, place, start_action(place));
            steps.node(ready, place, HostAction::WaitReady { dir: place.dir() });
        }
    }
    if let Some(first) = servers.first() {
        steps.node(Phase::Found, first, HostAction::FoundCluster { dir: first.dir() });
    }
    let endpoint = |place: &&ObservedNode<'_>| Endpoint { host: place.host.clone(), dir: place.dir() };
    let endpoints: Vec<Endpoint> = servers.iter().map(endpoint).collect();
    let restore = ClusterAction::RestoreSalvaged {
        directory: request.directory.clone(),
        operation: request.operation.id.clone(),
    };
    steps.ring(Phase::Finish, endpoints.clone(), restore);
    steps.ring(Phase::Turn(0), endpoints, ClusterAction::Canary);
}

/// What is read where, and what may be missing.
fn read_words(request: &RecoverRequest, salvage: &Salvage) -> Vec<String> {
    let mut by_server: BTreeMap<MemberNo, Vec<&SalvagePart>> = BTreeMap::new();
    for part in &salvage.parts {
        if let Some((number, _)) = request.found.source(part) {
            by_server.entry(number).or_default().push(part);
        }
    }
    let mut words: Vec<String> = by_server
        .into_iter()
        .map(|(number, parts)| {
            let records: u64 = parts.iter().map(|part| part.records).sum();
            format!("reads about {records} records from No.{number}: {}", tablets_words(&parts))
        })
        .collect();
    words.extend(missing_words(request, salvage));
    words.push("a write that was not acknowledged may be there, too, as after any change of leaders".into());
    words
}

/// At most so many tablets are named.
const TABLETS_NAMED_MAX: usize = 8;

fn tablets_words(parts: &[&SalvagePart]) -> String {
    let named: Vec<String> =
        parts.iter().take(TABLETS_NAMED_MAX).map(|part| format!("{} ({})", part.tablet, part.end)).collect();
    let more = parts.len() - named.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} {}{rest}", plural_tablets(parts.len()), named.join(", "))
}

fn plural_tablets(count: usize) -> &'static str {
    if count == 1 { "tablet" } else { "tablets" }
}

/// One line for each kind of loss; one that says that there is none.
fn missing_words(request: &RecoverRequest, salvage: &Salvage) -> Vec<String> {
    let mut words = Vec::new();
    if !salvage.lost.is_empty() {
        let count: u32 = salvage.lost.iter().map(slots).sum();
        let share = f64::from(count) * 100.0 / f64::from(SLOTS);
        let ranges: Vec<String> = salvage.lost.iter().map(SlotRange::to_string).collect();
        words.push(format!(
            "LOST: all records of {count} slots ({share:.1} % of all keys): no server that can be read has slots {}",
            ranges.join(", ")
        ));
    }
    let doubtful: Vec<&SalvagePart> = salvage.parts.iter().filter(|part| !part.is_complete).collect();
    if let Some(oldest_ms) = doubtful.iter().map(|part| part.clock_ms).min() {
        words.push(format!(
            "MAY BE LOST: writes to {} that were acknowledged after what is read ends (about {}): servers that are lost could acknowledge them alone",
            tablets_words(&doubtful),
            (request.time_of)(oldest_ms)
        ));
    }
    if words.is_empty() {
        words
            .push("nothing that was acknowledged is lost: no majority could do without these servers".into());
    }
    for (number, why) in &request.found.damaged {
        words.push(format!("No.{number} is not read: {why}"));
    }
    for (number, (_, server)) in &request.found.read {
        if server.is_put_back {
            words.push(format!(
                "No.{number} is an older copy of itself: it proves nothing, but what it has is read"
            ));
        }
    }
    words
}

fn slots(range: &SlotRange) -> u32 {
    u32::from(range.last.0 - range.first.0) + 1
}

/// What stays behind, and what is left to do.
fn left_words(inventory: &Inventory, observed: &Observed, request: &RecoverRequest) -> Vec<String> {
    let name = &request.cluster;
    let mut words = Vec::new();
    let (mut kept, mut away) = (Vec::new(), Vec::new());
    for server in &request.old.servers {
        let node = NodeName::Server(name.clone(), server.number);
        match facts(observed, &server.address.host) {
            Ok(facts) if facts.node(&node).marker == Some(server.node_uuid) => {
                kept.push(format!("{}:{}", server.address.host, node_dir(&facts.root, &node)));
            }
            Ok(_) => {}
            Err(_) => away.push(format!("No.{} on {}", server.number, server.address.host)),
        }
    }
    if !kept.is_empty() {
        words.push(format!("old directories stay, and never start again: {}", kept.join(", ")));
    }
    if !away.is_empty() {
        words.push(format!(
            "never start again what cannot be reached: {}; it is of the old cluster, which no node of the new one talks to",
            away.join(", ")
        ));
    }
    let is_left = |id: &dkc_core::ids::SlaveId| {
        let host = inventory.host_of(&NodeName::Slave(name.clone(), *id));
        host.is_some_and(|host| facts(observed, &host).is_err())
    };
    let left: Vec<String> =
        inventory.slaves_of(name).iter().filter(|id| is_left(id)).map(ToString::to_string).collect();
    if !left.is_empty() {
        let verb = plural(left.len(), "slave");
        words.push(format!("{verb} {} cannot be reached: deploy and restart later", left.join(", ")));
    }
    words.push("slaves that a token enrolled, and are not registered here, need a new token".into());
    words
}
