//! The five beats of every command that changes hosts: observe, plan, show and confirm, execute, record.
//! *Invariant:* between confirming and executing the inventory is locked and is still the one the plan was made of;
//! whatever happens, the operator is told what is done and how to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dkc_core::ids::{ClusterName, HostAddress};
use dkc_core::meta::MemberChange;
use dkc_inventory::edit;
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::Observed;
use dkc_inventory::plan::{Action, Danger, Operation, Plan, Refusal, Refused};
use dkc_inventory::ring::RingFacts;

use crate::commands::playground::SUPERVISED_MARKER;
use crate::error::{CommandError, Exit, codes};
use crate::execute::{Execution, Journal, JournalError, Report, StepError};
use crate::gather::{self, Scope, gather};
use crate::session::Session;
use crate::store::Locked;
use crate::ui::Format;
use crate::world::WorldError;

/// Longer than an election takes by default.
const LEADER_PATIENCE: Duration = Duration::from_millis(1500);
const LEADER_LOOK: Duration = Duration::from_millis(200);

/// A new operation: its id and the line as typed.
pub fn operation(session: &Session) -> Operation {
    let id = format!("op-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    // How it was confirmed or tried is not what it does.
    let is_meant = |word: &&str| !matches!(*word, "--yes" | "-y" | "--dry-run" | "--exit-code");
    let words: Vec<&str> = session.line.split(' ').filter(is_meant).collect();
    Operation { id, command: words.join(" ") }
}

/// Asks hosts, and pins the keys of those that were met for the first time.
pub async fn observe(
    session: &mut Session,
    hosts: impl IntoIterator<Item = HostAddress>,
) -> Result<(Inventory, Observed), CommandError> {
    observe_scope(session, Scope::of(hosts, session.timeout())).await
}

pub async fn observe_scope(
    session: &mut Session,
    scope: Scope,
) -> Result<(Inventory, Observed), CommandError> {
    let inventory = session.inventory()?;
    let observed = look(session, &inventory, &supervised(session, scope)).await;
    Ok((pin_learned(session)?, observed))
}

/// Asks the hosts; once more, for a moment, where a cluster has tablets without a leader. A leader that hands over, or an
/// election, is no state to report or to refuse a change for.
async fn look(session: &Session, inventory: &Inventory, scope: &Scope) -> Observed {
    let until = Instant::now() + LEADER_PATIENCE;
    loop {
        let observed = gather(&session.world, inventory, scope).await;
        let lacks_leader = |name: &ClusterName| {
            RingFacts::of(inventory, &observed, name).is_some_and(|facts| facts.lacks_leader())
        };
        if Instant::now() >= until || !inventory.clusters.keys().any(lacks_leader) {
            return observed;
        }
        tokio::time::sleep(LEADER_LOOK).await;
    }
}

/// The same for an inventory that is only planned: what it has more than the one on disk.
pub async fn observe_planned(
    session: &mut Session,
    planned: &Inventory,
    scope: Scope,
) -> Result<(Inventory, Observed), CommandError> {
    let observed = look(session, planned, &supervised(session, scope)).await;
    let before = session.inventory()?;
    let learned = session.world.take_learned_keys();
    let (registered, new): (BTreeMap<_, _>, BTreeMap<_, _>) =
        learned.into_iter().partition(|(host, _)| before.hosts.contains_key(host));
    let mut planned = planned.clone();
    for (host, fingerprint) in new {
        if let Some(entry) = planned.hosts.get_mut(&host).filter(|entry| entry.host_key.is_empty()) {
            session.ui.say(&format!("{host}: host key {fingerprint} is pinned with the plan"));
            entry.host_key = vec![fingerprint];
        }
    }
    // What was learned of hosts that are registered already is a generation of its own, and the plan comes after it.
    let pinned = pin(session, registered)?;
    let grown = pinned.generation - before.generation;
    for (address, host) in pinned.hosts {
        planned.hosts.insert(address, host);
    }
    planned.generation += grown;
    Ok((planned, observed))
}

fn supervised(session: &Session, scope: Scope) -> Scope {
    let is_supervised = session.is_playground || session.store.dir().join(SUPERVISED_MARKER).exists();
    Scope { is_supervised, ..scope }
}

/// Writes newly accepted host keys into the inventory; returns it as it stands now.
pub fn pin_learned(session: &Session) -> Result<Inventory, CommandError> {
    pin(session, session.world.take_learned_keys())
}

fn pin(session: &Session, learned: BTreeMap<HostAddress, String>) -> Result<Inventory, CommandError> {
    if learned.is_empty() {
        return session.inventory();
    }
    let locked = session.lock()?;
    let mut inventory = locked.load()?;
    for (host, fingerprint) in learned {
        // The host may have been unregistered meanwhile; then there is nothing to pin.
        if inventory.hosts.get(&host).is_some_and(|entry| entry.host_key.is_empty()) {
            inventory = edit::set_pins(&inventory, &host, std::slice::from_ref(&fingerprint))?.inventory;
            session.ui.say(&format!("{host}: pinned host key {fingerprint}"));
        }
    }
    save(&locked, &inventory)?;
    Ok(inventory)
}

/// What is written into the inventory when a plan has been carried out.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub deployed: Vec<NodeName>,
    pub forgotten: Vec<NodeName>,
    pub founded: Vec<ClusterName>,
    /// Members that have left the ring.
    pub left: Vec<NodeName>,
    /// Written down before the first step: a member must be known here before it is known to the ring, or a second
    /// try would make it anew.
    pub first: Option<Inventory>,
}

