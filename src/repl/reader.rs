//! The line editor on its own thread, so that waiting for input blocks nothing else.
//!
//! *Invariant:* the thread touches the terminal only while a line is asked for; in between the running command owns
//! it. The history file is readable by its owner only and grows by each command as it is typed.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::sync::oneshot;

use super::helper::LineHelper;
use crate::error::CommandError;

/// Lines of history kept.
const HISTORY_MAX: usize = 10_000;
/// More candidates than this are listed only after confirmation.
const CANDIDATES_MAX: usize = 60;
/// How long Tab waits for keys.
const KEYS_WAIT: Duration = Duration::from_secs(2);

/// The result of asking for a line.
pub enum Typed {
    /// A line, or several when they were continued or pasted.
    Line(String),
    /// Ctrl-C: the line was discarded.
    Interrupted,
    /// Ctrl-D, or the terminal is gone.
    End,
    Unreadable(String),
}

/// Tab was pressed where a key may stand.
pub struct KeysWanted {
    pub prefix: String,
    pub answer: mpsc::Sender<Vec<String>>,
}

struct Request {
    prompt: String,
    /// Words that stand before what is typed.
    before: Vec<String>,
    answer: oneshot::Sender<Typed>,
}

/// The handle that asks for lines. The thread ends when it is dropped.
pub struct Reader {
    requests: mpsc::Sender<Request>,
    /// The terminal's original settings: the editor cannot restore them if the process exits while it waits for a key.
    before: Option<Termios>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // If the terminal is gone there is nothing to restore.
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

impl Reader {
    /// The reader, and where it asks for keys.
    pub fn start(
        inventory_dir: &Path,
        has_color: bool,
    ) -> Result<(Reader, tokio::sync::mpsc::Receiver<KeysWanted>), CommandError> {
        let broken = |e: ReadlineError| CommandError::bug(format!("cannot start the line editor: {e}"));
        let mut editor =
            Editor::<LineHelper, FileHistory>::with_config(config().map_err(broken)?).map_err(broken)?;
        editor.set_helper(Some(LineHelper { has_color, before: Vec::new() }));
        let history = history_file();
        if let Some(file) = &history {
            // An unreadable history starts empty.
            let _ = editor.load_history(file);
        }
        let (requests, inbox) = mpsc::channel::<Request>();
        let dir = inventory_dir.to_owned();
        // One at a time: the thread waits for the answer.
        let (ask_keys, keys_wanted) = tokio::sync::mpsc::channel(1);
        std::thread::Builder::new()
            .name("prompt".into())
            .spawn(move || {
                crate::complete::use_directory(dir);
                crate::complete::use_keys(move |prefix| {
                    let (answer, found) = mpsc::channel();
                    // A question that nobody took yet is of a Tab before this one.
                    let _ = ask_keys.try_send(KeysWanted { prefix: prefix.to_owned(), answer });
                    found.recv_timeout(KEYS_WAIT).unwrap_or_default()
                });
                while let Ok(request) = inbox.recv() {
                    if let Some(helper) = editor.helper_mut() {
                        helper.before = request.before;
                    }
                    let typed = read(&mut editor, &request.prompt, history.as_deref());
                    if request.answer.send(typed).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| CommandError::bug(format!("cannot start the prompt's thread: {e}")))?;
        Ok((Reader { requests, before: tcgetattr(std::io::stdin()).ok() }, keys_wanted))
    }

    /// Asks for one line.
    pub async fn read(&self, prompt: String, before: Vec<String>) -> Typed {
        let (answer, typed) = oneshot::channel();
        if self.requests.send(Request { prompt, before, answer }).is_err() {
            return Typed::End;
        }
        typed.await.unwrap_or(Typed::End)
    }
}

fn config() -> rustyline::Result<Config> {
    Ok(Config::builder()
        .max_history_size(HISTORY_MAX)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .completion_prompt_limit(CANDIDATES_MAX)
        .auto_add_history(false)
        .build())
}

fn read(editor: &mut Editor<LineHelper, FileHistory>, prompt: &str, history: Option<&Path>) -> Typed {
    match editor.readline(prompt) {
        Ok(line) => {
            remember(editor, &line, history);
            Typed::Line(line)
        }
        Err(ReadlineError::Interrupted) => Typed::Interrupted,
        Err(ReadlineError::Eof) => Typed::End,
        Err(ReadlineError::Io(e)) if e.kind() == std::io::ErrorKind::InvalidData => {
            Typed::Unreadable(e.to_string())
        }
        // The terminal is gone; the error cannot be shown.
        Err(_) => Typed::End,
    }
}

fn remember(editor: &mut Editor<LineHelper, FileHistory>, line: &str, history: Option<&Path>) {
    // A token is a secret, wherever somebody pastes it.
    if line.trim().is_empty() || line.contains(dkc_core::token::PREFIX) {
        return;
    }
    let is_new = editor.add_history_entry(line).unwrap_or(false);
    if let Some(file) = history.filter(|_| is_new) {
        // A command must not fail because its history entry does.
        let _ = editor.append_history(file);
    }
}

/// The history file, made private before the editor first writes it.
fn history_file() -> Option<PathBuf> {
    let file = crate::store::history_file()?;
    let dir = file.parent()?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).ok()?;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&file).ok()?;
    Some(file)
}
