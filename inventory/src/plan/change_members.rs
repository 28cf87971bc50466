//! The common plan of grow, shrink and replace, derived from the cluster's current state, so running the command again
//! continues it. Joining members are already in the inventory, leaving ones still are. Data moves once for all members.

use std::collections::BTreeMap;

use dkc_core::config::layout;
use dkc_core::ids::{ClusterName, MemberNo, NodeId};
use dkc_core::meta::{MemberChange, OperationId, Split};
use dkc_core::ring::{self, ActionProgress, PlaceNode, members_after, tablets_wanted};

use super::authority::AuthorityView;
use super::deploy::config_step;
use super::splitting::Splitting;
use super::standing::{failures, tolerated};
use super::steps::{ObservedNode, Phase, Steps};
use super::{
    ClusterAction, Danger, Endpoint, HostAction, Operation, Plan, Program, Refusal, Refused, Target,
};
use crate::edit::{plural, remove_members};
use crate::generation::Generation;
use crate::model::{Inventory, NodeName, Server, node_dir};
use crate::observed::Observed;
use crate::render;
use crate::ring_facts::{Reshape, RingFacts, amount};

/// The ring's lock: a new id and its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// New for each plan; a resumed plan keeps it.
    pub id: OperationId,
    /// `ann@admin1`.
    pub holder: String,
}

/// A change of members: any number may join and leave at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Taken before the first change, released after the last.
    pub lock: Lock,
    /// Whose members change.
    pub cluster: ClusterName,
    /// Already registered in the inventory of the plan.
    pub come: Vec<MemberNo>,
    /// Present members.
    pub leave: Vec<MemberNo>,
    /// Those that leave keep running as members without data.
    pub is_detached: bool,
    /// The generation on disk; the plan is bound to it, not to the one with the joining members.
    pub base: Generation,
    /// What joining members get.
    pub program: Program,
    /// As in `DeployRequest::authorities`.
    pub authorities: BTreeMap<ClusterName, AuthorityView>,
    /// Proceed although a remaining member is down (`--allow-no-tolerance`).
    pub allow_no_tolerance: bool,
}

/// Plans the change and what it costs; refused where the cluster could lose data or availability.
pub fn change_members(
    inventory: &Inventory,
    observed: &Observed,
    request: &MembersRequest,
) -> Result<(Plan, Reshape), Refused> {
    let planning = Membership::new(inventory, observed, request)?;
    let mut refusals = planning.refusals();
    let new = planning.new_places(&mut refusals);
    Refused::unless_empty(refusals)?;

    let mut steps = Steps::default();
    planning.begin_steps(&mut steps, &new);
    planning.merge_steps(&mut steps);
    if !request.is_detached {
        planning.stop_steps(&mut steps);
        planning.slave_steps(&mut steps);
    }
    planning.end_steps(&mut steps);

    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    plan.base = request.base;
    plan.ring_version = Some(planning.facts.view.ring.version);
    plan.steps = steps.numbered();
    let removed = planning.leaving.iter().filter(|_| !request.is_detached);
    plan.leaves = removed.map(|server| planning.node_name(server.number)).collect();
    let is_recorded = !plan.leaves.is_empty() || plan.steps.iter().any(records);
    plan.target = inventory.generation.next_if(is_recorded);
    planning.judge_danger(&mut plan);
    planning.impact(&mut plan);
    plan.undo = planning.undo();
    Ok((plan, planning.reshape))
}

fn records(step: &super::Step) -> bool {
    matches!(step.action.on_host(), Some(HostAction::CheckConfiguration { .. }))
}

pub(super) struct Membership<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) observed: &'a Observed,
    pub(super) request: &'a MembersRequest,
    pub(super) facts: RingFacts<'a>,
    pub(super) coming: Vec<&'a Server>,
    pub(super) leaving: Vec<&'a Server>,
    pub(super) splitting: Splitting,
    pub(super) reshape: Reshape,
    /// The running operation if it is the same one, else the new id.
    pub(super) operation: OperationId,
    pub(super) is_continued: bool,
}