impl Record {
    /// What the steps themselves say, for an operation that is resumed.
    pub fn of_plan(plan: &Plan) -> Record {
        let mut record = Record { left: plan.leaves.clone(), ..Record::default() };
        for step in &plan.steps {
            let Some(node) = &step.node else { continue };
            match &step.action {
                Action::CheckConfiguration { .. } => record.deployed.push(node.clone()),
                Action::RemoveNode { .. } => record.forgotten.push(node.clone()),
                Action::FoundCluster { .. } => record.founded.push(node.cluster().clone()),
                _ => {}
            }
        }
        record
    }

    fn apply(&self, inventory: &Inventory) -> Inventory {
        let founded =
            |inventory: Inventory, name: &ClusterName| edit::record_founded(&inventory, name).inventory;
        let left = |inventory: Inventory, node: &NodeName| match node {
            NodeName::Server(cluster, number) => {
                edit::remove_members(&inventory, cluster, &[*number]).inventory
            }
            NodeName::Slave(..) => inventory,
        };
        let remaining = self.left.iter().fold(inventory.clone(), left);
        let deployed = edit::record_deployed(&remaining, &self.deployed).inventory;
        let forgotten = edit::forget_deployed(&deployed, &self.forgotten).inventory;
        let after = self.founded.iter().fold(forgotten, founded);
        // However many edits it was, it is one generation.
        Inventory { generation: after.generation.min(inventory.generation + 1), ..after }
    }
}

/// Shows the plan, asks, does it, writes down what was done.
pub async fn carry_out(session: &mut Session, plan: Plan, record: Record) -> Result<(), CommandError> {
    if session.settings.dry_run {
        show_dry(session, &plan);
        let changes = !plan.is_empty() || !plan.leaves.is_empty();
        let is_pending = session.settings.exit_code && changes;
        return if is_pending { Err(CommandError::silent(Exit::Pending)) } else { Ok(()) };
    }
    if session.shows_plans {
        session.ui.say(plan.text().trim_end());
    }
    if !plan.is_empty() {
        confirm(session, &plan)?;
    }
    let locked = session.lock()?;
    let mut inventory = locked.load()?;
    let fresh = plan.check_fresh(inventory.generation, plan.ring_version);
    fresh.map_err(|refused| CommandError::from(refused.problem(&plan.command)))?;
    if let Some(first) = record.first.as_ref().filter(|first| first.generation > inventory.generation) {
        locked.save(first)?;
        inventory = first.clone();
    }
    if !plan.is_empty() {
        let journal = Journal::create(&session.store.journal_dir(), &plan).map_err(journal_error)?;
        let report = execute(session, &inventory, &plan, journal, BTreeSet::new()).await;
        if !session.shows_plans && !report.is_complete(&plan) {
            session.ui.say(plan.text().trim_end());
        }
        judge(&plan, &report)?;
    }
    save(&locked, &record.apply(&inventory))
}

