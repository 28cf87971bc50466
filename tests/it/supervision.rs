//! Nodes without systemd: what a supervisor that was killed leaves behind, a pid 1 that collects nobody, and a reboot where
//! cron runs.

use std::time::Duration;

use crate::support::cluster::founded;
use crate::support::lab::Lab;
use crate::support::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

/// One server and a slave, both on h1.
#[track_caller]
fn one_host_with_both(lab: &Lab) {
    lab.dkc("register host --accept-new 10.77.0.11").ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok();
    lab.dkc("register slave --cluster c0 --host 10.77.0.11").ok();
    lab.dkc("register pair --id 0 --listen 127.0.0.1:11211").ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("start slave --id 0 --yes").ok();
}

fn wait_until_running(lab: &Lab) {
    wait_for("c0: running", LIMIT, || {
        (lab.dkc("status cluster --short").stdout.trim() == "c0: running").then_some(())
    });
}

fn process_in(lab: &Lab, host: &str, file: &str) -> String {
    lab.sh(host, &format!("cat /var/lib/dkc/*/run/{file}")).ok().stdout.trim().to_owned()
}

#[test]
fn where_pid_1_never_collects_a_process_that_has_ended_is_not_one_that_runs() {
    let lab = Lab::up_careless(1);
    one_host_with_both(&lab);
    lab.dkc("data set -n c0 kept yes").ok();
    lab.dkc("restart slave --id 0 --yes").ok();
    lab.dkc("restart cluster -n c0 --rolling --yes").ok();
    lab.dkc("status cluster --short").ok().prints("c0: running");
    lab.sh("h1", "ps -eo stat,comm | grep '^Z.*dkc'").ok();
    lab.dkc("stop slave --id 0 --yes").ok();
    lab.dkc("stop cluster -n c0 --yes").ok();
    lab.dkc("status cluster --short").says("c0: stopped");
    lab.dkc("start cluster -n c0 --yes").ok().never_says("nothing to do");
    lab.dkc("data print -n c0 kept").ok().prints("\"kept\" => \"yes\"");

    // After a reboot a shell may have the number that the file names, with the directory among its words.
    lab.dkc("stop cluster -n c0 --yes").ok();
    lab.sh(
        "h1",
        "cd /var/lib/dkc/c0-0; setsid sh -c 'sleep 600; :' sh $PWD </dev/null >/dev/null 2>&1 & \
                  cd /var/lib/dkc/c0-0/run; echo $! > dkcd.pid; chown --reference=. dkcd.pid",
    )
    .ok();
    lab.dkc("status cluster --short").says("c0: stopped");
    lab.dkc("start cluster -n c0 --yes").ok().never_says("nothing to do");
    lab.dkc("status cluster --short").ok().prints("c0: running");
}

#[test]
fn all_servers_killed_at_once_come_back_by_themselves_and_are_counted() {
    let lab = founded(4, &[]);
    for host in ["h1", "h2", "h3"] {
        let daemon = process_in(&lab, host, "daemon.lock");
        lab.on(host, &["kill", "-9", &daemon]).ok();
    }
    wait_until_running(&lab);
    lab.dkc("status cluster -n c0").ok().says("restarts: 1");

    // Only the supervisor: its daemon serves on, status says what is wrong, and start mends it.
    let (supervisor, daemon) = (process_in(&lab, "h2", "dkcd.pid"), process_in(&lab, "h2", "daemon.lock"));
    lab.on("h2", &["kill", "-9", &supervisor]).ok();
    lab.dkc("status cluster -n c0").says("supervisor has ended").says("start takes it over");
    lab.dkc("start cluster -n c0 --yes").ok();
    assert_ne!(process_in(&lab, "h2", "daemon.lock"), daemon);
    lab.dkc("status cluster -n c0").ok().never_says("supervisor has ended");

    // And once more, stopped instead.
    let supervisor = process_in(&lab, "h3", "dkcd.pid");
    lab.on("h3", &["kill", "-9", &supervisor]).ok();
    lab.dkc("stop slave --id 0 --yes").ok();
    lab.dkc("stop cluster -n c0 --yes").ok();
    lab.on("h3", &["pgrep", "-f", "dkcd run"]).exits(1);
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("status cluster --short").ok().prints("c0: running");
}

#[test]
fn after_a_reboot_cron_begins_what_was_started_and_nothing_that_was_stopped() {
    let lab = Lab::up(1, &[]);
    lab.dkc("register host --accept-new 10.77.0.11").ok();
    lab.dkc("check").says("nodes do not restart after a reboot");
    lab.run(&["service", "root", "h1", "cron"]).ok();
    lab.dkc("check").never_says("nodes do not restart after").says("cron starts after a reboot");
    lab.sh("h1", "echo '0 4 * * * true' | crontab -u dkc -").ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("data set -n c0 kept yes").ok();
    let reboot = || {
        lab.run(&["kill", "h1"]).ok();
        lab.run(&["boot", "h1"]).ok();
        lab.run(&["service", "root", "h1", "cron"]).ok();
    };
    reboot();
    wait_until_running(&lab);
    lab.dkc("data print -n c0 kept").ok().prints("\"kept\" => \"yes\"");
    lab.dkc("stop cluster -n c0 --yes").ok();
    // The operator's own line is left as it was.
    lab.sh("h1", "crontab -u dkc -l").ok().prints("0 4 * * * true");
    lab.dkc("status cluster --short").says("c0: stopped");
}