impl<'a> Membership<'a> {
    fn new(
        inventory: &'a Inventory,
        observed: &'a Observed,
        request: &'a MembersRequest,
    ) -> Result<Membership<'a>, Refused> {
        let name = &request.cluster;
        let all = [request.come.clone(), request.leave.clone()].concat();
        if !all.is_empty() {
            Target::Servers { cluster: name.clone(), numbers: all }.nodes(inventory)?;
        }
        let server = |number: &MemberNo| inventory.server(name, *number);
        let coming: Vec<&Server> = request.come.iter().filter_map(server).collect();
        let leaving: Vec<&Server> = request.leave.iter().filter_map(server).collect();
        let Some(facts) = RingFacts::of(inventory, observed, name) else {
            let why = "no server with a founded ring answers".to_owned();
            return Err(Refusal::RingSilent { cluster: name.clone(), why }.into());
        };
        let places: Vec<PlaceNode> = coming.iter().map(|server| place_node(inventory, server)).collect();
        let leave: Vec<NodeId> = leaving.iter().map(|server| server.node_id).collect();
        let servers_after = members_after(&facts.view.ring, &places, &leave).len();
        // Before growing only, and not into a merge that is under way.
        let grows = coming.len() > leaving.len() && facts.view.merge.is_none();
        let wanted = if grows { tablets_wanted(servers_after) } else { 0 };
        let splitting = Splitting::to(&facts, wanted);
        let mut planning = Membership {
            reshape: facts.reshape(&splitting.ring, &splitting.bytes, &places, &leave),
            splitting,
            inventory,
            observed,
            request,
            facts,
            coming,
            leaving,
            operation: request.lock.id,
            is_continued: false,
        };
        if let Some(running) = &planning.facts.view.operation
            && running.holder == request.lock.holder
            && running.what == planning.what()
        {
            (planning.operation, planning.is_continued) = (running.id, true);
        }
        Ok(planning)
    }

    pub(super) fn node_name(&self, number: MemberNo) -> NodeName {
        NodeName::Server(self.request.cluster.clone(), number)
    }

    /// A description for other operators who want to change members meanwhile.
    fn what(&self) -> String {
        match (self.coming.is_empty(), self.leaving.is_empty()) {
            (_, true) => self.grow_words(),
            (true, false) if self.request.is_detached => {
                format!("detach {} of {}", self.leaving_numbers(), self.request.cluster)
            }
            (true, false) => self.shrink_words(),
            (false, false) => self.replace_words(),
        }
    }

    fn refusals(&self) -> Vec<Refusal> {
        let cluster = || self.request.cluster.clone();
        let view = self.facts.view;
        let mut refusals = Vec::new();
        if let Some(running) = view.operation.as_ref().filter(|_| !self.is_continued) {
            let (holder, what) = (running.holder.clone(), running.what.clone());
            return vec![Refusal::OperationRuns { cluster: cluster(), holder, what }];
        }
        if let Some(merge) = view.merge.as_ref().filter(|_| !self.is_continued) {
            return vec![Refusal::Merging { cluster: cluster(), state: merge.describe() }];
        }
        if self.in_service_after() == 0 {
            return vec![Refusal::LastServer { cluster: cluster() }];
        }
        if let Some(why) = self.facts.trouble() {
            refusals.push(Refusal::NotServing { cluster: cluster(), why });
        }
        if !self.moves() {
            return refusals;
        }
        if self.reshape.weak_tablets > 0 {
            refusals.push(Refusal::RingQuorum { cluster: cluster(), count: self.reshape.weak_tablets });
        }
        let going: Vec<NodeId> = self.leaving.iter().map(|server| server.node_id).collect();
        let down: Vec<String> = self
            .facts
            .down()
            .iter()
            .filter(|node| !going.contains(&node.node_id))
            .map(|node| node.number.to_string())
            .collect();
        let tolerates = self.worst_moment() as usize;
        if !down.is_empty() && tolerates == 0 && !self.request.allow_no_tolerance {
            refusals.push(Refusal::Degraded { cluster: cluster(), down, tolerates });
        }
        refusals
    }

    /// Failures tolerated while data moves, by both the old and the new placement.
    fn worst_moment(&self) -> u32 {
        let now = self.reshape.tolerates_now.unwrap_or(0);
        now.min(self.reshape.tolerates_after.unwrap_or(0))
    }

    pub(super) fn in_service_after(&self) -> usize {
        self.reshape.servers_after
    }

    /// Whether members join or leave.
    pub(super) fn moves(&self) -> bool {
        !self.to_bring_in().is_empty() || !self.to_take_out().is_empty()
    }

    /// Servers that answer, remaining ones first; any of them can change the ring.
    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |node: &NodeName| {
            let host = self.inventory.host_of(node)?;
            let facts = self.observed.facts(&host)?;
            facts.node(node).meta.as_ref()?;
            Some(Endpoint { dir: node_dir(&facts.root, node), host })
        };
        let nodes = self.inventory.servers_of(&self.request.cluster);
        let (leave, stay): (Vec<&NodeName>, Vec<&NodeName>) =
            nodes.iter().partition(|node| self.leaving.iter().any(|s| self.node_name(s.number) == **node));
        stay.into_iter().chain(leave).filter_map(endpoint).collect()
    }

    fn ring_step(&self, steps: &mut Steps, phase: Phase, action: ClusterAction) {
        steps.ring(phase, self.endpoints(), action);
    }

    pub(super) fn change(&self, steps: &mut Steps, phase: Phase, change: MemberChange, about: String) {
        let operation = Some(self.operation);
        self.ring_step(steps, phase, ClusterAction::ChangeMembers { operation, change, about });
    }

    pub(super) fn needs_operation(&self) -> bool {
        let known = |server: &&Server| self.facts.view.ring.node(server.node_id).is_some();
        self.moves() || (!self.request.is_detached && self.leaving.iter().any(known))
    }

    fn begin_steps(&self, steps: &mut Steps, new: &[ObservedNode<'_>]) {
        if self.needs_operation() {
            let (cluster, id) = (self.request.cluster.clone(), self.operation);
            let (holder, what) = (self.request.lock.holder.clone(), self.what());
            self.ring_step(
                steps,
                Phase::TakeLock,
                ClusterAction::BeginOperation { cluster, id, holder, what },
            );
        }
        self.join_steps(steps, new);
    }

    /// While the members are as before, so that a split moves nothing.
    fn split_steps(&self, steps: &mut Steps) {
        for round in &self.splitting.rounds {
            for (Split { tablet, child, .. }, words) in round.splits.iter().filter(|_| !round.is_begun) {
                let change = MemberChange::SplitTablet { tablet: *tablet, child: *child };
                self.change(steps, Phase::Split, change, format!("split: {words}"));
            }
            let tablets = round.splits.iter().map(|(split, _)| split.child).collect();
            self.ring_step(steps, Phase::Split, ClusterAction::WaitSplit { tablets });
        }
    }

    fn merge_steps(&self, steps: &mut Steps) {
        let (come, leave) = (self.to_bring_in(), self.to_take_out());
        if come.len() + leave.len() > 0 {
            // A running merge was checked when it started and only needs to complete.
            if self.facts.view.merge.is_none() {
                let failures = self.reshape.tolerates_now.unwrap_or(0);
                self.ring_step(steps, Phase::Merge, ClusterAction::RequireTolerance { failures });
            }
            self.split_steps(steps);
            // One merge moves each tablet once; merging members one by one would move some tablets twice.
            let is_several = come.len() + leave.len() > 1;
            if is_several {
                self.change(
                    steps,
                    Phase::Merge,
                    MemberChange::SuspendMerge,
                    "SUSPENDMERGE: merge all members at once".into(),
                );
            }
            for server in &come {
                let change = MemberChange::ServiceIn { node: server.node_id };
                self.change(steps, Phase::Merge, change, format!("SERVICEIN No.{}", server.number));
            }
            for server in &leave {
                let change = MemberChange::ServiceOut { node: server.node_id };
                self.change(steps, Phase::Merge, change, format!("SERVICEOUT No.{}", server.number));
            }
            if is_several || (self.is_continued && self.facts.view.is_merge_suspended) {
                self.change(steps, Phase::Merge, MemberChange::NoSuspendMerge, "NOSUSPENDMERGE".into());
            }
            let ids = |servers: &[&Server]| servers.iter().map(|server| server.node_id).collect();
            let (come, leave) = (ids(&come), ids(&leave));
            let operation = self.operation;
            self.ring_step(steps, Phase::Merge, ClusterAction::Merge { operation, come, leave });
        }
        for server in self.leaving.iter().filter(|_| !self.request.is_detached) {
            if self.facts.view.ring.node(server.node_id).is_some() {
                let about = format!("remove No.{} from the ring permanently", server.number);
                self.change(steps, Phase::Merge, MemberChange::RemoveNode { node: server.node_id }, about);
            }
        }
    }

    /// A running slave follows the ring; after a restart it uses the servers in its configuration.
    fn slave_steps(&self, steps: &mut Steps) {
        let after = self.after();
        for id in after.slaves_of(&self.request.cluster) {
            let node = NodeName::Slave(self.request.cluster.clone(), id);
            let Some(host) = after.host_of(&node) else { continue };
            let (Some(facts), Some(config)) =
                (self.observed.facts(&host), render::node_config(&after, &node))
            else {
                continue;
            };
            let view = facts.node(&node);
            let place = ObservedNode { node, host, facts };
            if !view.files.contains_key(layout::CONFIG) {
                continue;
            }
            if let Some(write) = config_step(&place.dir(), &config, &view) {
                steps.node(Phase::ConfigureSlaves, &place, write);
                steps.node(
                    Phase::ConfigureSlaves,
                    &place,
                    HostAction::CheckConfiguration { dir: place.dir() },
                );
            }
        }
    }

    /// The inventory after the plan.
    fn after(&self) -> Inventory {
        remove_members(self.inventory, &self.request.cluster, &self.request.leave).inventory
    }

    fn end_steps(&self, steps: &mut Steps) {
        if self.moves() {
            let failures = self.reshape.tolerates_after.unwrap_or(0);
            self.ring_step(steps, Phase::Finish, ClusterAction::WaitHealthy { failures });
        }
        if self.needs_operation() || self.is_continued {
            self.ring_step(steps, Phase::Finish, ClusterAction::EndOperation { id: self.operation });
        }
    }

    fn impact(&self, plan: &mut Plan) {
        if self.moves() {
            plan.impact.extend(self.split_words());
            plan.impact.push(self.moved_words());
            plan.impact.push(self.share_words());
            plan.impact.extend(worst_moment_words(plan, self.worst_moment()));
            plan.impact.push(self.after_words());
        }
        if self.is_continued {
            plan.impact.push("continues the running operation".into());
        }
        if self.request.is_detached {
            plan.impact.push(format!(
                "{} keeps running without data; it stays a member and counts for no quorum",
                self.leaving_numbers()
            ));
            return;
        }
        plan.impact.extend(self.departure_words());
        let silent = self.inventory.slaves_of(&self.request.cluster).into_iter().filter(|id| {
            let node = NodeName::Slave(self.request.cluster.clone(), *id);
            let host = self.inventory.host_of(&node);
            host.is_some_and(|host| self.observed.facts(&host).is_none())
        });
        for id in silent {
            plan.impact.push(format!("cannot update the server list of slave {id}; deploy later"));
        }
    }

    fn split_words(&self) -> Option<String> {
        let (before, after) = (self.facts.view.ring.tablets.len(), self.splitting.ring.tablets.len());
        (after > before).then(|| {
            let count = self.splitting.count();
            format!(
                "{count} {} first: {before} tablets become {after}, nothing to copy",
                plural(count, "split")
            )
        })
    }

    fn moved_words(&self) -> String {
        let Reshape { tablets, replicas, bytes, .. } = self.reshape;
        let all = self.splitting.ring.tablets.len();
        if replicas == 0 {
            return format!("{tablets} of {all} {} change, nothing to copy", plural(all, "tablet"));
        }
        let rate = self.merge_bytes_per_s();
        format!(
            "{tablets} of {all} {} change, {replicas} {} to copy: {}, about {} s at {}/s (merge_bytes_per_s)",
            plural(all, "tablet"),
            plural(replicas, "replica"),
            amount(bytes),
            bytes.div_ceil(rate),
            amount(rate),
        )
    }

    /// The limit per sending node; several senders may be faster.
    fn merge_bytes_per_s(&self) -> u64 {
        let cluster = self.inventory.clusters.get(&self.request.cluster);
        let parameters =
            cluster.and_then(|cluster| self.inventory.parameters_of(cluster).ok()).unwrap_or_default();
        parameters.merge_bytes_per_s.max(1)
    }

    /// `replicas: No.0 6 to 4, No.3 0 to 4`
    fn share_words(&self) -> String {
        let before = ring::Assignment::from(&self.splitting.ring);
        let all = self.inventory.clusters.get(&self.request.cluster).map(|c| c.servers.as_slice());
        let shares = all.unwrap_or_default().iter().filter_map(|server| {
            let (old, new) =
                (before.replicas_of(server.node_id), self.reshape.target.replicas_of(server.node_id));
            (old != new).then(|| format!("No.{} {old} to {new}", server.number))
        });
        let shares: Vec<String> = shares.collect();
        match shares.is_empty() {
            true => "replicas: unchanged on every server".into(),
            false => format!("replicas: {}", shares.join(", ")),
        }
    }

    fn after_words(&self) -> String {
        let servers = self.in_service_after();
        let wanted = self.facts.view.ring.replicas;
        let copies = wanted.min(servers as u32);
        let mut words = format!(
            "{} then has {servers} {} and tolerates {}",
            self.request.cluster,
            plural(servers, "server"),
            failures(tolerated(copies)),
        );
        if copies < wanted {
            words.push_str(&format!("; {wanted} replicas configured, so every server has all data"));
        }
        words
    }

    fn undo(&self) -> String {
        let before = format!("before completion: ring abortmerge -n {}", self.request.cluster);
        let after = match (self.coming.is_empty(), self.leaving.is_empty()) {
            (true, false) if self.request.is_detached => {
                let numbers: Vec<String> =
                    self.leaving.iter().map(|s| format!("--no {}", s.number)).collect();
                format!("attach -n {} {}", self.request.cluster, numbers.join(" "))
            }
            (false, true) => self.grow_undo(),
            _ => self.shrink_undo(),
        };
        format!("{before}; after: {after}")
    }
}

