//! Hosts that are reached only through another host, by `ProxyJump` in the operator's own `~/.ssh/config`.

use std::time::Duration;

use crate::support::lab::{Lab, PASSWORD};

const SLOW_TYPIST: Duration = Duration::from_secs(7);

/// h2 answers the admin only through h1.
fn behind_a_jump_host() -> Lab {
    let lab = Lab::up(2, &[]);
    lab.run(&["cut", "admin", "h2"]).ok();
    lab.sh("admin", "printf 'Host 10.77.0.12\\n  ProxyJump dkc@10.77.0.11\\n' > /root/.ssh/config").ok();
    lab.dkc("register host --accept-new 10.77.0.12").ok();
    lab
}

fn knowing_the_jump_host(lab: &Lab) {
    lab.sh("admin", "ssh-keyscan -t ed25519 10.77.0.11 > /root/.ssh/known_hosts").ok();
}

#[test]
fn a_server_behind_a_jump_host_is_looked_after_like_any_other() {
    let lab = behind_a_jump_host();
    knowing_the_jump_host(&lab);
    lab.dkc("register cluster -n c0 10.77.0.12:8020").ok();
    lab.dkc("exec 10.77.0.12 -- hostname").ok().says("h2");
    lab.dkc("check").says("0 fail");
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("status cluster --short").ok().prints("c0: running");
    lab.dkc("data set -n c0 k v").ok();
    lab.dkc("data print -n c0 k").ok().prints("\"k\" => \"v\"");
    lab.dkc("logs -n c0").ok().says("serving");
    lab.dkc("stop cluster -n c0 --yes").ok();
    lab.sh("admin", "pgrep -a ssh || true").prints("");
}

#[test]
fn a_jump_host_with_a_password_asks_in_its_own_name_and_waits_for_a_slow_typist() {
    let lab = behind_a_jump_host();
    lab.sh("admin", "rm -f /root/.ssh/id_ed25519*").ok();
    let mut shell = lab.terminal(&["exec", "10.77.0.12", "--", "hostname"]);
    shell.expect("authenticity of host '10.77.0.11").expect("[y/N]").line("y");
    shell.expect("dkc@10.77.0.11's password:");
    // Longer than a host may take to answer: ssh must not take the typist for a silent host.
    std::thread::sleep(SLOW_TYPIST);
    shell.line(PASSWORD);
    shell.expect("[dkc@10.77.0.12] Login password for 'dkc':").line(PASSWORD);
    shell.expect("h2");
    assert_eq!(shell.ends(), 0, "{}", shell.text());
    assert!(!shell.text().contains(PASSWORD), "the password is on the screen");
}

#[test]
fn a_jump_host_that_is_in_the_way_is_spoken_of_and_leaves_nothing_behind() {
    let lab = behind_a_jump_host();
    lab.dkc("exec 10.77.0.12 -- true").exits(7).says("10.77.0.12").says("connected via jump host");
    knowing_the_jump_host(&lab);
    lab.run(&["freeze", "h1"]).ok();
    lab.dkc("exec 10.77.0.12 -- true").exits(7).says("no reply within 20 s");
    lab.sh("admin", "pgrep -a ssh || true").prints("");
}
