//! The only module that prints. Data goes to standard output, messages to standard error: pipes carry data only.
//!
//! *Invariant:* output contains colour or cursor codes only on a terminal, and only ours: text
//! from hosts, files and stored values is escaped (`escape`). A pipe gets it unchanged. A closed
//! standard output is not an error: the output is dropped and the command continues.

mod ask;
mod escape;
mod host_replies;
mod listing;
pub mod numbers;
mod progress;
pub mod top;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use ask::Answer;
pub use escape::in_one_line;
pub use host_replies::HostReplies;
pub use listing::{Format, Listing};
pub use progress::Progress;

use crate::error::CommandError;
use crate::interrupt::Interrupt;

/// Prints and asks; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Ui {
    inner: Arc<Inner>,
}

struct Inner {
    interrupt: Interrupt,
    is_stdout_terminal: bool,
    is_stderr_terminal: bool,
    is_stdin_terminal: bool,
    has_color: bool,
    is_stdout_closed: AtomicBool,
}

impl Ui {
    pub fn new(interrupt: Interrupt, no_color: bool) -> Ui {
        // https://no-color.org: any value that is not empty turns colour off.
        let env_says_no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_stderr_terminal = std::io::stderr().is_terminal();
        Ui {
            inner: Arc::new(Inner {
                interrupt,
                is_stdout_terminal: std::io::stdout().is_terminal(),
                is_stderr_terminal,
                is_stdin_terminal: std::io::stdin().is_terminal(),
                has_color: is_stderr_terminal && !no_color && !env_says_no,
                is_stdout_closed: AtomicBool::new(false),
            }),
        }
    }

    /// There is a terminal to ask questions on.
    pub fn is_terminal(&self) -> bool {
        self.inner.is_stdin_terminal && self.inner.is_stderr_terminal
    }

    /// A program may fill the whole terminal and read its keys.
    pub fn is_full_screen(&self) -> bool {
        self.inner.is_stdin_terminal && self.inner.is_stdout_terminal
    }

    pub fn has_color(&self) -> bool {
        self.inner.has_color
    }

    /// Writes data to standard output, escaped on a terminal.
    pub fn data(&self, text: &str) {
        self.data_bytes(text.as_bytes());
    }

    /// Writes one line of data to standard output.
    pub fn data_line(&self, line: &str) {
        self.data_bytes(format!("{line}\n").as_bytes());
    }

    /// Writes data that need not be text, such as a stored value.
    pub fn data_bytes(&self, bytes: &[u8]) {
        match self.inner.is_stdout_terminal {
            true => self.write(escape::bytes_for_terminal(bytes).as_bytes()),
            false => self.write(bytes),
        }
    }

    fn write(&self, bytes: &[u8]) {
        if self.inner.is_stdout_closed.load(Ordering::Relaxed) {
            return;
        }
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
            // The reader is gone (`dkc list host | head -1`). A command that changes hosts must still finish.
            self.inner.is_stdout_closed.store(true, Ordering::Relaxed);
        }
    }

    /// Clears the terminal before a refresh. Without a terminal, refreshes are appended.
    pub fn redraw(&self) {
        if self.inner.is_stdout_terminal {
            self.write(b"\x1b[H\x1b[2J\x1b[3J");
        }
    }

    /// Prints a message to the operator.
    pub fn say(&self, text: &str) {
        self.talk(&format!("{}\n", text.trim_end_matches('\n')));
    }

    /// Prints a warning.
    pub fn warn(&self, text: &str) {
        self.write_error(&format!("{} {}\n", self.paint("33;1", "warning:"), self.quiet(text.trim_end())));
    }

    /// Prints an error in the common form, or as one line of JSON if JSON was requested.
    pub fn error(&self, error: &CommandError, format: Option<Format>) {
        if error.is_silent {
            return;
        }
        if matches!(format, Some(Format::Json | Format::Jsonl)) {
            return self.talk(&format!("{}\n", error.json()));
        }
        let text = error.to_string();
        let (head, rest) = text.split_once(':').unwrap_or((&text, ""));
        self.write_error(&format!("{}:{}\n", self.paint("31;1", &self.quiet(head)), self.quiet(rest)));
    }

    /// Prints a listing in a format.
    pub fn show(&self, format: Format, listing: &Listing) {
        self.data(&listing.render(format, self.inner.is_stdout_terminal));
    }

    /// Colours the text if standard error is a terminal and colour is enabled.
    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.inner.has_color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The text, escaped if standard error is a terminal.
    fn quiet<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.inner.is_stderr_terminal { escape::for_terminal(text) } else { Cow::Borrowed(text) }
    }

    fn talk(&self, text: &str) {
        self.write_error(&self.quiet(text));
    }

    fn write_error(&self, text: &str) {
        // If standard error is closed, the message cannot be shown.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Rows of the terminal on standard error.
fn terminal_rows() -> Option<u16> {
    terminal_size::terminal_size_of(std::io::stderr()).map(|(_, height)| height.0)
}
