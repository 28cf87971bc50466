//! A cluster of servers on this very machine, made with the same commands that a person types. Nothing of it is left
//! when the handle is dropped.

use std::net::TcpListener;
use std::process::{Command, Output};

use crate::support::terminal::Terminal;
use crate::transcripts::Stage;

/// An inventory whose nodes run on this machine, below the stage's directory.
pub struct Here {
    pub stage: Stage,
    ports: Vec<u16>,
}

impl Here {
    /// One host, and so many ports that were free a moment ago for a cluster `c0` of as many servers.
    pub fn bare(servers: usize) -> Here {
        let stage = Stage::empty();
        let listeners: Vec<TcpListener> =
            (0..servers).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().expect("its address").port()).collect();
        let here = Here { stage, ports };
        here.ok(&format!("register host --local --data-dir {} 127.0.0.1", here.data()));
        // No systemd of this machine is touched.
        std::fs::write(here.stage.inventory().join(".supervised"), "").expect("written");
        here
    }

    /// One host and a cluster `c0` of so many servers on it, not deployed yet.
    pub fn registered(servers: usize) -> Here {
        let here = Here::bare(servers);
        let members: Vec<String> = here.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        here.ok(&format!("register cluster -n c0 --replicas 1 --tablets 2 {}", members.join(" ")));
        here
    }

    pub fn port(&self, number: usize) -> u16 {
        self.ports[number]
    }

    /// What a daemon answers on its control socket; nothing if it does not run.
    pub fn ask(&self, number: usize, request: &str) -> serde_json::Value {
        let dir = format!("{}/c0-{number}", self.data());
        let answer = Command::new(format!("{dir}/dkcd")).args(["ctl", "--dir", &dir, request]).output();
        serde_json::from_slice(&answer.expect("it runs").stdout).unwrap_or_default()
    }

    pub fn pid(&self, number: usize) -> u64 {
        self.ask(number, r#"{"do":"status"}"#)["status"]["pid"].as_u64().expect("a process")
    }

    pub fn data(&self) -> String {
        self.stage.state().join("data").display().to_string()
    }

    pub fn prompt(&self) -> Terminal {
        let inventory = self.stage.inventory().display().to_string();
        let state = self.stage.state().display().to_string();
        let environment =
            [("DKC_INVENTORY", inventory.as_str()), ("XDG_STATE_HOME", &state), ("NO_COLOR", "1")];
        let mut terminal = Terminal::start(&[env!("CARGO_BIN_EXE_dkc")], &environment);
        terminal.expect("(dkc");
        terminal
    }

    pub fn run(&self, line: &str) -> Output {
        let words = shlex::split(line).expect("words");
        self.stage.program().args(words).output().expect("the program runs")
    }

    /// What it said, after it ended as wanted.
    #[track_caller]
    pub fn exits(&self, line: &str, status: i32) -> String {
        let output = self.run(line);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{line}\n{said}");
        said
    }

    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        self.exits(line, 0)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.run("stop cluster -n c0 --yes --confirm c0");
        let program = format!("{}/c0-0/dkcd", self.data());
        // Servers and slaves.
        let nodes = std::fs::read_dir(self.data()).into_iter().flatten().flatten();
        for node in nodes.filter(|node| node.file_name().to_string_lossy().starts_with("c0-")) {
            let _ = Command::new(&program).arg("stop").arg("--dir").arg(node.path()).output();
        }
    }
}
