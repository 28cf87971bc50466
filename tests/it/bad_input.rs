//! What is wrong outside must come back as a clear error with the right exit status, and lose nothing.

use std::time::Duration;

use crate::support::cluster::{founded, registered, talk};
use crate::support::lab::Lab;
use crate::support::wait_for;

#[test]
fn keys_and_values_over_the_limits_are_refused_and_the_connection_goes_on() {
    let lab = founded(4, &[]);
    let long_key = "k".repeat(251);
    let said = talk(
        &lab,
        "h4",
        11211,
        &format!("set {long_key} 0 0 1\r\nx\r\nset k 0 0 1\r\ny\r\nget k\r\nquit\r\n"),
    );
    assert!(said.starts_with("CLIENT_ERROR"), "{said}");
    assert!(said.ends_with("STORED\r\nVALUE k 0 1\r\ny\r\nEND\r\n"), "{said}");
    let too_large = "{ printf 'set k 0 0 1048577\\r\\n'; head -c 1048577 /dev/zero; printf '\\r\\nget k\\r\\nquit\\r\\n'; }";
    let line = format!("exec 3<>/dev/tcp/127.0.0.1/11211; {too_large} >&3; timeout 20 cat <&3");
    lab.on("h4", &["bash", "-c", &line]).says("SERVER_ERROR object too large for cache").says("VALUE k 0 1");
}

#[test]
fn garbage_on_every_port_disturbs_nobody() {
    let lab = founded(4, &[]);
    lab.dkc("data set -n c0 k before").ok();
    let noise = "head -c 200000 /dev/urandom";
    for (host, port) in [("h1", "10.77.0.11/8020"), ("h2", "10.77.0.12/8020"), ("h4", "127.0.0.1/11211")] {
        for _ in 0..3 {
            lab.on(
                host,
                &[
                    "bash",
                    "-c",
                    &format!("exec 3<>/dev/tcp/{port}; {noise} >&3; timeout 5 cat <&3 >/dev/null; true"),
                ],
            );
        }
    }
    let socket = "python3 -c 'import socket,os\nfor i in range(20):\n s=socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(\"/var/lib/dkc/c0-0/run/control.sock\")\n try:\n  s.sendall(os.urandom(5000)+b\"\\n\"); s.recv(100)\n except OSError: pass'";
    lab.sh("h1", socket).ok();
    lab.dkc("status cluster --short").ok().prints("c0: running");
    lab.dkc("data print -n c0 k").ok().prints("\"k\" => \"before\"");
    assert_eq!(talk(&lab, "h4", 11211, "get k\r\nquit\r\n"), "VALUE k 0 6\r\nbefore\r\nEND\r\n");
}

#[test]
fn a_taken_port_is_found_by_check_and_refused_by_start() {
    let lab = Lab::up(4, &[]);
    registered(&lab);
    lab.dkc("deploy --yes").ok();
    lab.sh("h2", "setsid python3 -c 'import socket,time\ns=socket.socket(); s.bind((\"0.0.0.0\",8020)); s.listen(); time.sleep(600)' </dev/null >/dev/null 2>&1 &").ok();
    wait_for("the port to be taken", Duration::from_secs(20), || {
        (lab.on("h2", &["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8020"]).status == 0).then_some(())
    });
    let checked = lab.dkc("check cluster");
    assert_ne!(checked.status, 0, "{}{}", checked.stdout, checked.stderr);
    checked.says("8020");
    let started = lab.dkc("start cluster -n c0 --yes");
    assert_ne!(started.status, 0);
    started.says("10.77.0.12").says("8020");
}

/// Asks for every acknowledged write of the flood, on one connection, and counts those that are not there.
const COUNT_KEPT: &str = r#"
exec 3<>/dev/tcp/127.0.0.1/11211
lost=0
while read -r n; do
  printf 'get f:%s\r\n' "$n" >&3
  read -r -t 40 answer <&3 || answer=none
  case $answer in "VALUE f:$n 0 50000"*) read -r value <&3; read -r end <&3 ;; *) lost=$((lost + 1)) ;; esac
done < /tmp/acked
echo "lost: $lost"
"#;

