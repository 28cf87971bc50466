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
    assert!(shown(lab, "User").starts_with("dkc-c0-"), "{}", shown(lab, "User"));
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
fn with_sudo_the_systems_systemd_keeps_a_server() {
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

/// A `sudo` that notes each attempt before it does what was asked.
fn note_sudo(lab: &Lab) {
    let script = "#!/bin/sh\necho \"$*\" >> /tmp/sudo.log\nexec /usr/bin/sudo \"$@\"\n";
    let line = format!("printf '%s' '{script}' > /usr/local/bin/sudo && chmod 755 /usr/local/bin/sudo");
    lab.sh("h1", &line).ok();
}

/// The attempts since the last time.
fn sudo_attempts(lab: &Lab) -> Vec<String> {
    let said = lab.sh("h1", "cat /tmp/sudo.log 2>/dev/null; rm -f /tmp/sudo.log").stdout;
    said.lines().filter(|line| line.starts_with("-n ")).map(str::to_owned).collect()
}

fn user_of(lab: &Lab, node: &str) -> String {
    lab.on("h1", &["stat", "-c", "%U", &format!("/var/lib/dkc/{node}")]).ok().stdout.trim().to_owned()
}

#[test]
fn clusters_of_one_host_run_as_users_who_cannot_read_each_others_keys() {
    let lab = Lab::up(1, &[1]);
    allow_sudo(&lab);
    note_sudo(&lab);
    lab.dkc("register host --accept-new 10.77.0.11").ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok();
    lab.dkc("register cluster -n c1 10.77.0.11:8030").ok();
    lab.dkc("register slave --cluster c1 --host 10.77.0.11").ok();
    lab.dkc("register pair --id 0 --listen 127.0.0.1:11211").ok();
    lab.dkc("check").never_says("isolation");
    lab.dkc("deploy --dry-run")
        .ok()
        .says("create the system user dkc-c0-")
        .says("create the system user dkc-c1-");
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("start cluster -n c1 --yes").ok();
    lab.dkc("start slave --id 0 --yes").ok();
    let (one, other) = (user_of(&lab, "c0-0"), user_of(&lab, "c1-0"));
    assert!(one.starts_with("dkc-c0-") && other.starts_with("dkc-c1-"), "{one} {other}");
    assert_eq!(user_of(&lab, "c1-slave0"), other);
    assert_eq!(lab.on("h1", &["pgrep", "-c", "-u", &one, "-x", "dkcd"]).stdout.trim(), "1");

    let as_one = |words: &[&str]| lab.on("h1", &[&["runuser", "-u", one.as_str(), "--"], words].concat());
    as_one(&["cat", "/var/lib/dkc/c0-0/tls/node.pem"]).ok().says("PRIVATE KEY");
    for file in ["tls/node.pem", "tls/issuer.pem", "node.yaml", "run/control.sock"] {
        let refused = as_one(&["cat", &format!("/var/lib/dkc/c1-0/{file}")]).exits(1);
        assert!(refused.stderr.contains("Permission denied"), "{file}: {}", refused.stderr);
    }
    as_one(&["/var/lib/dkc/c1-0/dkcd", "ctl", "--dir", "/var/lib/dkc/c1-0", "VERSION"]).never_says("dkcd 0");
    // Not even the login user reads keys, although it may look at all else without becoming root.
    lab.on("h1", &["runuser", "-u", "dkc", "--", "cat", "/var/lib/dkc/c0-0/tls/node.pem"]).exits(1);

    sudo_attempts(&lab);
    lab.dkc("status cluster -n c0 --short").ok().prints("c0: running");
    lab.dkc("status slave").ok().says("running");
    lab.dkc("status host").ok();
    lab.dkc("data set -n c1 kept yes").ok();
    lab.dkc("data print -n c1 kept").ok().prints("\"kept\" => \"yes\"");
    lab.dkc("tls show -n c0").ok().says("c0-0");
    lab.dkc("exec 10.77.0.11 -- id -un").ok().says("dkc");
    lab.dkc("restart cluster -n c0 --dry-run").ok();
    lab.dkc("start cluster -n c0 --yes").ok().says("nothing to do");
    assert_eq!(sudo_attempts(&lab), Vec::<String>::new());

    lab.dkc("deploy --yes").ok().says("nothing to do");
    assert_eq!(sudo_attempts(&lab), Vec::<String>::new(), "who keeps the nodes is known");
    lab.dkc("logs -n c0").ok().says("journalctl -u dkcd@c0-0.service").says("serving");
    lab.dkc("tls rotate -n c1 --yes").ok();
    lab.dkc("modify cluster -n c1 --config log_level=debug").ok();
    lab.dkc("deploy --yes").ok();
    lab.sh("h1", "ls /var/lib/dkc/receipts").ok().says("op-");
    lab.dkc("restart cluster -n c1 --yes").ok();
    lab.dkc("data print -n c1 kept").ok().prints("\"kept\" => \"yes\"");

    let word = lab.dkc("destroy cluster -n c0 --dry-run").ok().stdout;
    let word =
        word.lines().find_map(|line| line.trim().strip_prefix("to confirm: ")).expect("the word").to_owned();
    lab.dkc(&format!("destroy cluster -n c0 --confirm {word}")).ok();
    lab.sh("h1", "ls -A /var/lib/dkc /etc/systemd/system").never_says("c0-0");
    lab.dkc("status cluster -n c1 --short").ok().prints("c1: running");
}

#[test]
fn sudo_that_is_refused_is_tried_once_for_a_deploy_and_never_to_look() {
    let lab = Lab::up(1, &[1]);
    note_sudo(&lab);
    lab.dkc("register host --accept-new 10.77.0.11").ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok();
    lab.dkc("status host").ok();
    assert_eq!(sudo_attempts(&lab), Vec::<String>::new());
    let mut shell = lab.terminal(&[]);
    shell.prompt();
    for _ in 0..3 {
        shell.line("deploy --dry-run").expect("plan op-").prompt();
    }
    assert_eq!(shell.line("quit").ends(), 0);
    assert_eq!(sudo_attempts(&lab), ["-n true"]);
    lab.dkc("deploy --yes").ok();
    assert_eq!(sudo_attempts(&lab), ["-n true"]);
    for line in [
        "start cluster -n c0 --yes",
        "status",
        "data set -n c0 k v",
        "stop cluster -n c0 --yes",
        "tls show -n c0",
    ] {
        lab.dkc(line).ok();
    }
    assert_eq!(sudo_attempts(&lab), Vec::<String>::new());
}
