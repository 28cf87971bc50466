//! The third step of an operation: carries out the plan under the inventory's lock, now or from its journal.

use std::collections::BTreeSet;

use dkc_inventory::model::Inventory;
use dkc_inventory::plan::Plan;

use super::confirm::{confirm, show_dry};
use super::journal::Journal;
use super::observe::ring_version_now;
use super::record::{InventoryChanges, save};
use super::report::{journal_error, judge};
use super::steps::{Execution, Report};
use crate::error::{CommandError, Exit};
use crate::session::Session;

/// Shows the plan, asks, carries it out, records the result.
pub async fn carry_out(
    session: &mut Session,
    plan: Plan,
    record: InventoryChanges,
) -> Result<(), CommandError> {
    if session.settings.dry_run {
        show_dry(session, &plan);
        let changes = !plan.is_empty() || !plan.leaves.is_empty();
        let is_pending = session.settings.exit_code && changes;
        return if is_pending { Err(CommandError::silent(Exit::Pending)) } else { Ok(()) };
    }
    if session.shows_plans {
        session.ui.say(session.plan_text(&plan).trim_end());
    }
    if !plan.is_empty() {
        confirm(session, &plan)?;
    }
    let locked = session.lock()?;
    let mut inventory = locked.load()?;
    // Time has passed while the operator was asked.
    let ring_version = ring_version_now(session, &inventory, &plan).await;
    plan.check_fresh(inventory.generation, ring_version).map_err(super::refused(&plan.command))?;
    if let Some(first) = record.first.as_ref().filter(|first| first.generation > inventory.generation) {
        locked.save(first)?;
        inventory = first.clone();
    }
    if !plan.is_empty() {
        let journal = Journal::create(&session.store.journal_dir(), &plan).map_err(journal_error)?;
        let report = execute(session, &inventory, &plan, journal, BTreeSet::new()).await;
        if !session.shows_plans && !report.is_complete(&plan) {
            session.ui.say(session.plan_text(&plan).trim_end());
        }
        judge(&plan, &report)?;
    }
    save(&locked, &record.apply(&inventory))
}

/// Resumes an operation from its journal, with its steps as planned. Completed steps are not repeated.
pub async fn resume(session: &mut Session, operation: &str) -> Result<(), CommandError> {
    let (journal, recorded) =
        Journal::reopen(&session.store.journal_dir(), operation).map_err(journal_error)?;
    let done = recorded.plan.still_done(recorded.done);
    let plan = recorded.plan;
    let refused = format!("resume {operation}");
    let left = plan.steps.len() - done.len();
    if left == 0 || recorded.is_complete {
        session.ui.say(&format!("{operation} ({}): nothing left to do", plan.command));
        // Recorded already, by this operation or a later one.
        if plan.check_resumable(session.inventory()?.generation).is_err() {
            return Ok(());
        }
    } else {
        plan.check_resumable(session.inventory()?.generation).map_err(super::refused(&refused))?;
        session.ui.say(session.plan_text(&plan).trim_end());
        session.ui.say(&format!("{} of {} steps done, {left} left", done.len(), plan.steps.len()));
        if session.settings.dry_run {
            return Ok(());
        }
        confirm(session, &plan)?;
    }
    let locked = session.lock()?;
    let inventory = locked.load()?;
    plan.check_resumable(inventory.generation).map_err(super::refused(&refused))?;
    let report = execute(session, &inventory, &plan, journal, done).await;
    judge(&plan, &report)?;
    save(&locked, &InventoryChanges::of_plan(&plan).apply(&inventory))
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
