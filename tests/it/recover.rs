//! `recover`: what a majority of lost servers leaves comes back in a new cluster, with every record that an application was told is
//! stored; and what could still serve, or cannot be read, is refused before anything changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cuts::cut_after_each_step_of;
use crate::export::{content, records};
use crate::here::Here;
use crate::support::cluster::founded;
use crate::support::elastic::is_running;
use crate::support::lab::Lab;
use crate::support::wait_for;
use crate::support::writer::{all_acknowledged_are_there, end_writer, start_writer, wait_until_acknowledged};

const LIMIT: Duration = Duration::from_secs(60);

/// Servers on this machine, each with a replica of everything.
struct Ring {
    here: Here,
    servers: usize,
}

impl Ring {
    fn started(servers: usize) -> Ring {
        let here = Here::bare(servers);
        let members: Vec<String> = (0..servers).map(|n| format!("127.0.0.1:{}", here.port(n))).collect();
        let members = members.join(" ");
        here.ok(&format!("register cluster -n c0 --replicas {servers} --tablets 2 {members}"));
        here.ok("deploy --yes");
        here.ok("start cluster -n c0 --yes");
        Ring { here, servers }
    }

    fn dir(&self, number: usize) -> PathBuf {
        PathBuf::from(format!("{}/c0-{number}", self.here.data()))
    }

    fn import(&self, text: &str) {
        let from = self.here.stage.state().join("from.jsonl");
        fs::write(&from, text).unwrap();
        self.here.ok(&format!("data import -n c0 {}", from.display()));
    }

