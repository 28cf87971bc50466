//! Certificates are shown, replaced while an application writes, and taken back, on real hosts.

use std::time::Duration;

use crate::support::cluster::{founded, registered, talk};
use crate::support::elastic::{ends_well, is_running};
use crate::support::lab::Lab;
use crate::support::wait_for;
use crate::support::writer::{acknowledged, start_writer, wait_until_acknowledged};

/// Fingerprints by holder.
fn shown(lab: &Lab) -> Vec<(String, String)> {
    let shown = lab.dkc("tls show -n c0 -o json").ok();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&shown.stdout).expect("JSON");
    let word = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    for row in &rows {
        assert_eq!(row.get("notice"), None, "{row}");
        assert!(row["days_left"].as_i64().is_some_and(|days| days >= 89), "{row}");
    }
    rows.iter().map(|row| (word(row, "holder"), word(row, "fingerprint"))).collect()
}

fn all_differ(before: &[(String, String)], after: &[(String, String)], from: usize) {
    assert_eq!(before.len(), 5);
    for (old, new) in before.iter().zip(after).skip(from) {
        assert!(old.0 == new.0 && old.1 != new.1, "{old:?} {new:?}");
    }
}

#[test]
fn certificates_and_their_authority_are_replaced_while_an_application_writes_and_a_slave_is_revoked() {
    let lab = founded(4, &[]);
    start_writer(&lab);
    wait_until_acknowledged(&lab, 50);
    let first = shown(&lab);
    lab.dkc("tls show -n c0").ok().says("HOLDER").says("c0-slave0").says("authority");
    lab.dkc("tls rotate -n c0 --dry-run").ok().says("issue a slave certificate into");
    assert_eq!(shown(&lab), first, "a dry run changes nothing");
    lab.dkc("tls rotate -n c0 --yes").ok();
    let second = shown(&lab);
    all_differ(&first, &second, 1);
    assert_eq!(first[0], second[0], "the authority stays");

    lab.dkc("tls rotate -n c0 --ca --yes").ok();
    let third = shown(&lab);
    all_differ(&second, &third, 0);
    for (host, node) in [("h1", "c0-0"), ("h2", "c0-1"), ("h3", "c0-2"), ("h4", "c0-slave0")] {
        let count = format!("grep -c BEGIN /var/lib/dkc/{node}/tls/ca.pem");
        lab.sh(host, &count).prints("1");
    }
    // Every connection is made anew under the new authority.
    lab.dkc("restart cluster -n c0 --rolling --yes").ok();
    wait_until_acknowledged(&lab, acknowledged(&lab).len() + 50);
    lab.dkc("deploy --yes").ok().says("nothing to do");
    ends_well(&lab);

    lab.dkc("tls revoke -n c0 --slave 0 --yes").ok();
    let said = talk(&lab, "h4", 11211, "get w:1\r\nquit\r\n");
    assert!(said.contains("SERVER_ERROR"), "{said}");
    lab.dkc("tls show -n c0").ok().says("revoked");
    lab.dkc("tls revoke -n c0 --slave 0 --yes").ok().says("nothing to do");
    lab.dkc("data set -n c0 k v").ok();
    // Another identity serves again.
    lab.dkc("destroy slave --id 0 --yes").ok();
    lab.dkc("unregister slave --id 0").ok();
    lab.dkc("register slave --cluster c0 --host 10.77.0.14").ok();
    lab.dkc("register pair --id 0 --listen 127.0.0.1:11211").ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("start slave --id 0 --yes").ok();
    let said = talk(&lab, "h4", 11211, "get k\r\nquit\r\n");
    assert!(said.contains("VALUE k 0 1"), "{said}");
}

const NODES: [(&str, &str); 4] = [("h1", "c0-0"), ("h2", "c0-1"), ("h3", "c0-2"), ("h4", "c0-slave0")];

/// Begins a command and kills the shell as soon as one more step of its operation is written down as done.
fn cut_after_one_more_step(lab: &Lab, command: &str) {
    let line = format!(
        r#"cd /root/inventory/journal
newest() {{ ls -t | head -n 1; }}
steps() {{ grep -c '^{{"step":' "$(newest)"; true; }}
file=$(newest) steps=$(steps) n=0
{dkc} {command} > /root/said 2>&1 & pid=$!
one_more() {{ if [ "$(newest)" = "$file" ]; then [ "$(steps)" -gt "$steps" ]; else [ "$(steps)" -gt 0 ]; fi; }}
# Looked at before the journal is: a shell that has ended since has written its last step.
until runs=$(kill -0 $pid 2>/dev/null && echo yes); one_more; do
  [ "$runs" ] && n=$((n+1)) && [ $n -lt 6000 ] || {{ cat /root/said; exit 1; }}
  sleep 0.005
done
# After the last step of all it may have ended by itself.
kill -9 $pid 2>/dev/null || wait $pid"#,
        dkc = lab.dkc_line()
    );
    lab.on("admin", &["bash", "-c", &line]).ok();
}

