//! The CHMPX words that change members, and `split`, each a plan of one step: shown, confirmed and journalled like any other.
//! `abortmerge` has more steps: it rolls back and ends the interrupted operation; `split` also waits for the new tablet.

use dkc_core::ids::{ClusterName, MemberNo, TabletId};
use dkc_core::meta::{MemberChange, MetaCommand, MetaReply, MetaState, OperationId};
use dkc_core::ring::{MemberAction, Node, TabletPlace};

use super::change_members::is_pending;
use super::splitting;
use super::steps::{Phase, Steps};
use super::{ClusterAction, Danger, Endpoint, Operation, Plan, Refusal, Refused, Target};
use crate::model::{Inventory, node_dir};
use crate::observed::Observed;
use crate::ring_facts::RingFacts;

/// A CHMPX word; the operator's `ring WORD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingWord {
    /// `servicein`
    ServiceIn,
    /// `serviceout`
    ServiceOut,
    /// `merge`
    Merge,
    /// `compmerge`
    CompleteMerge,
    /// `abortmerge`
    AbortMerge,
    /// `suspendmerge`
    SuspendMerge,
    /// `nosuspendmerge`
    NoSuspendMerge,
    /// `split`: this tablet, or the one with the most data.
    Split(Option<TabletId>),
}

/// `ring WORD`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingRequest {
    /// Id and command line.
    pub operation: Operation,
    /// Whose ring.
    pub cluster: ClusterName,
    /// What is asked of the ring.
    pub word: RingWord,
    /// The members of SERVICEIN and SERVICEOUT.
    pub numbers: Vec<MemberNo>,
    /// The operator: `ann@admin1`.
    pub holder: String,
    /// Abort another operator's operation (`--take-over`).
    pub take_over: bool,
}

/// Plans the word's changes after trying them on the observed ring.
pub fn ring(inventory: &Inventory, observed: &Observed, request: &RingRequest) -> Result<Plan, Refused> {
    let name = &request.cluster;
    Target::Servers { cluster: name.clone(), numbers: request.numbers.clone() }.nodes(inventory)?;
    let Some(facts) = RingFacts::of(inventory, observed, name) else {
        let why = "no server with a founded ring answers".to_owned();
        return Err(Refusal::RingSilent { cluster: name.clone(), why }.into());
    };
    let mut numbers = Vec::new();
    for number in &request.numbers {
        numbers.push(facts.node(*number).ok_or_else(|| not_in_ring(name, *number))?);
    }
    let running = facts.view.operation.as_ref();
    let is_ours = running.is_some_and(|running| running.holder == request.holder);
    let may_go_on = is_ours || (request.take_over && request.word == RingWord::AbortMerge);
    if let Some(running) = running.filter(|_| !may_go_on) {
        let (holder, what) = (running.holder.clone(), running.what.clone());
        return Err(Refusal::OperationRuns { cluster: name.clone(), holder, what }.into());
    }
    let operation = running.map(|running| running.id);
    let mut plan = Plan::new(inventory, &request.operation, Danger::Disruptive);
    plan.ring_version = Some(facts.view.ring.version);
    let mut steps = Steps::default();
    let endpoints = endpoints(inventory, observed, name);
    let mut changes = Changes { steps: &mut steps, endpoints: &endpoints, operation };
    match request.word {
        RingWord::AbortMerge => abort(&facts, &mut changes),
        RingWord::Split(tablet) => split_one(&facts, tablet, &mut changes),
        word => simple(word, &numbers, &mut changes),
    }
    if let Some(running) = running.filter(|_| request.word == RingWord::AbortMerge) {
        plan.impact.push(format!("aborts the operation of {}: {}", running.holder, running.what));
    }
    plan.steps = steps.numbered();
    check_legal(&plan, &facts, name)?;
    plan.impact.extend(impact(request.word, &facts));
    plan.undo = undo(request.word, name);
    Ok(plan)
}

/// Tries the changes on the observed ring: what it would refuse is refused before the operator confirms it.
fn check_legal(plan: &Plan, facts: &RingFacts<'_>, cluster: &ClusterName) -> Result<(), Refused> {
    let mut state = MetaState::from(facts.view);
    for step in &plan.steps {
        let Some(ClusterAction::ChangeMembers { operation, change, .. }) = step.action.on_cluster() else {
            continue;
        };
        let command = MetaCommand::Change { operation: *operation, change: change.clone() };
        if let MetaReply::Refused(why) = state.apply(&command) {
            return Err(Refusal::Illegal { cluster: cluster.clone(), why: why.to_string() }.into());
        }
    }
    Ok(())
}

fn not_in_ring(cluster: &ClusterName, number: MemberNo) -> Refused {
    let why = format!("No.{number} has not joined it");
    Refusal::NotServing { cluster: cluster.clone(), why }.into()
}

pub(super) fn endpoints(inventory: &Inventory, observed: &Observed, name: &ClusterName) -> Vec<Endpoint> {
    let endpoint = |node: &crate::model::NodeName| {
        let host = inventory.host_of(node)?;
        let facts = observed.facts(&host)?;
        facts.node(node).meta.as_ref()?;
        Some(Endpoint { dir: node_dir(&facts.root, node), host })
    };
    inventory.servers_of(name).iter().filter_map(endpoint).collect()
}