#[test]
fn a_full_disk_stops_acknowledging_and_free_space_is_enough_to_recover() {
    let lab = founded(4, &[]);
    lab.dkc("data set -n c0 k before").ok();
    // Writes go on while the disks become full; then they must be refused, not acknowledged and lost.
    let flood = r#"
exec 3<>/dev/tcp/127.0.0.1/11211
v=$(head -c 50000 /dev/zero | tr '\0' x)
for n in $(seq 1 100000); do
  printf 'set f:%s 0 0 50000\r\n%s\r\n' "$n" "$v" >&3
  read -r -t 40 answer <&3 || { echo "none $n" > /tmp/refused; break; }
  case $answer in STORED*) echo "$n" >> /tmp/acked ;; *) echo "$n $answer" > /tmp/refused; break ;; esac
done
"#;
    lab.sh(
        "h4",
        &format!(
            "cat > /tmp/flood <<'END'\n{flood}\nEND\nsetsid bash /tmp/flood </dev/null >/tmp/flood.log 2>&1 &"
        ),
    )
    .ok();
    wait_for("acknowledged writes", Duration::from_secs(60), || {
        (lab.sh("h4", "cat /tmp/acked").stdout.lines().count() >= 50).then_some(())
    });
    for host in ["h1", "h2", "h3"] {
        lab.sh(host, "su dkc -s /bin/sh -c 'head -c 1000M /dev/zero > /var/lib/dkc/filler' 2>/dev/null; df -k /var/lib/dkc | tail -1");
    }
    let refused = wait_for("a write to be refused", Duration::from_secs(120), || {
        Some(lab.sh("h4", "cat /tmp/refused").stdout).filter(|text| !text.is_empty())
    });
    assert!(refused.contains("SERVER_ERROR"), "{refused}");
    lab.dkc("data print -n c0 k").ok().prints("\"k\" => \"before\"");
    // A node that dies now starts again, with its supervisor, on the disk that has no room at all.
    lab.sh("h1", "pkill -9 -f '[d]kcd'; head -c 1000M /dev/zero >> /var/lib/dkc/filler")
        .says("No space left on device");
    lab.dkc("start cluster -n c0 --yes").exits(8).says("short of disk space").says("log/dkcd.log");
    lab.dkc("status cluster -n c0").says("[SERVICE IN] [UP] [n/a] [Nothing] [Suspend]").never_says("DOWN");
    lab.dkc("data print -n c0 k").ok().prints("\"k\" => \"before\"");
    for host in ["h1", "h2", "h3"] {
        lab.sh(host, "rm -f /var/lib/dkc/filler").ok();
    }
    wait_for("writes to be taken again", Duration::from_secs(90), || {
        (talk(&lab, "h4", 11211, "set k 0 0 5\r\nafter\r\nquit\r\n") == "STORED\r\n").then_some(())
    });
    let counted = lab.on("h4", &["bash", "-c", COUNT_KEPT]).ok();
    counted.prints("lost: 0");
}

#[test]
fn a_disk_with_too_little_room_is_refused_before_anything_is_changed() {
    let lab = Lab::up_with_disk(4, &[], "24M");
    registered(&lab);
    lab.dkc("deploy --yes").exits(4).says("10.77.0.11").says("free");
    lab.sh("h1", "ls -A /var/lib/dkc").never_says("c0-0");
}

#[test]
fn deploy_twice_changes_nothing_and_a_dry_run_neither() {
    let lab = Lab::up(4, &[]);
    registered(&lab);
    lab.dkc("deploy --dry-run").ok().says("10.77.0.13");
    lab.sh("h3", "ls -A /var/lib/dkc").never_says("c0-2");
    lab.dkc("deploy --dry-run --exit-code").exits(10);
    lab.dkc("deploy").exits(5);
    lab.dkc("deploy --yes").ok();
    lab.dkc("deploy --yes").ok().says("nothing to do");
    lab.dkc("deploy --dry-run --exit-code").exits(0);
}

#[test]
fn a_start_without_a_deploy_says_what_to_do() {
    let lab = Lab::up(4, &[]);
    registered(&lab);
    lab.dkc("start cluster -n c0 --yes").exits(4).says("deploy");
    lab.dkc("status cluster --short").says("c0: stopped");
    lab.dkc("start cluster -n nosuch --yes").exits(3).says("nosuch");
}
