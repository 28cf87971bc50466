//! The prompt: reads lines on a separate thread, runs them in order, and exits at Ctrl-D or `quit`.
//!
//! *Invariant:* drawing the prompt reads the local inventory file and nothing else. Several pasted commands run
//! only after they were shown and confirmed together.

mod expand;
mod helper;
mod reader;

use reader::{Reader, Typed};

use crate::batch::{Statement, statements};
use crate::error::{CommandError, Exit, codes};
use crate::runner::redact;
use crate::runner::run_words;
use crate::session::Session;
use crate::ui::Answer;

/// Consecutive unreadable lines after which the terminal counts as broken.
const BAD_LINES_MAX: u32 = 20;

/// Reads and runs lines until the operator leaves. Returns the exit status of leaving, not that of the last command: each
/// command has reported its own result.
pub async fn interact(session: &mut Session) -> Exit {
    let reader = match Reader::start(session.store.dir(), session.ui.has_color()) {
        Ok(reader) => reader,
        Err(error) => {
            session.report(&error);
            return error.exit;
        }
    };
    greet(session);
    let mut bad_lines = 0;
    loop {
        session.interrupt.reset();
        if session.interrupt.is_terminated() {
            return Exit::Interrupted;
        }
        let interrupt = session.interrupt.clone();
        let typed = tokio::select! {
            typed = reader.read(prompt(session)) => typed,
            // Ctrl-C at the prompt only clears the line; SIGTERM, which counts as two, ends the prompt.
            () = interrupt.pressed(2) => return Exit::Interrupted,
        };
        match typed {
            Typed::Line(text) => {
                bad_lines = 0;
                if run_text(session, &text).await.is_break() {
                    return Exit::Done;
                }
            }
            Typed::Interrupted => bad_lines = 0,
            Typed::Unreadable(cause) if bad_lines < BAD_LINES_MAX => {
                bad_lines += 1;
                let error = CommandError::new(&codes::BAD_LINE, "cannot read the line").cause(cause);
                session.report(&error.now("the line was not executed"));
            }
            Typed::Unreadable(cause) => {
                session.report(&CommandError::new(&codes::BAD_LINE, "cannot read the terminal").cause(cause));
                return Exit::Failed;
            }
            Typed::End => return Exit::Done,
        }
    }
}

/// Greets a new user, and reports an unreadable inventory before the first prompt.
fn greet(session: &Session) {
    match session.inventory() {
        Ok(inventory) if inventory.generation == dkc_inventory::generation::Generation::NONE => {
            session.ui.say(
                "The inventory is empty. `help` lists the commands, `playground` starts a test cluster, \
             Ctrl-D leaves.",
            )
        }
        Ok(_) => {}
        Err(error) => session.report(&error),
    }
}

/// `(dkc) `, `(dkc:c0) ` with a cluster in use, `(dkc*) ` with changes that are not deployed yet,
/// `(dkc play) ` in a playground.
pub fn prompt(session: &Session) -> String {
    let play = if session.is_playground { " play" } else { "" };
    let cluster = session.current_cluster.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
    let is_dirty = session.inventory().is_ok_and(|inventory| inventory.is_dirty());
    let mark = if is_dirty && !session.is_playground { "*" } else { "" };
    format!("(dkc{play}{cluster}{mark}) ")
}

/// Runs what was typed or pasted.
async fn run_text(session: &mut Session, text: &str) -> std::ops::ControlFlow<()> {
    use std::ops::ControlFlow::{Break, Continue};
    let found = statements(text.as_bytes(), false);
    if found.len() > 1 && !agreed_to(session, &found) {
        return Continue(());
    }
    let is_alone = found.len() == 1;
    for statement in found {
        let words = match statement.words.and_then(expand::expand) {
            Ok(expanded) => {
                if expanded.is_changed || !is_alone {
                    session.ui.say(&format!("{}{}", prompt(session), redact::line(&expanded.words)));
                }
                expanded.words
            }
            Err(error) => {
                session.report(&error);
                return Continue(());
            }
        };
        match Box::pin(run_words(session, words)).await {
            None => return Break(()),
            Some(Exit::Done) => {}
            // Later commands of a paste may depend on this one.
            Some(_) => return Continue(()),
        }
    }
    Continue(())
}

fn agreed_to(session: &Session, found: &[Statement]) -> bool {
    session.ui.say(&format!("{} commands:", found.len()));
    for statement in found {
        let line = match &statement.words {
            Ok(words) => redact::line(words),
            Err(error) => error.what.clone(),
        };
        session.ui.say(&format!("  {line}"));
    }
    session.ui.ask_yes("Run them, stopping at the first failure?") == Answer::Yes
}
