//! Questions: yes or no, a word to type, a secret. End of input and Ctrl-C mean no.
//!
//! *Invariant:* without a terminal nothing is asked; the caller gets `Answer::NoTerminal` and refuses with exit 5.
//! A secret is never echoed.

use std::io::{BufRead, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use super::Ui;
use crate::world::{Asker, Secret};

/// How often a waiting question checks for Ctrl-C.
const INTERRUPT_CHECK_MS: u16 = 100;

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    /// There is no terminal to ask on.
    NoTerminal,
}

impl Ui {
    /// Asks a question whose answer is no unless it is `y` or `yes`.
    pub fn ask_yes(&self, question: &str) -> Answer {
        if !self.is_terminal() {
            return Answer::NoTerminal;
        }
        match self.ask_line(&format!("{question} [y/N] ")) {
            Some(line) if matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Answer::Yes,
            _ => Answer::No,
        }
    }

    /// Asks a question whose default answer, on Return, is yes.
    pub fn ask_yes_by_default(&self, question: &str) -> Answer {
        if !self.is_terminal() {
            return Answer::NoTerminal;
        }
        match self.ask_line(&format!("{question} [Y/n] ")) {
            Some(line) if matches!(line.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes") => {
                Answer::Yes
            }
            _ => Answer::No,
        }
    }

    /// Asks to type a word, for operations that cannot be undone.
    pub fn ask_word(&self, question: &str, word: &str) -> Answer {
        if !self.is_terminal() {
            return Answer::NoTerminal;
        }
        match self.ask_line(&format!("{question} Type {word} to continue: ")) {
            Some(line) if line.trim() == word => Answer::Yes,
            _ => Answer::No,
        }
    }

    /// Asks for a secret without echo. `None`: no terminal, end of input, or Ctrl-C.
    pub fn ask_secret(&self, prompt: &str) -> Option<Secret> {
        if !self.is_terminal() {
            return None;
        }
        let _silence = EchoOff::begin()?;
        let line = self.ask_line(prompt);
        self.talk("\n");
        line.map(Secret::new)
    }

    fn ask_line(&self, prompt: &str) -> Option<String> {
        self.talk(prompt);
        let _ = std::io::stderr().flush();
        if !self.wait_for_input() {
            self.talk("\n");
            return None;
        }
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(read) if read > 0 => {
                line.truncate(line.trim_end_matches(['\n', '\r']).len());
                Some(line)
            }
            _ => {
                self.talk("\n");
                None
            }
        }
    }

    /// Waits without a limit; false if Ctrl-C was pressed first.
    fn wait_for_input(&self) -> bool {
        let stdin = std::io::stdin();
        let pressed_before = self.inner.interrupt.count();
        loop {
            if self.inner.interrupt.is_terminated() || self.inner.interrupt.count() > pressed_before {
                return false;
            }
            let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, PollTimeout::from(INTERRUPT_CHECK_MS)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
                _ => return true,
            }
        }
    }
}

/// Logins use the same questions.
impl Asker for Ui {
    fn is_terminal(&self) -> bool {
        Ui::is_terminal(self)
    }

    fn secret(&self, prompt: &str) -> Option<Secret> {
        self.ask_secret(prompt)
    }

    fn confirm(&self, question: &str, default: bool) -> bool {
        let answer = if default { self.ask_yes_by_default(question) } else { self.ask_yes(question) };
        answer == Answer::Yes
    }
}

/// Turns terminal echo off until dropped.
struct EchoOff {
    before: nix::sys::termios::Termios,
}

impl EchoOff {
    fn begin() -> Option<EchoOff> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &silent).ok()?;
        Some(EchoOff { before })
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to restore.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.before);
    }
}