/// Goes on with an operation from its journal. Its steps are as they were planned; those done stay done.
pub async fn resume(session: &mut Session, operation: &str) -> Result<(), CommandError> {
    let (journal, mut recorded) =
        Journal::reopen(&session.store.journal_dir(), operation).map_err(journal_error)?;
    start_again(&recorded.plan, &mut recorded.done);
    let plan = recorded.plan;
    let left = plan.steps.len() - recorded.done.len();
    if left == 0 || recorded.is_complete {
        session.ui.say(&format!("{operation} ({}): nothing is left to do", plan.command));
    } else {
        session.ui.say(plan.text().trim_end());
        session.ui.say(&format!(
            "{} of {} steps are done, {left} are left",
            recorded.done.len(),
            plan.steps.len()
        ));
        if session.settings.dry_run {
            return Ok(());
        }
        confirm(session, &plan)?;
    }
    let locked = session.lock()?;
    let inventory = locked.load()?;
    // A plan whose members are written down before it begins counts two.
    if inventory.generation > plan.generation_after {
        let stale = Refusal::StaleGeneration { planned: plan.generation, now: inventory.generation };
        return Err(Refused::from(stale).problem(&format!("resume {operation}")).into());
    }
    let report = execute(session, &inventory, &plan, journal, recorded.done).await;
    judge(&plan, &report)?;
    save(&locked, &Record::of_plan(&plan).apply(&inventory))
}

/// A node that was started and never became ready may have ended meanwhile: its start is to be done again.
fn start_again(plan: &Plan, done: &mut BTreeSet<u32>) {
    let is_wait = |action: &Action| matches!(action, Action::WaitReady { .. } | Action::WaitJoined { .. });
    let is_ready = |node: &Option<NodeName>| {
        let mut waits = plan.steps.iter().filter(|s| s.node == *node && is_wait(&s.action));
        waits.all(|step| done.contains(&step.number))
    };
    let starts = plan.steps.iter().filter(|step| matches!(step.action, Action::StartNode { .. }));
    let again: Vec<u32> = starts.filter(|step| !is_ready(&step.node)).map(|step| step.number).collect();
    done.retain(|number| !again.contains(number));
    begin_again(plan, done);
}

/// An operation on the ring whose lock was not given back takes it again, since somebody may have ended it; and until
/// data has moved, what was asked for is asked for again, since somebody may have aborted it. Both are idempotent.
fn begin_again(plan: &Plan, done: &mut BTreeSet<u32>) {
    let is_left = |wanted: fn(&Action) -> bool| {
        plan.steps.iter().any(|step| wanted(&step.action) && !done.contains(&step.number))
    };
    let has_lock = !is_left(|action| matches!(action, Action::EndOperation { .. }));
    let has_merged = !is_left(|action| matches!(action, Action::Merge { .. }));
    let again = |action: &Action| match action {
        Action::BeginOperation { .. } => !has_lock,
        Action::ChangeMembers { change, .. } => {
            !has_merged && !matches!(change, MemberChange::RegisterNode { .. })
        }
        _ => false,
    };
    let again: Vec<u32> = plan.steps.iter().filter(|s| again(&s.action)).map(|s| s.number).collect();
    done.retain(|number| !again.contains(number));
}

async fn execute(
    session: &Session,
    inventory: &Inventory,
    plan: &Plan,
    journal: Journal,
    done: BTreeSet<u32>,
) -> Report {
    let progress = session.ui.progress(session.settings.output);
    let authority_dir = session.store.authority_dir();
    let execution = Execution {
        plan,
        inventory,
        world: &session.world,
        progress: progress.as_ref(),
        interrupt: &session.interrupt,
        authority_dir: &authority_dir,
    };
    execution.run(journal, done).await
}

fn save(locked: &Locked, inventory: &Inventory) -> Result<(), CommandError> {
    if locked.load()?.generation == inventory.generation {
        return Ok(());
    }
    locked.save(inventory)
}