struct Changes<'a> {
    steps: &'a mut Steps,
    endpoints: &'a [Endpoint],
    operation: Option<OperationId>,
}

impl Changes<'_> {
    fn change(&mut self, change: MemberChange, about: String) {
        let operation = self.operation;
        self.step(ClusterAction::ChangeMembers { operation, change, about });
    }

    fn step(&mut self, action: ClusterAction) {
        self.steps.ring(Phase::Merge, self.endpoints.to_vec(), action);
    }
}

fn simple(word: RingWord, nodes: &[&Node], changes: &mut Changes<'_>) {
    for node in nodes {
        let change = match word {
            RingWord::ServiceIn => MemberChange::ServiceIn { node: node.node_id },
            _ => MemberChange::ServiceOut { node: node.node_id },
        };
        let about = format!("{} No.{} ({})", change.word(), node.number, node.address);
        changes.change(change, about);
    }
    let change = match word {
        RingWord::ServiceIn | RingWord::ServiceOut | RingWord::AbortMerge | RingWord::Split(_) => return,
        RingWord::Merge => MemberChange::Merge,
        RingWord::CompleteMerge => MemberChange::CompleteMerge,
        RingWord::SuspendMerge => MemberChange::SuspendMerge,
        RingWord::NoSuspendMerge => MemberChange::NoSuspendMerge,
    };
    let about = change.word().to_owned();
    changes.change(change, about);
}

fn split_one(facts: &RingFacts<'_>, tablet: Option<TabletId>, changes: &mut Changes<'_>) {
    let ring = &facts.view.ring;
    let width = |place: &&TabletPlace| place.last_slot.0 - place.first_slot.0;
    let largest = ring.tablets.iter().max_by_key(|place| (facts.tablet_bytes(place.tablet), width(place)));
    let Some(tablet) = tablet.or(largest.map(|place| place.tablet)) else { return };
    let child = ring.next_tablet(facts.view.splits.pending.len());
    // One that does not exist is refused by the ring's own rules.
    let about = ring.place_of(tablet).map_or("split".into(), |place| splitting::words(place, child));
    changes.change(MemberChange::SplitTablet { tablet, child }, about);
    changes.step(ClusterAction::WaitSplit { tablets: vec![child] });
}

/// Rolls back: ends the merge, keeps joining members out and leaving ones in, releases the lock.
fn abort(facts: &RingFacts<'_>, changes: &mut Changes<'_>) {
    let view = facts.view;
    let (come, leave): (Vec<&Node>, Vec<&Node>) = view
        .ring
        .nodes
        .iter()
        .filter(|node| node.action != MemberAction::None)
        .partition(|node| node.action == MemberAction::Add);
    let is_merging = view.merge.is_some() || leave.iter().any(|node| is_pending(node));
    // Without an operation, the ring's own rules explain why there is nothing to abort.
    if is_merging || (changes.operation.is_none() && come.is_empty()) {
        changes.change(MemberChange::AbortMerge, MemberChange::AbortMerge.word().into());
    }
    for node in come {
        let about = format!("SERVICEOUT No.{} ({}): it has no data yet", node.number, node.address);
        changes.change(MemberChange::ServiceOut { node: node.node_id }, about);
    }
    if changes.operation.is_some() && view.is_merge_suspended {
        changes.change(MemberChange::NoSuspendMerge, "NOSUSPENDMERGE".into());
    }
    if let Some(id) = changes.operation {
        changes.step(ClusterAction::EndOperation { id });
    }
}

fn impact(word: RingWord, facts: &RingFacts<'_>) -> Vec<String> {
    let view = facts.view;
    let is_automatic = view.is_automerge && !view.is_merge_suspended;
    let one = |text: &str| vec![text.to_owned()];
    match word {
        RingWord::ServiceIn | RingWord::ServiceOut if is_automatic => one("the merge starts automatically"),
        RingWord::ServiceIn | RingWord::ServiceOut => one("no data moves before MERGE"),
        RingWord::Merge => one("data moves to its new replicas; the cluster keeps serving"),
        RingWord::CompleteMerge => one("the new replicas take over; this cannot be undone"),
        RingWord::AbortMerge => one("data stays where it is; copies are dropped"),
        RingWord::SuspendMerge => one("no merge starts or completes automatically until nosuspendmerge"),
        RingWord::NoSuspendMerge => one("pending changes merge now if automerge is on"),
        RingWord::Split(_) => {
            one("no data moves; writes to the new tablet wait until it has a leader, less than a second")
        }
    }
}

fn undo(word: RingWord, name: &ClusterName) -> String {
    let next = match word {
        RingWord::ServiceIn => "serviceout",
        RingWord::ServiceOut => "servicein",
        RingWord::Merge => "abortmerge",
        RingWord::CompleteMerge => return "none; change members again".into(),
        RingWord::Split(_) => return "none; tablets are never joined".into(),
        RingWord::AbortMerge => "merge",
        RingWord::SuspendMerge => "nosuspendmerge",
        RingWord::NoSuspendMerge => "suspendmerge",
    };
    match word {
        RingWord::ServiceIn | RingWord::ServiceOut => format!("ring {next} -n {name} --no …"),
        _ => format!("ring {next} -n {name}"),
    }
}
