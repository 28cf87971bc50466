//! Runs one line: parse, apply its flags over the session's, run, handle Ctrl-C, record, return the exit status.
//!
//! *Invariant:* whatever a command does, its error is printed once, here; and a command that changes something
//! leaves a line in the audit log, also when it was refused.

pub mod redact;

use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Command;
use crate::dispatch::{Effect, dispatch};
use crate::error::{CommandError, Exit, codes};
use crate::interrupt::Interrupt;

use crate::session::Session;
use crate::ui::{Format, Ui};
use dkc_inventory::generation::Generation;

/// After the second Ctrl-C a command has this long to report the state before it is abandoned.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs the words of one line. `None`: leave the prompt.
pub async fn run_words(session: &mut Session, words: Vec<String>) -> Option<Exit> {
    let line = match crate::cli::parse_line(&words) {
        Ok(line) => line,
        Err(error) => {
            let output = crate::cli::asked_output(&words).or(session.defaults.output);
            return Some(report_parse(&session.ui, error, &words, output));
        }
    };
    if matches!(line.command, Command::Quit(_)) {
        return None;
    }
    session.settings = session.defaults.overlaid(&line.settings);
    let kept = redact::line(&words);
    let exit = run_command(session, line.command, kept).await;
    session.settings = session.defaults.clone();
    Some(exit)
}

/// Runs one command, prints its error, records it.
pub async fn run_command(session: &mut Session, command: Command, line: String) -> Exit {
    session.interrupt.reset();
    session.line = line.clone();
    let kind = command.kind();
    let is_recorded = kind != Effect::Read && !session.settings.dry_run;
    let before = if is_recorded { generation(session) } else { Generation::NONE };
    let result = interruptible(session, kind, command).await;
    if let Err(error) = &result {
        session.report(error);
    }
    if is_recorded {
        record(session, &line, &result, before);
    }
    result.map_or_else(|error| error.exit, |()| Exit::Done)
}

/// Runs the command until it ends or Ctrl-C ends it: at once if it only reads, otherwise at the second press.
async fn interruptible(session: &mut Session, kind: Effect, command: Command) -> Result<(), CommandError> {
    // The command stops at its own safe points.
    if kind == Effect::Nested {
        return dispatch(session, command).await;
    }
    let interrupt = session.interrupt.clone();
    let presses = if kind == Effect::Read { 1 } else { 2 };
    // A local change writes its file in one step, so it is not interrupted.
    let give_up = async {
        interrupt.pressed(presses).await;
        if kind != Effect::Read {
            tokio::time::sleep(LAST_WORDS).await;
        }
    };
    let ui = session.ui.clone();
    let notice = async {
        if kind == Effect::Remote {
            interrupt.pressed(1).await;
            ui.say("Ctrl-C: stopping at the next safe point; press again to stop waiting");
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        biased;
        result = dispatch(session, command) => result,
        () = give_up => Err(interrupted(kind)),
        () = notice => Ok(()),
    }
}

fn interrupted(kind: Effect) -> CommandError {
    let error = CommandError::new(&codes::INTERRUPTED, "interrupted");
    match kind {
        Effect::Read => error.now("nothing changed"),
        Effect::Local | Effect::Nested => error,
        Effect::Remote => error
            .now("steps that were running on hosts may still complete there")
            .next("status, then resume     (or run the command again)"),
    }
}

fn generation(session: &Session) -> Generation {
    session.inventory().map(|inventory| inventory.generation).unwrap_or_default()
}

fn record(session: &Session, line: &str, result: &Result<(), CommandError>, before: Generation) {
    // There was no inventory before and none was created, so there is nothing to audit.
    if !session.store.dir().is_dir() {
        return;
    }
    let (word, exit) = match result {
        Ok(()) => ("done".to_owned(), Exit::Done),
        Err(error) => (error.code.to_string(), error.exit),
    };
    let recorded = session.store.record(line, &word, exit.number(), (before, generation(session)));
    if let Err(error) = recorded {
        session.ui.warn(&format!("cannot write the audit log: {}", error.what));
    }
}

/// Prints the parser's output: help as data, anything else as a usage error.
pub fn report_parse(ui: &Ui, error: clap::Error, words: &[String], output: Option<Format>) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        ui.data(&error.render().to_string());
        return Exit::Done;
    }
    let error = usage_error(&error, words);
    ui.error(&error, output);
    error.exit
}

/// The parser's message in the common error format.
fn usage_error(error: &clap::Error, words: &[String]) -> CommandError {
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
    {
        return unknown_word(error, word);
    }
    let text = error.render().to_string();
    let mut paragraphs = text.trim().split("\n\n");
    let first = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let what = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "an argument is missing".into()
        }
        _ => first.lines().map(str::trim).collect::<Vec<_>>().join(" "),
    };
    let mut answer = CommandError::new(&codes::USAGE, what);
    for paragraph in paragraphs {
        if let Some(tip) = paragraph.trim().strip_prefix("tip: ") {
            answer = answer.cause(tip.trim());
        }
    }
    answer.next(usage_of(words))
}

/// The usage line of the command that starts with these words, and its help topic.
fn usage_of(words: &[String]) -> String {
    let mut page = crate::cli::line();
    page.build();
    let mut topic = Vec::new();
    for word in words {
        match page.find_subcommand(word) {
            Some(next) => {
                topic.push(next.get_name().to_owned());
                page = next.clone();
            }
            None if topic.is_empty() => {}
            None => break,
        }
    }
    if topic.is_empty() {
        return "help".into();
    }
    let nouns: Vec<&str> =
        page.get_subcommands().filter(|s| !s.is_hide_set()).map(|s| s.get_name()).collect();
    let help = format!("(help {})", topic.join(" "));
    if !nouns.is_empty() {
        return format!("{} {}     {help}", topic.join(" "), nouns.join("|"));
    }
    let usage = page.render_usage().to_string();
    let tail = usage.split_once(page.get_name()).map(|(_, tail)| tail.trim().to_owned()).unwrap_or_default();
    format!("{} {tail}     {help}", topic.join(" "))
}

fn unknown_word(error: &clap::Error, word: &str) -> CommandError {
    let suggested = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(words)) => words.clone(),
        Some(ContextValue::String(word)) => vec![word.clone()],
        _ => Vec::new(),
    };
    let verbs = crate::cli::line();
    let known =
        verbs.get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| verb.get_name().to_owned());
    let mut near = dkc_inventory::names::nearest(word, known.chain(suggested.iter().cloned()));
    near.retain(|name| suggested.is_empty() || suggested.contains(name));
    near.dedup();
    let near = if near.is_empty() { suggested } else { near };
    let answer = CommandError::new(&codes::UNKNOWN_COMMAND, format!("unknown command '{word}'"));
    match near.as_slice() {
        [] => answer.next("help"),
        names => answer.next(format!("{}     (help lists all)", names.join(", "))),
    }
}

/// From now on Ctrl-C is counted instead of ending the process. SIGTERM counts as two.
pub fn listen_to_signals(interrupt: Interrupt) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut ctrl_c), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(()) = ctrl_c.recv() => interrupt.press(),
                Some(()) = terminate.recv() => interrupt.terminate(),
                else => return,
            }
        }
    });
}