/// Steps of the newest operation: all of its plan, and those that are written down as done.
fn steps_and_done(lab: &Lab) -> (usize, usize) {
    let line = "cd /root/inventory/journal; cat \"$(ls -t | head -n 1)\"";
    let journal = lab.on("admin", &["sh", "-c", line]).ok().stdout;
    let mut lines =
        journal.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let plan = lines.next().expect("a plan");
    let done = lines.filter(|line| line["step"]["error"].is_null() && !line["step"].is_null()).count();
    (plan["plan"]["steps"].as_array().expect("steps").len(), done)
}

/// A server and the slave are killed and come back, so that everybody shows everybody the certificate of this moment.
fn everybody_connects_anew(lab: &Lab, turn: usize) {
    let (host, node) = NODES[turn % 3];
    for (host, node) in [(host, node), NODES[3]] {
        let dir = format!("/var/lib/dkc/{node}");
        lab.sh(host, &format!("kill -9 $(head -n 1 {dir}/run/daemon.lock)")).ok();
    }
    wait_until_acknowledged(lab, acknowledged(lab).len() + 20);
    is_running(lab);
}

#[test]
fn a_rotation_of_the_authority_that_is_killed_after_each_of_its_steps_goes_on_and_nobody_is_refused() {
    let lab = founded(4, &[]);
    start_writer(&lab);
    wait_until_acknowledged(&lab, 50);
    let before = shown(&lab);
    cut_after_one_more_step(&lab, "tls rotate -n c0 --ca --yes");
    let (steps, mut done) = steps_and_done(&lab);
    assert_eq!(steps, 3 + 6 * 4, "three steps on the admin's machine, six on each node");
    let mut cuts = 1;
    while done < steps {
        // Within each turn of all nodes and between them: a turn has one or four steps.
        if cuts % 2 == 1 {
            everybody_connects_anew(&lab, cuts);
        }
        cut_after_one_more_step(&lab, "resume --yes");
        let now = steps_and_done(&lab).1;
        assert!(now > done, "{now} of {steps}");
        (done, cuts) = (now, cuts + 1);
    }
    assert!(cuts > 12, "{cuts} cuts of {steps} steps");
    everybody_connects_anew(&lab, cuts);
    all_differ(&before, &shown(&lab), 0);
    for (host, node) in NODES {
        lab.sh(host, &format!("grep -c BEGIN /var/lib/dkc/{node}/tls/ca.pem")).prints("1");
        let log = lab.sh(host, &format!("cat /var/lib/dkc/{node}/log/dkcd.log*")).ok().stdout;
        let is_refusal =
            |line: &&str| line.contains("signed by a CA that") || line.contains("not trust the CA");
        let refused: Vec<&str> = log.lines().filter(is_refusal).collect();
        assert!(refused.is_empty(), "{host}: {refused:?}");
    }
    lab.dkc("deploy --yes").ok().says("nothing to do");
    ends_well(&lab);
}

/// Writes by how many days the clock of a host is ahead, for certificates; see `TEST_CLOCK_AHEAD` of the daemon.
fn set_days_ahead(lab: &Lab, host: &str, days: i64) {
    let seconds = days * 86_400;
    lab.sh(host, &format!("echo {seconds} > /etc/dkc-ahead.new && chmod 644 /etc/dkc-ahead.new && mv /etc/dkc-ahead.new /etc/dkc-ahead")).ok();
}

/// The first day of a node's certificate, from now, on its host.
fn first_day(lab: &Lab, host: &str, node: &str) -> i64 {
    let dir = format!("/var/lib/dkc/{node}");
    let line = format!(
        "openssl x509 -noout -startdate -in {dir}/tls/node.crt | cut -d= -f2 | date -f - +%s; date +%s"
    );
    let said = lab.sh(host, &line).ok().stdout;
    let times: Vec<i64> = said.lines().map(|line| line.parse().expect("seconds")).collect();
    (times[0] - times[1] + 7200) / 86_400
}

#[test]
fn hosts_whose_clocks_move_have_certificates_of_their_time_and_connect_again() {
    let lab = Lab::up(4, &[]);
    for (host, _) in NODES {
        set_days_ahead(&lab, host, 0);
        lab.sh(host, "echo DKCD_TEST_CLOCK_AHEAD=/etc/dkc-ahead >> /etc/environment").ok();
    }
    registered(&lab);
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("start slave --id 0 --yes").ok();
    start_writer(&lab);
    wait_until_acknowledged(&lab, 20);
    let moves = |nodes: &[(&str, &str)], days: i64| {
        nodes.iter().for_each(|(host, _)| set_days_ahead(&lab, host, days));
        wait_for(&format!("certificates of day {days}"), Duration::from_secs(30), || {
            nodes.iter().all(|(host, node)| first_day(&lab, host, node) == days).then_some(())
        });
    };
    // One clock is wrong for a while: what was signed meanwhile is for nobody, and is replaced.
    moves(&NODES[2..3], 60);
    moves(&NODES[2..3], 0);
    for turn in 0..3 {
        everybody_connects_anew(&lab, turn);
    }
    // Time passes for all.
    moves(&NODES, 60);
    for turn in 0..3 {
        everybody_connects_anew(&lab, turn);
    }
    ends_well(&lab);
}
