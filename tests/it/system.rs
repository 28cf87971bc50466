//! A server kept by the system's own systemd: as root, and as a user who may `sudo -n`.

use std::time::Duration;

use crate::support::lab::Lab;
use crate::support::wait_for;

const UNIT: &str = "dkcd@c0-0.service";

fn shown(lab: &Lab, what: &str) -> String {
    lab.on("h1", &["systemctl", "show", "--value", "-p", what, UNIT]).ok().stdout.trim().to_owned()
}

fn allow_sudo(lab: &Lab) {
    let line = "echo 'dkc ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/dkc && chmod 440 /etc/sudoers.d/dkc";
    lab.sh("h1", line).ok();
}

/// The life of a cluster of one server on h1, which `user` logs in to.
#[track_caller]
fn lives_under_the_systems_manager(lab: &Lab, user: &str) {
    lab.dkc(&format!("register host --user {user} --accept-new 10.77.0.11")).ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok();
    lab.dkc("check").says("systemd").never_says("user systemd");
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    assert_eq!(shown(lab, "ActiveState"), "active");
    assert_eq!(shown(lab, "UnitFileState"), "enabled");
    assert_eq!(shown(lab, "User"), user);
    lab.dkc("data set -n c0 kept yes").ok();
    lab.dkc("data print -n c0 kept").ok().prints("\"kept\" => \"yes\"");

    let killed = shown(lab, "MainPID");
    lab.on("h1", &["kill", "-9", &killed]).ok();
    wait_for("systemd to start the daemon again", Duration::from_secs(60), || {
        (shown(lab, "ActiveState") == "active" && !["0", &killed].contains(&shown(lab, "MainPID").as_str()))
            .then_some(())
    });
    wait_for("c0: running", Duration::from_secs(30), || {
        (lab.dkc("status cluster --short").stdout.trim() == "c0: running").then_some(())
    });
    lab.dkc("data print -n c0 kept").ok().prints("\"kept\" => \"yes\"");
    lab.dkc("logs -n c0").ok().says("journalctl -u dkcd@c0-0.service").says("serving");

    let stopped = shown(lab, "MainPID");
    lab.dkc("stop cluster -n c0 --yes").ok();
    assert_eq!(shown(lab, "ActiveState"), "inactive");
    assert_eq!(shown(lab, "UnitFileState"), "disabled");
    lab.sh("h1", &format!("test ! -d /proc/{stopped}")).ok();
    lab.dkc("status cluster --short").says("c0: stopped");
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("data print -n c0 kept").ok().prints("\"kept\" => \"yes\"");
    lab.dkc("stop cluster -n c0 --yes").ok();
    let word = lab.dkc("destroy cluster -n c0 --dry-run").ok().stdout;
    let word = word.lines().find_map(|line| line.trim().strip_prefix("to confirm: ")).expect("the word");
    lab.dkc(&format!("destroy cluster -n c0 --confirm {word} --with-programs")).ok();
    lab.sh("h1", "ls -A /var/lib/dkc /etc/systemd/system").never_says("c0-").never_says("dkcd@");
}

#[test]
fn as_root_the_systems_systemd_keeps_a_server() {
    let lab = Lab::up(1, &[1]);
    lab.sh("h1", "install -d -m 700 /root/.ssh && install -m 600 /home/dkc/.ssh/authorized_keys /root/.ssh/")
        .ok();
    lab.sh("h1", "chown root:root /var/lib/dkc").ok();
    lives_under_the_systems_manager(&lab, "root");
}

#[test]
fn with_sudo_the_systems_systemd_keeps_a_server_of_the_login_user() {
    let lab = Lab::up(1, &[1]);
    allow_sudo(&lab);
    lives_under_the_systems_manager(&lab, "dkc");
}

#[test]
fn a_server_that_the_users_systemd_keeps_is_stopped_there_after_sudo_has_come() {
    let lab = Lab::up(1, &[1]);
    lab.dkc("register host --accept-new 10.77.0.11").ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    let daemon = lab.sh("h1", "pgrep -u dkc -x dkcd").ok().stdout.trim().to_owned();
    allow_sudo(&lab);
    lab.dkc("deploy --yes").ok().says("nothing to do");
    lab.dkc("stop cluster -n c0 --yes").ok();
    lab.sh("h1", &format!("test ! -d /proc/{daemon}")).ok();
    lab.dkc("status cluster --short").says("c0: stopped");
}
