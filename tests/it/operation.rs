//! An operation between its plan and its end, on nodes of this machine: the ring or the inventory changes while the operator
//! thinks, or between an operation that stopped half way and its resume.

use std::net::TcpListener;
use std::process::Output;

use crate::support::terminal::Terminal;
use crate::transcripts::Stage;

/// An inventory whose nodes run on this machine, below the stage's directory.
struct Here {
    stage: Stage,
    ports: Vec<u16>,
}

impl Here {
    /// One host and a cluster `c0` of so many servers on it, not deployed yet.
    fn registered(servers: usize) -> Here {
        let stage = Stage::empty();
        let listeners: Vec<TcpListener> =
            (0..servers).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().expect("its address").port()).collect();
        let here = Here { stage, ports };
        here.ok(&format!("register host --local --data-dir {} 127.0.0.1", here.data()));
        let members: Vec<String> = here.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        here.ok(&format!("register cluster -n c0 --replicas 1 --tablets 2 {}", members.join(" ")));
        // No systemd of this machine is touched.
        std::fs::write(here.stage.inventory().join(".supervised"), "").expect("written");
        here
    }

    fn data(&self) -> String {
        self.stage.state().join("data").display().to_string()
    }

    fn prompt(&self) -> Terminal {
        let inventory = self.stage.inventory().display().to_string();
        let state = self.stage.state().display().to_string();
        let environment =
            [("DKC_INVENTORY", inventory.as_str()), ("XDG_STATE_HOME", &state), ("NO_COLOR", "1")];
        let mut terminal = Terminal::start(&[env!("CARGO_BIN_EXE_dkc")], &environment);
        terminal.expect("(dkc");
        terminal
    }

    fn run(&self, line: &str) -> Output {
        let words = shlex::split(line).expect("words");
        self.stage.program().args(words).output().expect("the program runs")
    }

    /// What it said, after it ended as wanted.
    #[track_caller]
    fn exits(&self, line: &str, status: i32) -> String {
        let output = self.run(line);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{line}\n{said}");
        said
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        self.exits(line, 0)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.run("stop cluster -n c0 --yes --confirm c0");
        let program = format!("{}/c0-0/dkcd", self.data());
        for number in 0..self.ports.len() {
            let dir = format!("{}/c0-{number}", self.data());
            let _ = std::process::Command::new(&program).args(["stop", "--dir", &dir]).output();
        }
    }
}

#[test]
fn a_ring_that_changed_while_the_operator_thought_is_not_touched() {
    let here = Here::registered(2);
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");
    let mut terminal = here.prompt();
    terminal.line("restart cluster -n c0").expect("Apply? [y/N]");
    here.ok("ring suspendmerge -n c0 --yes");
    here.ok("ring serviceout -n c0 --no 1 --yes");
    terminal.line("y").expect("DKC-E0602").expect("nothing changed").prompt();
    terminal.line("quit");
    assert_eq!(terminal.ends(), 0);
    // A new plan knows the ring as it is.
    here.ok("ring servicein -n c0 --no 1 --yes");
    here.ok("status cluster --short");
}

#[test]
fn an_authority_is_made_only_after_a_yes_and_never_again_for_a_founded_cluster() {
    let here = Here::registered(1);
    let authority = here.stage.inventory().join("authority/c0");
    let mut terminal = here.prompt();
    let made = "create the certificate authority of c0";
    terminal.line("deploy").expect(made).expect("Apply? [y/N]");
    terminal.line("n").expect("nothing changed").prompt().line("quit");
    terminal.ends();
    assert!(here.exits("deploy --dry-run", 0).contains(made));
    assert!(!authority.exists(), "made although nobody said yes");
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");

    let trusted = std::fs::read_to_string(authority.join("ca.pem")).expect("the authority");
    std::fs::remove_file(authority.join("ca.key")).expect("removed");
    // Whoever needs no certificate needs no authority.
    assert!(here.ok("deploy --yes").contains("nothing to do"));
    std::fs::remove_file(format!("{}/c0-0/tls/node.pem", here.data())).expect("removed");
    let refused = here.exits("deploy --yes", 4);
    assert!(refused.contains("DKC-E0450"), "{refused}");
    assert!(!authority.join("ca.key").exists(), "made again");
    assert_eq!(std::fs::read_to_string(authority.join("ca.pem")).expect("the authority"), trusted);
}

#[test]
fn after_any_other_change_a_half_done_operation_is_planned_anew() {
    let here = Here::registered(1);
    let node = format!("{}/c0-0", here.data());
    let mut terminal = here.prompt();
    terminal.line("deploy").expect("Apply? [y/N]");
    // Meanwhile somebody puts something that is not ours where the node is to be.
    std::fs::create_dir_all(&node).expect("a directory");
    std::fs::write(format!("{node}/thesis.txt"), "years of work").expect("a file");
    terminal.line("y").expect("does not belong to this node").expect("resume op-").prompt().line("quit");
    terminal.ends();
    let text = terminal.text();
    let operation =
        text.rsplit("resume op-").next().map(|rest| format!("op-{}", &rest[..8])).expect("its name");
    std::fs::remove_dir_all(&node).expect("removed");

    here.ok("modify cluster -n c0 --config heartbeat_ms=60");
    let refused = here.exits(&format!("resume {operation} --yes"), 6);
    assert!(refused.contains("DKC-E0601"), "{refused}");
    assert!(!std::path::Path::new(&node).exists(), "nothing changed");
    // What was not deployed is still to be deployed.
    here.exits("deploy --dry-run --exit-code", 10);
    here.ok("deploy --yes");
    here.exits("deploy --dry-run --exit-code", 0);
    let deployed = std::fs::read_to_string(format!("{node}/node.yaml")).expect("the configuration");
    assert!(deployed.contains("heartbeat_ms: 60"), "{deployed}");
}
