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
    lab.dkc("modify host --accept-new=false 10.77.0.12").ok();
    lab.sh("admin", "rm -f /root/.ssh/id_ed25519*").ok();
    let mut shell = lab.terminal(&["exec", "10.77.0.12", "--", "hostname"]);
    shell.expect("Jump host 10.77.0.11 presents").expect("[y/N]").line("y");
    shell.expect("dkc@10.77.0.11's password:");
    // Longer than a host may take to answer: ssh must not take the typist for a silent host.
    std::thread::sleep(SLOW_TYPIST);
    shell.line(PASSWORD);
    shell.expect("10.77.0.12 presents").expect("[y/N]").line("y");
    shell.expect("[dkc@10.77.0.12] Login password for 'dkc':").line(PASSWORD);
    shell.expect("h2");
    assert_eq!(shell.ends(), 0, "{}", shell.text());
    assert!(!shell.text().contains(PASSWORD), "the password is on the screen");
}

/// Its key is pinned when it is first seen, by whoever asks: the operator's own list of known hosts no longer matters then.
#[test]
fn the_key_of_a_jump_host_is_pinned_and_a_changed_one_is_a_hard_stop() {
    let lab = behind_a_jump_host();
    let hostile = "Host *\\n  StrictHostKeyChecking no\\n  UserKnownHostsFile /dev/null\\n  KnownHostsCommand /bin/echo %%H %%t %%K\\n";
    lab.sh("admin", &format!("printf '{hostile}' >> /root/.ssh/config")).ok();
    lab.dkc("modify host --accept-new=false 10.77.0.12").ok();
    // Nobody has seen it yet.
    lab.dkc("exec 10.77.0.12 -- hostname").exits(7).says("of jump host 10.77.0.11 is not trusted yet");
    let mut shell = lab.terminal(&["exec", "10.77.0.12", "--", "hostname"]);
    shell.expect("Jump host 10.77.0.11 presents").expect("[y/N]").line("n");
    assert_eq!(shell.ends(), 7, "{}", shell.text());
    lab.dkc("modify host --accept-new=true 10.77.0.12").ok();
    lab.dkc("exec 10.77.0.12 -- hostname")
        .ok()
        .says("h2")
        .says("jump host 10.77.0.11: pinned host key SHA256:");
    lab.dkc("trust show").ok().says("10.77.0.11 (jump host)");
    lab.sh("admin", "ssh-keyscan -t ed25519 10.77.0.11 > /root/.ssh/known_hosts").ok();

    lab.run(&["newkey", "h1"]).ok();
    let stopped = lab.dkc("exec 10.77.0.12 -- hostname").exits(7);
    let fingerprints = stopped.stderr.matches("SHA256:").count();
    assert!(fingerprints >= 2, "both fingerprints are wanted:\n{}", stopped.stderr);
    stopped.says("the host key of jump host 10.77.0.11 has changed").says("trust update 10.77.0.11");
    // Also where the operator's ssh would take the new key.
    knowing_the_jump_host(&lab);
    lab.dkc("exec 10.77.0.12 -- hostname").exits(7).says("jump host 10.77.0.11 has changed");
    lab.dkc("trust update 10.77.0.11 --host-key SHA256:0000000000000000000000000000000000000000000").exits(7);
    lab.dkc("trust update 10.77.0.11 --yes").ok();
    lab.dkc("exec 10.77.0.12 -- hostname").ok().says("h2");
}

#[test]
fn a_jump_host_that_is_in_the_way_is_spoken_of_and_leaves_nothing_behind() {
    let lab = behind_a_jump_host();
    lab.sh("admin", "sed -i s/dkc@/nobody@/ /root/.ssh/config").ok();
    lab.dkc("exec 10.77.0.12 -- true").exits(7).says("10.77.0.12").says("connected via jump host");
    lab.sh("admin", "sed -i s/nobody@/dkc@/ /root/.ssh/config").ok();
    lab.run(&["freeze", "h1"]).ok();
    lab.dkc("exec 10.77.0.12 -- true").exits(7).says("no reply within 20 s");
    lab.sh("admin", "pgrep -a ssh || true").prints("");
}