/// The plan is the data of a dry run.
fn show_dry(session: &Session, plan: &Plan) {
    let text = match session.settings.output {
        Some(Format::Json | Format::Jsonl) => {
            serde_json::to_string(plan).map(|text| text + "\n").unwrap_or_default()
        }
        Some(Format::Yaml) => serde_yaml::to_string(plan).unwrap_or_default(),
        _ => plan.text(),
    };
    session.ui.data(&text);
}

fn confirm(session: &Session, plan: &Plan) -> Result<(), CommandError> {
    match (plan.danger, &plan.confirm) {
        (Danger::Read, _) => Ok(()),
        (Danger::LosesData, Some(word)) => session.confirm_word("This loses data.", word),
        _ => session.confirm("Apply?"),
    }
}

/// A report as the one error that the operator reads.
fn judge(plan: &Plan, report: &Report) -> Result<(), CommandError> {
    if report.is_complete(plan) {
        return Ok(());
    }
    let (done, all) = (report.done.len(), plan.steps.len());
    let error = match report.failures.as_slice() {
        [] => CommandError::new(&codes::INTERRUPTED, format!("{}: interrupted", plan.command)),
        [one] => {
            let (number, host) = (one.step.number, &one.step.host);
            let what = format!("{}: step {number} of {all} failed on {host}", plan.command);
            failed(CommandError::new(&codes::STEP_FAILED, what), &one.error, None)
        }
        several => several.iter().fold(
            CommandError::new(
                &codes::STEP_FAILED,
                format!("{}: {} steps failed", plan.command, several.len()),
            ),
            |error, failure| {
                let place = format!("{}, step {} of {all}: ", failure.step.host, failure.step.number);
                failed(error, &failure.error, Some(place))
            },
        ),
    };
    let error = if done > 0 { error.exit(Exit::PartlyApplied) } else { error.exit(exit_of(report)) };
    let resume = match report.failures.is_empty() {
        true => format!("resume {}", plan.operation),
        false => format!("when the cause is gone: resume {}", plan.operation),
    };
    let back = plan.steps.iter().find_map(|step| match (&step.action, report.done.contains(&step.number)) {
        (Action::BeginOperation { cluster, .. }, true) => {
            Some(format!("\nor back: ring abortmerge -n {cluster}"))
        }
        _ => None,
    });
    Err(error.now(standing(plan, report)).next(resume + &back.unwrap_or_default()))
}

fn failed(error: CommandError, step: &StepError, place: Option<String>) -> CommandError {
    let error = error.cause(format!("{}{step}", place.unwrap_or_default()));
    match step {
        StepError::NotReady { log_tail, log_place, .. } => {
            let lines: String = log_tail.iter().map(|line| format!("\n  {line}")).collect();
            error.cause(format!("the last lines of its log ({log_place}):{lines}"))
        }
        _ => error,
    }
}

/// Nothing was changed: what kept it from beginning?
fn exit_of(report: &Report) -> Exit {
    match report.failures.first().map(|failure| &failure.error) {
        None | Some(StepError::Interrupted) => Exit::Interrupted,
        Some(StepError::World(WorldError::Changed { .. })) => Exit::Busy,
        Some(StepError::World(WorldError::Silent { .. })) => Exit::Unreachable,
        Some(StepError::Held(_)) => Exit::Busy,
        Some(StepError::NotOurs { .. } | StepError::Illegal(_)) => Exit::Refused,
        Some(_) => Exit::Failed,
    }
}

/// How things stand: each host in a few words.
fn standing(plan: &Plan, report: &Report) -> String {
    if report.done.is_empty() {
        return "no step was completed".into();
    }
    let hosts: BTreeSet<&HostAddress> = plan.steps.iter().map(|step| &step.host).collect();
    let words = hosts.into_iter().map(|host| {
        let steps: Vec<_> = plan.steps.iter().filter(|step| step.host == *host).collect();
        let done = steps.iter().filter(|step| report.done.contains(&step.number)).count();
        match done == steps.len() {
            true => format!("{host} is done"),
            false => format!("{host} has {done} of {} steps", steps.len()),
        }
    });
    words.collect::<Vec<_>>().join("; ")
}

