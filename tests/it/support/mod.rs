//! What the whole-program tests stand on: the lab of real hosts, and a terminal that a test can type into.

pub mod cluster;
pub mod elastic;
pub mod lab;
pub mod terminal;
pub mod writer;

use std::time::{Duration, Instant};

/// Waits until `ask` answers something; the limit is generous because two cores may carry several tests.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A finished command, with both streams as text.
#[derive(Debug, Clone)]
pub struct Ran {
    pub command: String,
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The command must have ended with this exit status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Ran {
        assert_eq!(
            self.status, status,
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.stdout, self.stderr
        );
        self
    }

    #[track_caller]
    pub fn ok(self) -> Ran {
        self.exits(0)
    }

    /// Standard output, exactly, but for white space around it.
    #[track_caller]
    pub fn prints(self, want: &str) -> Ran {
        assert_eq!(self.stdout.trim(), want, "{}\n--- stderr\n{}", self.command, self.stderr);
        self
    }

    /// Either stream holds this text.
    #[track_caller]
    pub fn says(self, want: &str) -> Ran {
        assert!(
            self.stdout.contains(want) || self.stderr.contains(want),
            "'{want}' is not in the output of {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn never_says(self, unwanted: &str) -> Ran {
        assert!(
            !self.stdout.contains(unwanted) && !self.stderr.contains(unwanted),
            "'{unwanted}' is in the output of {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.stdout,
            self.stderr
        );
        self
    }
}
