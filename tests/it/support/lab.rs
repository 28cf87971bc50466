//! Real hosts for a test: `tests/lab/lab` makes them, this is its handle. A lab is torn down when the handle is
//! dropped, also when the test failed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parking_lot::{Mutex, MutexGuard};

use super::Ran;
use super::terminal::{COLUMNS, Terminal};

pub const PASSWORD: &str = "correct-horse";

/// One lab at a time: two cores carry one cluster well and two badly.
static TURN: Mutex<()> = Mutex::new(());

pub struct Lab {
    name: String,
    home: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    /// `count` hosts, those of `systemd` (counting from 1) with systemd as pid 1.
    #[track_caller]
    pub fn up(count: usize, systemd: &[usize]) -> Lab {
        Lab::up_with_disk(count, systemd, "768M")
    }

    /// `count` hosts whose pid 1 never collects a process that has ended.
    #[track_caller]
    pub fn up_careless(count: usize) -> Lab {
        let all: Vec<String> = (1..=count).map(|n| n.to_string()).collect();
        Lab::up_with(count, &["--careless", &all.join(",")])
    }

    #[track_caller]
    pub fn up_with_disk(count: usize, systemd: &[usize], disk: &str) -> Lab {
        let systemd: Vec<String> = systemd.iter().map(|n| n.to_string()).collect();
        let systemd = systemd.join(",");
        let mut words = vec!["--disk", disk];
        if !systemd.is_empty() {
            words.extend(["--systemd", &systemd]);
        }
        Lab::up_with(count, &words)
    }

    #[track_caller]
    fn up_with(count: usize, options: &[&str]) -> Lab {
        let turn = TURN.lock();
        let name = format!("t{}", std::process::id());
        let lab = Lab { name, home: PathBuf::from(env!("CARGO_MANIFEST_DIR")), _turn: turn };
        lab.run(&["down"]).ok();
        let count = count.to_string();
        lab.run(&[&["up", &count], options].concat()).ok();
        lab
    }

    fn command(&self, words: &[&str]) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_dkc"));
        let mut command = Command::new(self.home.join("tests/lab/lab"));
        command
            .args(words)
            .env("LAB_NAME", &self.name)
            .env("LAB_SHARE", format!("{} {}", program.parent().unwrap().display(), self.home.display()))
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// A command of the lab itself.
    pub fn run(&self, words: &[&str]) -> Ran {
        // Files, not pipes: what the lab leaves running would hold a pipe open for ever.
        let out = tempfile::NamedTempFile::new().unwrap();
        let err = tempfile::NamedTempFile::new().unwrap();
        let status = self
            .command(words)
            .stdout(out.reopen().unwrap())
            .stderr(err.reopen().unwrap())
            .status()
            .unwrap_or_else(|e| panic!("tests/lab/lab does not start: {e}"));
        Ran {
            command: format!("lab {}", words.join(" ")),
            status: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&std::fs::read(out.path()).unwrap()).into_owned(),
            stderr: String::from_utf8_lossy(&std::fs::read(err.path()).unwrap()).into_owned(),
        }
    }

    /// A command as root on a host.
    pub fn on(&self, host: &str, words: &[&str]) -> Ran {
        let mut all = vec!["exec", host];
        all.extend(words);
        self.run(&all)
    }

    /// A shell line as root on a host.
    pub fn sh(&self, host: &str, line: &str) -> Ran {
        self.on(host, &["sh", "-c", line])
    }

    fn dkc_words<'a>(&self, words: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec![
            "exec",
            "admin",
            "env",
            "HOME=/root",
            "LANG=C.UTF-8",
            "TERM=xterm",
            "DKC_INVENTORY=/root/inventory",
            "XDG_STATE_HOME=/root/state",
            env!("CARGO_BIN_EXE_dkc"),
        ];
        all.extend(words);
        all
    }

    /// `dkc` with its environment, as a shell line on the admin host begins it.
    pub fn dkc_line(&self) -> String {
        self.dkc_words(&[])[2..].join(" ")
    }

    /// `dkc` on the admin host, without a terminal.
    pub fn dkc(&self, line: &str) -> Ran {
        let words = split(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut ran = self.run(&self.dkc_words(&words));
        ran.command = format!("dkc {line}");
        ran
    }

    /// `dkc` on the admin host, at a terminal that the test types into.
    pub fn terminal(&self, words: &[&str]) -> Terminal {
        self.terminal_wide(COLUMNS, words)
    }

    pub fn terminal_wide(&self, columns: u16, words: &[&str]) -> Terminal {
        let program = self.home.join("tests/lab/lab");
        let mut all = vec![program.to_str().unwrap()];
        all.extend(self.dkc_words(words));
        Terminal::start_wide(columns, &all, &[("LAB_NAME", &self.name)])
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the lab at the time of the failure\n{}", self.run(&["list"]).stdout);
            for host in ["h1", "h2", "h3", "h4"] {
                let tail = self.sh(host, "tail -n 15 /var/lib/dkc/*/log/dkcd.log /home/dkc/.local/share/dkc/*/log/dkcd.log 2>/dev/null");
                if !tail.stdout.is_empty() {
                    eprintln!("--- {host}\n{}", tail.stdout);
                }
            }
        }
        let down = self.run(&["down"]);
        if down.status != 0 {
            eprintln!("lab down: {}{}", down.stdout, down.stderr);
        }
    }
}

/// Words of a test's command line: blanks separate, single quotes hold together.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