/// The merge's step numbers, and the failures tolerated meanwhile.
fn worst_moment_words(plan: &Plan, tolerates: u32) -> Option<String> {
    let is_merge =
        |step: &&super::Step| matches!(step.action.on_cluster(), Some(ClusterAction::Merge { .. }));
    let is_service = |step: &&super::Step| {
        matches!(
            step.action.on_cluster(),
            Some(ClusterAction::ChangeMembers {
                change: MemberChange::ServiceIn { .. } | MemberChange::ServiceOut { .. },
                ..
            })
        )
    };
    let last = plan.steps.iter().find(is_merge)?.number;
    let first = plan.steps.iter().find(is_service).map_or(last, |step| step.number);
    let further = match tolerates {
        1 => "1 further failure".to_owned(),
        count => format!("{count} further failures"),
    };
    Some(format!("worst moment: steps {first}–{last} tolerate {further}"))
}

fn place_node(inventory: &Inventory, server: &Server) -> PlaceNode {
    let entry = inventory.server_entry(server);
    PlaceNode { node_id: entry.node_id, host: entry.address.host, zone: entry.zone }
}

/// Whether the member is joining or leaving, so that MERGE would move data.
pub(super) fn is_pending(node: &ring::Node) -> bool {
    node.operate == ActionProgress::Pending
}
