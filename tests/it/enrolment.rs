//! A machine without a program, without SSH and with a token becomes a slave on real hosts; the operator sees it, adopts it and
//! revokes it.

use crate::support::cluster::{founded, talk};
use crate::support::lab::Lab;

const SET_AND_GET: &str = "set joined 0 0 3\r\nyes\r\nget joined\r\nquit\r\n";

/// A new token in `/root/token` on the admin's machine; its text.
fn issue(lab: &Lab, words: &str) -> String {
    let issued = lab.dkc(&format!("token issue -n c0 {words} --yes")).ok();
    let text = issued.stdout.trim().to_owned();
    assert!(text.starts_with("dkc-token-1.") && !text.contains('\n'), "{text}");
    assert!(!issued.stderr.contains(&text), "only on standard output");
    lab.sh("admin", &format!("umask 077; printf '%s\\n' '{text}' > /root/token")).ok();
    text
}

/// Prints the script on the admin's machine and copies it to a host.
fn copy_script(lab: &Lab, host: &str, words: &str) {
    let line = format!(
        "set -e; {dkc} userdata -n c0 --token /root/token --shell {words} > /root/script
ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new dkc@{host} 'cat > /tmp/join.sh' < /root/script",
        dkc = lab.dkc_line()
    );
    lab.sh("admin", &line).ok();
}

fn serves(lab: &Lab, host: &str) {
    let said = talk(lab, host, 11211, SET_AND_GET);
    assert_eq!(said, "STORED\r\nVALUE joined 0 3\r\nyes\r\nEND\r\n", "{host}");
}

#[test]
fn a_bare_machine_becomes_a_slave_with_the_printed_script_and_is_adopted_and_revoked() {
    let lab = founded(6, &[5]);
    let text = issue(&lab, "--label web");
    lab.dkc("token list -n c0").ok().says("alive").says("1 of 1 left").says("web");
    // Like a machine of a cloud at its first boot: root, systemd, and nearly no environment.
    lab.sh("h5", "chown root:root /var/lib/dkc").ok();
    copy_script(&lab, "h5", "");
    let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    lab.on("h5", &["env", "-i", path, "sh", "/tmp/join.sh"]).ok().says("this machine is slave 1000000 of c0");
    serves(&lab, "h5");
    lab.sh("h5", "systemctl is-enabled dkcd@c0-slave1000000.service").ok();
    lab.sh("h5", "stat -c %a /var/lib/dkc/c0-slave1000000/tls/node.pem").prints("600");
    lab.sh("h5", &format!("grep -rlF {text} /var/lib/dkc /root /var/log /etc 2>/dev/null; true")).prints("");
    lab.sh("admin", &format!("rm -f /root/script; grep -rlF {text} /root/inventory /root/state; true"))
        .prints("");
    lab.dkc("status -n c0").ok().says("slave 1000000").says("joined c0 with a token");
    lab.dkc("status --short").ok().says("slave 1000000: running");
    lab.dkc("token list -n c0").ok().says("used up").says("1000000");
    lab.dkc("userdata -n c0 --token /root/token").exits(1).says("is dead: used up");
    // What it wrote stays when it starts again without the token.
    lab.sh("h5", "systemctl restart dkcd@c0-slave1000000.service").ok();
    let again = "HOME=/root /var/lib/dkc/bin/*/dkc join --token /tmp/token --yes";
    lab.sh("h5", &format!("printf '%s\\n' '{text}' > /tmp/token; {again}")).ok().says("nothing to do");

    // Without systemd, curl and root: the way of an operator by hand.
    issue(&lab, "");
    copy_script(&lab, "h6", "--listen 127.0.0.1:11211");
    let bare = "mkdir /tmp/bin; for f in /usr/bin/* /bin/*; do ln -sf $f /tmp/bin/; done; rm /tmp/bin/curl; chmod 755 /tmp/bin";
    lab.sh("h6", bare).ok();
    let run = ["service", "dkc", "h6", "env", "HOME=/home/dkc", "PATH=/tmp/bin", "sh", "/tmp/join.sh"];
    lab.run(&run).ok().says("this machine is slave 1000001 of c0");
    serves(&lab, "h6");
    lab.dkc("register host --accept-new 10.77.0.16").ok();
    lab.dkc("adopt slave -n c0 --id 1000001 --host 10.77.0.14").exits(4).says("has no");
    lab.dkc("adopt slave -n c0 --id 7 --host 10.77.0.16").exits(4).says("no slave 7 joined");
    lab.dkc("adopt slave -n c0 --id 1000001 --host 10.77.0.16").ok().says("adopted on host 10.77.0.16");
    lab.dkc("status slave --short").ok().says("slave 1000001: running");
    lab.dkc("deploy --yes").ok().says("nothing to do");

    lab.dkc("tls revoke -n c0 --slave 1000000 --yes").ok();
    let said = talk(&lab, "h5", 11211, "get joined\r\nquit\r\n");
    assert!(said.contains("SERVER_ERROR"), "{said}");
    lab.dkc("status --short").ok().never_says("slave 1000000");
    serves(&lab, "h6");
}