    fn exported(&self) -> String {
        let output = self.here.run("data export -n c0");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Until these servers have applied all that any of them has.
    fn wait_until_alike(&self, numbers: &[usize]) {
        let applied = |number: usize| -> Vec<(u64, u64)> {
            let status = self.here.ask(number, r#"{"do":"status"}"#);
            let tablets =
                status["status"]["role"]["server"]["tablets"].as_array().cloned().unwrap_or_default();
            let number = |tablet: &serde_json::Value, field: &str| tablet[field].as_u64().unwrap();
            let mut all: Vec<_> =
                tablets.iter().map(|t| (number(t, "tablet"), number(t, "applied_index"))).collect();
            all.sort_unstable();
            all
        };
        wait_for("replicas that are alike", LIMIT, || {
            let each: BTreeSet<_> = numbers.iter().map(|number| applied(*number)).collect();
            (each.len() == 1 && !each.first().unwrap().is_empty()).then_some(())
        });
    }

    /// As a power cut ends them.
    fn kill(&self, numbers: &[usize]) {
        for number in numbers {
            let daemon = self.here.pid(*number);
            let file = self.dir(*number).join("run/dkcd.pid");
            let supervisor = fs::read_to_string(file).unwrap().trim().parse().unwrap();
            for pid in [supervisor, daemon as i32] {
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            }
        }
    }

    fn wipe(&self, number: usize) {
        fs::remove_dir_all(self.dir(number)).unwrap();
    }

    /// What a daemon says that is started in an old directory.
    fn started_again(&self, number: usize) -> (Option<i32>, String) {
        let dir = self.dir(number);
        let output = Command::new(dir.join("dkcd")).arg("run").arg("--dir").arg(&dir).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Old ones and those of the recovered cluster.
        for number in 0..2 * self.servers {
            let dir = self.dir(number);
            let _ = Command::new(dir.join("dkcd")).arg("stop").arg("--dir").arg(&dir).output();
        }
    }
}

#[test]
fn one_of_three_servers_is_recovered_with_a_shell_that_is_killed_after_each_step() {
    let ring = Ring::started(3);
    let here = &ring.here;
    ring.import(&records());
    let before = content(&ring.exported());
    ring.wait_until_alike(&[0, 1, 2]);

    let runs = here.exits("recover -n c0", 4);
    assert!(runs.contains("DKC-E0471") && runs.contains("No.0, No.1, No.2 still run"), "{runs}");
    ring.kill(&[0, 1, 2]);
    let majority = here.exits("recover -n c0", 4);
    assert!(majority.contains("are a majority") && majority.contains("start cluster -n c0"), "{majority}");
    ring.wipe(1);
    here.exits("recover -n c0", 4);
    ring.wipe(2);
    assert!(here.exits("recover -n c9", 3).contains("c9 is not registered"));
    assert!(here.exits("recover -n c0 --lost 0", 4).contains("answers"));
    // What cannot be read is no survivor.
    let state = ring.dir(0).join("data/state");
    fs::rename(&state, state.with_extension("away")).unwrap();
    let nothing = here.exits("recover -n c0", 4);
    assert!(
        nothing.contains("no server has data that can be read") && nothing.contains("state"),
        "{nothing}"
    );
    fs::rename(state.with_extension("away"), &state).unwrap();

    let plan = here.exits("recover -n c0 --dry-run --exit-code", 10);
    assert!(plan.contains("MAY BE LOST: writes to tablets 0 (term ") && plan.contains("c0-0"), "{plan}");
    assert!(!plan.contains("LOST: all records"), "{plan}");
    let word = word(&plan);
    assert!(here.exits("recover -n c0 --yes", 5).contains(&word));
    here.exits("recover -n c0 --confirm c1@g1", 5);
    let only = here.ok("recover -n c0 --only-backup --backup left --yes");
    assert!(only.contains("back it up"), "{only}");
    assert!(here.ok("backup verify left").contains("of a recovery"));
    assert!(here.exits("recover -n c0 --backup left", 4).contains("DKC-E0733"));

    let confirm = format!("--confirm {word}");
    let steps = cut_after_each_step_of(here, &format!("recover -n c0 --backup all {confirm}"), &confirm);
    assert!(steps > 10, "only {steps} steps");
    assert_eq!(content(&ring.exported()), before);
    assert!(here.ok("backup show all -o json").contains("MAY BE LOST"));
    let (status, said) = ring.started_again(0);
    assert_eq!(status, Some(78), "{said}");
    assert!(ring.dir(0).join("data/state").exists(), "the old directory stays");
    here.ok("deploy --dry-run --exit-code");
    here.exits("recover -n c0", 4);
}

#[test]
fn of_two_survivors_that_disagree_the_one_that_knows_more_is_read_and_nothing_acknowledged_is_lost() {
    let ring = Ring::started(4);
    let here = &ring.here;
    let record = |n: u32| {
        format!("{{\"key\":{{\"text\":\"k{n}\"}},\"type\":\"string\",\"value\":{{\"text\":\"v{n}\"}}}}\n")
    };
    ring.import(&(0..50).map(record).collect::<String>());
    ring.kill(&[3]);
    ring.import(&(25..100).map(record).collect::<String>());
    let before = content(&ring.exported());
    ring.wait_until_alike(&[0, 1, 2]);
    ring.kill(&[0, 1, 2]);
    ring.wipe(0);
    ring.wipe(1);
    let plan = here.exits("recover -n c0 --dry-run --exit-code", 10);
    assert!(plan.contains("nothing that was acknowledged is lost"), "{plan}");
    assert!(plan.contains("records from No.2") && !plan.contains("records from No.3"), "{plan}");
    here.ok(&format!("recover -n c0 --confirm {}", word(&plan)));
    assert_eq!(before.len(), 100);
    assert_eq!(content(&ring.exported()), before);
    assert!(here.ok("status cluster --short").contains("c0: running"));
}

/// Where the log has a record that others follow.
fn damage_the_log(ring: &Ring, number: usize) {
    let segment = ring.dir(number).join("data/log/0000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let written: Vec<usize> = (4096..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    bytes[written[written.len() / 2]] ^= 0xff;
    fs::write(&segment, bytes).unwrap();
}

#[test]
fn a_server_with_a_damaged_log_is_replaced_on_its_own_host_and_not_recovered() {
    let ring = Ring::started(3);
    let here = &ring.here;
    ring.import(&records());
    let before = content(&ring.exported());
    here.ok("stop cluster -n c0 --no 2 --yes");
    damage_the_log(&ring, 2);
    let said = here.exits("start cluster -n c0 --no 2 --yes", 8);
    assert!(said.contains("the Raft log is damaged") && said.contains("Replace this member"), "{said}");
    assert!(here.exits("recover -n c0", 4).contains("No.0, No.1, No.2 still run"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    here.ok(&format!("replace -n c0 --no 2 --address 127.0.0.1:{port} --yes"));
    assert!(here.ok("status cluster -n c0 --short").contains("c0: running"));
    assert_eq!(content(&ring.exported()), before);
    assert_eq!(ring.started_again(2).0, Some(78));
    assert!(ring.dir(2).join("data/log").exists(), "its directory stays");
}

/// The applied entries of each tablet, as the server on this host says.
fn applied(lab: &Lab, host: &str, number: usize) -> Vec<u64> {
    let dir = format!("/var/lib/dkc/c0-{number}");
    let said = lab.sh(host, &format!("{dir}/dkcd ctl --dir {dir} '{{\"do\":\"status\"}}'")).stdout;
    let status: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    let tablets = status["status"]["role"]["server"]["tablets"].as_array().cloned().unwrap_or_default();
    tablets.iter().filter_map(|tablet| tablet["applied_index"].as_u64()).collect()
}

fn word(plan: &str) -> String {
    let digits = plan.split("c0@g").nth(1).expect("a word to confirm");
    format!("c0@g{}", digits.split(|c: char| !c.is_ascii_digit()).next().unwrap())
}

#[test]
fn on_real_hosts_every_acknowledged_write_comes_back_through_the_slave_and_old_servers_stay_out() {
    let lab = founded(4, &[]);
    start_writer(&lab);
    wait_until_acknowledged(&lab, 200);
    end_writer(&lab);
    wait_for("replicas that are alike", LIMIT, || {
        let all = [applied(&lab, "h1", 0), applied(&lab, "h2", 1), applied(&lab, "h3", 2)];
        (!all[0].is_empty() && all[0] == all[1] && all[1] == all[2]).then_some(())
    });
    lab.run(&["kill", "h3"]).ok();
    for host in ["h1", "h2"] {
        lab.sh(host, "pkill -9 -f '[d]kcd'").ok();
    }
    lab.sh("h2", "rm -rf /var/lib/dkc/c0-1").ok();
    lab.dkc("recover -n c0 --timeout 1s").exits(4).says("No.2 does not answer").says("--lost 2");
    let plan = lab.dkc("recover -n c0 --lost 2 --timeout 1s --dry-run").ok();
    let plan = plan.says("never start again what cannot be reached: No.2 on 10.77.0.13").stdout.clone();
    lab.dkc(&format!("recover -n c0 --lost 2 --timeout 1s --confirm {}", word(&plan)))
        .ok()
        .says("c0: running");
    all_acknowledged_are_there(&lab);

    // The old servers: one is marked, the other comes back with its host and finds nobody.
    lab.sh("h1", "/var/lib/dkc/c0-0/dkcd run --dir /var/lib/dkc/c0-0").exits(78);
    lab.run(&["boot", "h3"]).ok();
    lab.sh("h3", "cd /var/lib/dkc/c0-2 && (./dkcd supervise --dir $PWD || true)").ok();
    wait_for("the old server to be turned away", LIMIT, || {
        let log = lab.sh("h3", "cat /var/lib/dkc/c0-2/log/dkcd.log").stdout;
        log.contains("not signed by a CA that this node trusts").then_some(())
    });
    lab.dkc("grow -n c0 10.77.0.12:8020 --yes").ok();
    is_running(&lab);
    all_acknowledged_are_there(&lab);
}