fn journal_error(error: JournalError) -> CommandError {
    let code = match &error {
        JournalError::BadName(_) | JournalError::NoPlan { .. } => &codes::UNKNOWN_OPERATION,
        JournalError::File { what: "read", source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            &codes::UNKNOWN_OPERATION
        }
        JournalError::File { .. } => &codes::JOURNAL_UNWRITABLE,
    };
    CommandError::new(code, error.to_string()).now("nothing changed")
}

/// An error of the world outside of a plan.
pub fn world_error(error: WorldError) -> CommandError {
    match gather::silence(error) {
        dkc_inventory::observed::HostView::Silent { kind, message } => unreachable_error(kind, message),
        dkc_inventory::observed::HostView::Facts(_) => CommandError::bug("an error became facts"),
    }
}

fn unreachable_error(kind: dkc_inventory::observed::Silence, message: String) -> CommandError {
    use dkc_inventory::observed::Silence;
    let code = match kind {
        Silence::Unreachable => &codes::UNREACHABLE,
        Silence::Timeout => &codes::HOST_TIMEOUT,
        Silence::Login => &codes::LOGIN,
        Silence::HostKeyUnknown => &codes::HOST_KEY_UNKNOWN,
        Silence::HostKeyChanged => &codes::HOST_KEY_CHANGED,
        Silence::Other => &codes::HOST_TROUBLE,
    };
    CommandError::new(code, message)
}

/// A refusal with the verb in front.
pub fn refused(verb: &str) -> impl Fn(Refused) -> CommandError + '_ {
    move |refused| refused.problem(verb).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkc_core::ids::NodeId;
    use dkc_core::meta::OperationId;
    use dkc_inventory::observed::ServiceManager;
    use dkc_inventory::plan::Step;

    /// Steps of these actions of which the first `done` are done: those that a resume takes for done.
    fn check(actions: Vec<Action>, done: u32, want: &[u32]) {
        let node = NodeName::Server("c0".parse().unwrap(), dkc_core::ids::MemberNo(0));
        let step = |(index, action)| Step {
            number: index as u32 + 1,
            phase: 1,
            host: "h".parse().unwrap(),
            node: Some(node.clone()),
            action,
        };
        let plan = Plan {
            operation: "op-00000001".into(),
            command: "test".into(),
            danger: Danger::Disruptive,
            generation: 1,
            generation_after: 1,
            ring_version: None,
            confirm: None,
            impact: Vec::new(),
            undo: String::new(),
            steps: actions.into_iter().enumerate().map(step).collect(),
            leaves: Vec::new(),
        };
        let mut left: BTreeSet<u32> = (1..=done).collect();
        start_again(&plan, &mut left);
        assert_eq!(Vec::from_iter(left), want);
    }

    #[test]
    fn a_start_that_never_became_ready_is_done_again() {
        let dir = || "/r/c0-0".to_owned();
        let actions = || {
            vec![
                Action::StartNode { dir: dir(), manager: ServiceManager::Supervise },
                Action::WaitReady { dir: dir() },
            ]
        };
        check(actions(), 1, &[]);
        check(actions(), 2, &[1, 2]);
    }

    #[test]
    fn an_operation_on_the_ring_takes_its_lock_again_and_asks_again_until_data_has_moved() {
        let id = OperationId(uuid::Uuid::from_u128(1));
        let change = |change| Action::ChangeMembers {
            doors: Vec::new(),
            operation: Some(id),
            change,
            about: String::new(),
        };
        let actions = || {
            let (cluster, holder, what) = ("c0".parse().unwrap(), String::new(), String::new());
            vec![
                Action::BeginOperation { cluster, doors: Vec::new(), id, holder, what },
                change(MemberChange::ServiceOut { node: NodeId(3) }),
                Action::Merge { doors: Vec::new(), operation: id, come: Vec::new(), leave: vec![NodeId(3)] },
                change(MemberChange::RemoveNode { node: NodeId(3) }),
                Action::EndOperation { doors: Vec::new(), id },
            ]
        };
        check(actions(), 2, &[]);
        check(actions(), 3, &[2, 3]);
        check(actions(), 4, &[2, 3, 4]);
        check(actions(), 5, &[1, 2, 3, 4, 5]);
    }
}
