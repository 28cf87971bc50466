//! A pseudo terminal with a program on it: a test types lines and waits for what appears, as a person would.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use parking_lot::Mutex;

use super::wait_for;

/// How long a test waits for a text: several times what a loaded machine needs.
const TIMEOUT: Duration = Duration::from_secs(90);

const ROWS: u16 = 50;
pub const COLUMNS: u16 = 140;

/// What the line editor writes when it begins to ask for a line: it turns bracketed paste on. The prompt's own text is drawn
/// again with every key.
const EDITOR_ASKS: &str = "\x1b[?2004h";
const EDITOR_HAS_A_LINE: &str = "\x1b[?2004l";
/// How a question ends; what is typed follows.
const QUESTIONS: [&str; 3] = ["[y/N]", "[Y/n]", "to continue:"];
/// More lines than any command writes.
const ALL_ROWS: u16 = 2000;

pub struct Terminal {
    child: Child,
    master: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Ends when no process has the terminal any more.
    reader: std::thread::JoinHandle<()>,
    columns: u16,
    /// How much of the screen earlier expectations have used up.
    seen: usize,
}

impl Terminal {
    pub fn start(words: &[&str], environment: &[(&str, &str)]) -> Terminal {
        Terminal::start_wide(COLUMNS, words, environment)
    }

    pub fn start_wide(columns: u16, words: &[&str], environment: &[(&str, &str)]) -> Terminal {
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pseudo terminal");
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a copy of the terminal"));
        // setsid makes the terminal the controlling one of a new session, as a login does.
        let child = Command::new("setsid")
            .args(["-c", "-w"])
            .args(words)
            .envs(environment.iter().copied())
            .stdin(end(&pty.slave))
            .stdout(end(&pty.slave))
            .stderr(end(&pty.slave))
            .spawn()
            .expect("setsid");
        drop(pty.slave);
        let master = File::from(pty.master);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, sink) = (master.try_clone().expect("a copy of the terminal"), screen.clone());
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut piece) {
                sink.lock().extend_from_slice(&piece[..n]);
            }
        });
        Terminal { child, master, screen, reader, columns, seen: 0 }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock()).into_owned()
    }

    /// What a person sees at this moment: the screen after everything that was written to it, line by line.
    pub fn screen(&self) -> String {
        self.drawn(ROWS, &self.screen.lock())
    }

    fn drawn(&self, rows: u16, written: &[u8]) -> String {
        let mut parser = vt100::Parser::new(rows, self.columns, 0);
        parser.process(written);
        parser.screen().contents()
    }

    /// The text that the line editor draws before the line that it asks for.
    #[track_caller]
    pub fn shell_prompt(&self) -> String {
        wait_for("the prompt", TIMEOUT, || {
            let text = String::from_utf8_lossy(&self.screen.lock()[self.seen..]).into_owned();
            let begun = text.find("(dkc")?;
            let end = text[begun..].find(") ")?;
            Some(text[begun..begun + end + 2].to_owned())
        })
    }

    /// Types a line and answers what it asks; says what a person saw of it until the line editor asked for the next line or the
    /// program ended.
    #[track_caller]
    pub fn run(&mut self, line: &str, answer: impl FnMut() -> String) -> String {
        self.line(line).expect(EDITOR_HAS_A_LINE);
        self.seen_until_asked(answer)
    }

    /// What a person saw until the line editor asked for a line or the program ended.
    #[track_caller]
    pub fn seen_until_asked(&mut self, mut answer: impl FnMut() -> String) -> String {
        let begun = self.seen;
        let mut answered = begun;
        wait_for("the line editor, or the end", TIMEOUT, || {
            let has_ended = self.reader.is_finished();
            let written = self.screen.lock().clone();
            if let Some(at) = find(&written[begun..], EDITOR_ASKS.as_bytes()) {
                self.seen = begun + at + EDITOR_ASKS.len();
                return Some(self.drawn(ALL_ROWS, &written[begun..begun + at]));
            }
            if has_ended {
                return Some(self.drawn(ALL_ROWS, &written[begun..]));
            }
            let is_asked = |text: &str| QUESTIONS.iter().any(|question| text.trim_end().ends_with(question));
            if is_asked(&String::from_utf8_lossy(&written[answered..])) {
                answered = written.len();
                let reply = answer();
                self.line(&reply);
            }
            None
        })
    }

    /// Waits until `want` appears after everything that was expected before.
    #[track_caller]
    pub fn expect(&mut self, want: &str) -> &mut Terminal {
        let deadline = std::time::Instant::now() + TIMEOUT;
        loop {
            let found = {
                let screen = self.screen.lock();
                find(&screen[self.seen..], want.as_bytes()).map(|at| self.seen + at + want.len())
            };
            if let Some(end) = found {
                self.seen = end;
                return self;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "'{want}' did not appear; the terminal shows:\n{}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until `want` is on the screen: for a program that draws only what has changed.
    #[track_caller]
    pub fn expect_screen(&mut self, want: &str) -> &mut Terminal {
        let deadline = std::time::Instant::now() + TIMEOUT;
        while !self.screen().contains(want) {
            let is_over = std::time::Instant::now() >= deadline;
            assert!(!is_over, "'{want}' is not on the screen:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(30));
        }
        self
    }

    /// Waits until the line editor asks for a line.
    #[track_caller]
    pub fn prompt(&mut self) -> &mut Terminal {
        self.expect(EDITOR_ASKS)
    }

    pub fn type_text(&mut self, text: &str) -> &mut Terminal {
        self.master.write_all(text.as_bytes()).expect("typing");
        self
    }

    pub fn line(&mut self, text: &str) -> &mut Terminal {
        self.type_text(text).type_text("\r")
    }

    /// Asks the program to end, as a service manager or a machine that shuts down does.
    pub fn terminate(&mut self) {
        // setsid has become the program: it forks only when it leads a process group.
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("the program runs");
    }

    /// Waits for the program to end and answers its exit status.
    #[track_caller]
    pub fn ends(&mut self) -> i32 {
        let child = &mut self.child;
        let status =
            wait_for("the program at the terminal to end", TIMEOUT, || child.try_wait().expect("waiting"));
        status.code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}
