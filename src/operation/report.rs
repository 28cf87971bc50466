//! The last step of an operation: reports its result as one error.

use std::collections::BTreeSet;

use dkc_core::ids::HostAddress;
use dkc_inventory::plan::{ClusterAction, Plan};

use super::journal::JournalError;
use super::steps::{Report, StepError};
use crate::error::{CommandError, Exit, codes};
use crate::world::WorldError;

/// Turns a report into one error.
pub fn judge(plan: &Plan, report: &Report) -> Result<(), CommandError> {
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
        false => format!("fix the cause, then: resume {}", plan.operation),
    };
    let back = plan.steps.iter().find_map(|step| {
        match (step.action.on_cluster(), report.done.contains(&step.number)) {
            (Some(ClusterAction::BeginOperation { cluster, .. }), true) => {
                Some(format!("\nor roll back: ring abortmerge -n {cluster}"))
            }
            _ => None,
        }
    });
    Err(error.now(standing(plan, report)).next(resume + &back.unwrap_or_default()))
}

fn failed(error: CommandError, step: &StepError, place: Option<String>) -> CommandError {
    let error = error.cause(format!("{}{step}", place.unwrap_or_default()));
    match step {
        StepError::NotReady { log_tail, log_place, .. } => {
            let lines: String = log_tail.iter().map(|line| format!("\n  {line}")).collect();
            error.cause(format!("last log lines ({log_place}):{lines}"))
        }
        _ => error,
    }
}

/// Why the operation could not start; nothing was changed.
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

/// The state of each host in a few words.
fn standing(plan: &Plan, report: &Report) -> String {
    if report.done.is_empty() {
        return "no steps completed".into();
    }
    let hosts: BTreeSet<&HostAddress> = plan.steps.iter().map(|step| &step.host).collect();
    let words = hosts.into_iter().map(|host| {
        let steps: Vec<_> = plan.steps.iter().filter(|step| step.host == *host).collect();
        let done = steps.iter().filter(|step| report.done.contains(&step.number)).count();
        match done == steps.len() {
            true => format!("{host}: done"),
            false => format!("{host}: {done} of {} steps done", steps.len()),
        }
    });
    words.collect::<Vec<_>>().join("; ")
}

pub fn journal_error(error: JournalError) -> CommandError {
    let code = match &error {
        JournalError::BadName(_) | JournalError::NoPlan { .. } => &codes::UNKNOWN_OPERATION,
        JournalError::File { what: "read", source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            &codes::UNKNOWN_OPERATION
        }
        JournalError::File { .. } => &codes::JOURNAL_UNWRITABLE,
    };
    CommandError::new(code, error.to_string()).now("nothing changed")
}
