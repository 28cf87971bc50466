//! The prompt: reads lines on a separate thread, runs them in order, and exits at Ctrl-D or `quit`.
//!
//! *Invariant:* drawing the prompt reads the local inventory file and nothing else. Several pasted commands run
//! only after they were shown and confirmed together.

mod expand;
mod helper;
mod operations;
mod reader;

use std::time::Duration;

use dkc_core::ids::Namespace;
use reader::{KeysWanted, Reader, Typed};

use crate::batch::{Statement, statements};
use crate::commands::data;
use crate::error::{CommandError, Exit, codes};
use crate::runner::redact;
use crate::runner::run_words;
use crate::session::{DataPrompt, Session};
use crate::ui::Answer;

/// Consecutive unreadable lines after which the terminal counts as broken.
const BAD_LINES_MAX: u32 = 20;

/// Reads and runs lines until the operator leaves. Returns the exit status of leaving, not that of the last command: each
/// command has reported its own result.
pub async fn interact(session: &mut Session) -> Exit {
    let (reader, mut keys_wanted) = match Reader::start(session.store.dir(), session.ui.has_color()) {
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
        let mut reading = std::pin::pin!(reader.read(prompt(session), words_before(session)));
        let typed = loop {
            tokio::select! {
                typed = &mut reading => break typed,
                Some(wanted) = keys_wanted.recv() => tell_keys(session, wanted).await,
                // Ctrl-C at the prompt only clears the line; SIGTERM, which counts as two, ends the prompt.
                () = interrupt.pressed(2) => return Exit::Interrupted,
            }
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

/// Keys that Tab proposes.
const KEYS_MAX: usize = 200;
/// Shorter than the prompt waits, so that what comes is still wanted.
const KEYS_TIMEOUT: Duration = Duration::from_millis(1900);

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
/// `(dkc play) ` in a playground, `(dkc data c0) ` or `(dkc data c0/namespace) ` in a data prompt.
pub fn prompt(session: &Session) -> String {
    if let Some(DataPrompt { cluster, namespace }) = &session.data_prompt {
        let namespace = match namespace == &Namespace::default() {
            true => String::new(),
            false => format!("/{namespace}"),
        };
        return format!("(dkc data {cluster}{namespace}) ");
    }
    let play = if session.is_playground { " play" } else { "" };
    let cluster = session.current_cluster.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
    let is_dirty = session.inventory().is_ok_and(|inventory| inventory.is_dirty());
    let mark = if is_dirty && !session.is_playground { "*" } else { "" };
    format!("(dkc{play}{cluster}{mark}) ")
}

/// What a line of a data prompt begins with, though nobody types it.
fn words_before(session: &Session) -> Vec<String> {
    if session.data_prompt.is_some() { vec!["data".into()] } else { Vec::new() }
}

/// Answers a Tab where a key may stand.
async fn tell_keys(session: &Session, wanted: KeysWanted) {
    let found = data::keys_with_prefix(session, &wanted.prefix, KEYS_MAX, KEYS_TIMEOUT).await;
    // Nobody waits any more if it took too long.
    let _ = wanted.answer.send(found);
}

/// The whole line of a data prompt: the cluster and the namespace are those of the prompt.
fn completed(session: &Session, mut words: Vec<String>) -> Vec<String> {
    let Some(DataPrompt { cluster, namespace }) = &session.data_prompt else { return words };
    match words.first().map(String::as_str) {
        None | Some("quit" | "exit") => words,
        Some("help") => {
            words.insert(1, "data".into());
            words
        }
        Some(_) => {
            let before = ["data".into(), format!("-n{cluster}"), format!("--namespace={namespace}")];
            before.into_iter().chain(words).collect()
        }
    }
}

/// Expanded as the line that it is part of.
fn expanded(session: &Session, words: Vec<String>) -> Result<expand::Expanded, CommandError> {
    let before = words_before(session);
    let is_own = matches!(words.first().map(String::as_str), None | Some("quit" | "exit" | "help"));
    if before.is_empty() || is_own {
        return expand::expand(words);
    }
    let count = before.len();
    let mut expanded = expand::expand(before.into_iter().chain(words).collect())?;
    expanded.words.drain(..count);
    if let Some(word) = expanded.words.first().filter(|word| !operations::is_one(word)) {
        return Err(CommandError::new(&codes::UNKNOWN_COMMAND, format!("data has no operation '{word}'"))
            .next("help     (quit leaves the data prompt)"));
    }
    Ok(expanded)
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
        let words = match statement.words.and_then(|words| expanded(session, words)) {
            Ok(expanded) => {
                if session.data_prompt.is_some() && expanded.words == ["help"] {
                    session.ui.data(&operations::all());
                    continue;
                }
                if expanded.is_changed || !is_alone {
                    session.ui.say(&format!("{}{}", prompt(session), shown(session, &expanded.words)));
                }
                completed(session, expanded.words)
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

/// A line as it was typed, without values.
fn shown(session: &Session, words: &[String]) -> String {
    let before = words_before(session);
    let whole: Vec<String> = before.iter().chain(words).cloned().collect();
    let line = redact::line(&whole);
    before
        .iter()
        .fold(line.as_str(), |line, word| line.strip_prefix(word).unwrap_or(line).trim_start())
        .to_owned()
}

fn agreed_to(session: &Session, found: &[Statement]) -> bool {
    session.ui.say(&format!("{} commands:", found.len()));
    for statement in found {
        let line = match &statement.words {
            Ok(words) => shown(session, words),
            Err(error) => error.what.clone(),
        };
        session.ui.say(&format!("  {line}"));
    }
    session.ui.ask_yes("Run them, stopping at the first failure?") == Answer::Yes
}
