//! SSH as operators meet it: keys, passwords, wrong passwords, host keys that are unknown or have changed.

use crate::support::lab::{Lab, PASSWORD};

/// Takes the admin's key away, so that only passwords are left.
fn without_key(lab: &Lab) {
    lab.sh("admin", "rm -f /root/.ssh/id_ed25519*").ok();
}

#[test]
fn one_password_serves_several_hosts() {
    let lab = Lab::up(3, &[]);
    without_key(&lab);
    lab.dkc("register host --accept-new 10.77.0.11 10.77.0.12 10.77.0.13").ok();
    let mut shell = lab.terminal(&["check", "host"]);
    shell.expect("Login password for 'dkc':").line(PASSWORD);
    shell.expect("2 hosts with user dkc").line("y");
    assert_eq!(shell.ends(), 0, "{}", shell.text());
    let shown = shell.text();
    assert_eq!(shown.matches("Login password").count(), 1, "{shown}");
    assert!(!shown.contains(PASSWORD), "the password is on the screen:\n{shown}");
}

#[test]
fn a_wrong_password_is_tried_once_and_said_plainly() {
    let lab = Lab::up(1, &[]);
    without_key(&lab);
    lab.dkc("register host --accept-new 10.77.0.11").ok();
    let mut shell = lab.terminal(&["check", "host"]);
    shell.expect("[dkc@10.77.0.11] Login password for 'dkc':").line("wrong-horse");
    assert_ne!(shell.ends(), 0);
    let shown = shell.text();
    assert_eq!(shown.matches("Login password").count(), 1, "{shown}");
    assert!(shown.contains("10.77.0.11") && shown.to_lowercase().contains("login"), "{shown}");
}

#[test]
fn without_a_terminal_no_password_is_asked_and_the_exit_status_says_login() {
    let lab = Lab::up(1, &[]);
    without_key(&lab);
    lab.dkc("register host --accept-new 10.77.0.11").ok();
    lab.dkc("exec 10.77.0.11 -- true").exits(7).says("10.77.0.11");
}

#[test]
fn an_unknown_host_key_is_shown_and_a_changed_one_is_a_hard_stop() {
    let lab = Lab::up(1, &[]);
    lab.dkc("register host 10.77.0.11").ok();
    lab.dkc("exec 10.77.0.11 -- true").exits(7).says("SHA256:");
    let mut shell = lab.terminal(&["exec", "10.77.0.11", "--", "hostname"]);
    shell.expect("SHA256:").expect("[y/N]").line("y").expect("h1");
    assert_eq!(shell.ends(), 0);
    lab.dkc("exec 10.77.0.11 -- hostname").ok().says("h1");
    lab.run(&["newkey", "h1"]).ok();
    let stopped = lab.dkc("exec 10.77.0.11 -- hostname").exits(7);
    let fingerprints = stopped.stderr.matches("SHA256:").count();
    assert!(fingerprints >= 2, "both fingerprints are wanted:\n{}", stopped.stderr);
    lab.dkc("trust update 10.77.0.11 --yes").ok();
    lab.dkc("exec 10.77.0.11 -- hostname").ok().says("h1");
}

#[test]
fn keys_of_several_new_hosts_are_one_list_and_one_question() {
    let lab = Lab::up(2, &[]);
    lab.dkc("register host 10.77.0.11 10.77.0.12").ok();
    let both = ["exec", "10.77.0.11", "10.77.0.12", "--", "hostname"];
    let mut shell = lab.terminal(&both);
    shell.expect("2 hosts present keys").expect("10.77.0.11  SHA256:").expect("10.77.0.12  SHA256:");
    shell.expect("[y/N]").line("n");
    assert_eq!(shell.ends(), 7);
    assert_eq!(shell.text().matches("[y/N]").count(), 1, "{}", shell.text());
    let mut shell = lab.terminal(&both);
    shell.expect("2 hosts present keys").expect("[y/N]").line("y");
    assert_eq!(shell.ends(), 0);
    assert_eq!(shell.text().matches("[y/N]").count(), 1, "{}", shell.text());
    lab.dkc("exec 10.77.0.11 10.77.0.12 -- hostname").ok().says("h1").says("h2");
}

#[test]
fn a_host_that_does_not_answer_costs_its_limit_once() {
    let lab = Lab::up(2, &[]);
    lab.dkc("register host --accept-new 10.77.0.11 10.77.0.12 10.77.0.99").ok();
    lab.run(&["freeze", "h2"]).ok();
    let checked = lab.dkc("check host");
    lab.run(&["thaw", "h2"]).ok();
    checked.exits(7).says("10.77.0.12").says("10.77.0.99");
}

#[test]
fn the_operators_own_configuration_cannot_lead_past_the_pinned_key() {
    let lab = Lab::up(1, &[]);
    let hostile = "Host *\\n  NoHostAuthenticationForLocalhost yes\\n  GSSAPIAuthentication yes\\n  \
                   GSSAPIDelegateCredentials yes\\n  FingerprintHash md5\\n  StrictHostKeyChecking no\\n  \
                   ForwardAgent yes\\n  ForwardX11 yes\\n  Tunnel yes\\n  KnownHostsCommand /bin/echo %%H %%t %%K\\n  \
                   UserKnownHostsFile /root/all\\n  VerifyHostKeyDNS yes\\n";
    lab.sh("admin", &format!("printf '{hostile}' > /root/.ssh/config")).ok();
    lab.dkc("register host --accept-new 10.77.0.11").ok();
    lab.dkc("exec 10.77.0.11 -- hostname").ok().says("h1");
    lab.run(&["newkey", "h1"]).ok();
    lab.dkc("exec 10.77.0.11 -- hostname").exits(7).says("host key has changed");
    // A loopback address, which some configurations trust without a look.
    let forward = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -f -N -L 127.0.0.1:2222:127.0.0.1:22 dkc@10.77.0.11";
    lab.sh("admin", &format!("{forward} >/dev/null 2>&1")).ok();
    lab.dkc("register host --port 2222 127.0.0.1").ok();
    lab.dkc("exec 127.0.0.1 -- hostname").exits(7).says("is not trusted yet");
}
