//! The five beats of every command that changes hosts: observe, plan, show and confirm, execute, record.
//! *Invariant:* between confirming and executing the inventory is locked and is still the one the plan was made of;
//! whatever happens, the operator is told what is done and how to go on.

use std::collections::BTreeSet;

use dkc_core::ids::{ClusterName, HostAddress};
use dkc_inventory::edit;
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::Observed;
use dkc_inventory::plan::{Action, Danger, Operation, Plan, Refusal, Refused};

use crate::commands::playground::SUPERVISED_MARKER;
use crate::error::{CommandError, Exit, codes};
use crate::execute::{Execution, Journal, JournalError, Report, StepError};
use crate::gather::{self, Scope, gather};
use crate::session::Session;
use crate::store::Locked;
use crate::ui::Format;
use crate::world::WorldError;

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
    let is_supervised = session.is_playground || session.store.dir().join(SUPERVISED_MARKER).exists();
    let scope = Scope { is_supervised, ..scope };
    let observed = gather(&session.world, &inventory, &scope).await;
    Ok((pin_learned(session)?, observed))
}

/// Writes newly accepted host keys into the inventory; returns it as it stands now.
pub fn pin_learned(session: &Session) -> Result<Inventory, CommandError> {
    let learned = session.world.take_learned_keys();
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
}

impl Record {
    /// What the steps themselves say, for an operation that is resumed.
    pub fn of_plan(plan: &Plan) -> Record {
        let mut record = Record::default();
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
        let deployed = edit::record_deployed(inventory, &self.deployed).inventory;
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
        let is_pending = session.settings.exit_code && !plan.is_empty();
        return if is_pending { Err(CommandError::silent(Exit::Pending)) } else { Ok(()) };
    }
    if session.shows_plans {
        session.ui.say(plan.text().trim_end());
    }
    if !plan.is_empty() {
        confirm(session, &plan)?;
    }
    let locked = session.lock()?;
    let inventory = locked.load()?;
    let fresh = plan.check_fresh(inventory.generation, plan.ring_version);
    fresh.map_err(|refused| CommandError::from(refused.problem(&plan.command)))?;
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
    if inventory.generation > plan.generation && inventory.generation != plan.generation_after {
        let stale = Refusal::StaleGeneration { planned: plan.generation, now: inventory.generation };
        return Err(Refused::from(stale).problem(&format!("resume {operation}")).into());
    }
    let report = execute(session, &inventory, &plan, journal, recorded.done).await;
    judge(&plan, &report)?;
    save(&locked, &Record::of_plan(&plan).apply(&inventory))
}

/// A node that was started and never became ready may have ended meanwhile: its start is to be done again.
fn start_again(plan: &Plan, done: &mut BTreeSet<u32>) {
    let is_ready = |node: &Option<NodeName>| {
        let mut waits =
            plan.steps.iter().filter(|s| s.node == *node && matches!(s.action, Action::WaitReady { .. }));
        waits.all(|step| done.contains(&step.number))
    };
    let starts = plan.steps.iter().filter(|step| matches!(step.action, Action::StartNode { .. }));
    let again: Vec<u32> = starts.filter(|step| !is_ready(&step.node)).map(|step| step.number).collect();
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
    Err(error.now(standing(plan, report)).next(format!("when the cause is gone: resume {}", plan.operation)))
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
        Some(StepError::NotOurs { .. }) => Exit::Refused,
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
