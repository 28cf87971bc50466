//! What must survive: a server killed while applications write, a server cut off from the others though not from its
//! clients, all servers losing power at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::lab::Lab;
use crate::support::ring::{founded, talk};
use crate::support::wait_for;

/// A writer on the slave's host, in the shell's own words: numbers every write and notes each that was acknowledged.
/// It ends when `/tmp/enough` appears.
const WRITER: &str = r#"
n=0
connect() { until exec 3<>/dev/tcp/127.0.0.1/11211; do sleep 0.1; done 2>/dev/null; }
connect
while [ ! -e /tmp/enough ]; do
  n=$((n + 1))
  printf 'set w:%s 0 0 %s\r\n%s\r\n' "$n" "${#n}" "$n" >&3 || connect
  if read -r -t 20 answer <&3; then
    case $answer in STORED*) echo "$n" >> /tmp/acked ;; *) echo "$n $answer" >> /tmp/refused ;; esac
  else connect; fi
done
touch /tmp/ended
"#;

fn start_writer(lab: &Lab) {
    lab.sh("h4", &format!("cat > /tmp/writer <<'END'\n{WRITER}\nEND\nsetsid bash /tmp/writer </dev/null >/tmp/writer.log 2>&1 &")).ok();
}

fn acknowledged(lab: &Lab) -> Vec<u64> {
    lab.sh("h4", "cat /tmp/acked 2>/dev/null || true").stdout.lines().filter_map(|l| l.parse().ok()).collect()
}

fn wait_until_acknowledged(lab: &Lab, count: usize) {
    wait_for(&format!("{count} acknowledged writes"), Duration::from_secs(120), || {
        (acknowledged(lab).len() >= count).then_some(())
    });
}

fn end_writer(lab: &Lab) {
    lab.sh("h4", "touch /tmp/enough").ok();
    wait_for("the writer to end", Duration::from_secs(60), || {
        (lab.sh("h4", "test -e /tmp/ended").status == 0).then_some(())
    });
}

/// Every acknowledged write must be readable through the slave.
#[track_caller]
fn all_acknowledged_are_there(lab: &Lab) {
    let acked = acknowledged(lab);
    assert!(acked.len() >= 100, "only {} writes were acknowledged: the test proves nothing", acked.len());
    let mut found = BTreeMap::new();
    for part in acked.chunks(100) {
        let mut question = String::new();
        part.iter().for_each(|n| question.push_str(&format!("get w:{n}\r\n")));
        question.push_str("quit\r\n");
        let said = talk(lab, "h4", 11211, &question);
        let mut lines = said.lines();
        while let Some(line) = lines.next() {
            if let Some(key) = line.strip_prefix("VALUE w:") {
                let number: u64 = key.split(' ').next().unwrap().parse().unwrap();
                found.insert(number, lines.next().unwrap_or_default().to_owned());
            }
        }
    }
    let lost: Vec<&u64> = acked.iter().filter(|n| found.get(n) != Some(&n.to_string())).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are lost: {lost:?}", lost.len(), acked.len());
}

#[test]
fn a_server_killed_during_writes_loses_nothing_and_service_resumes() {
    let lab = founded(4, &[]);
    start_writer(&lab);
    wait_until_acknowledged(&lab, 200);
    // The daemon and its supervisor, so that it stays dead. No shell: its own command line would match too.
    lab.on("h2", &["pkill", "-9", "-f", "dkcd"]).ok();
    let before = acknowledged(&lab).len();
    wait_until_acknowledged(&lab, before + 200);
    lab.dkc("status cluster --short").says("c0: degraded");
    end_writer(&lab);
    all_acknowledged_are_there(&lab);
    lab.dkc("start cluster -n c0 --yes").ok();
    wait_for("c0: running", Duration::from_secs(30), || {
        (lab.dkc("status cluster --short").stdout.trim() == "c0: running").then_some(())
    });
}

#[test]
fn a_leader_cut_off_from_the_others_but_not_from_the_slave_loses_nothing_and_answers_nothing_old() {
    let lab = founded(4, &[]);
    start_writer(&lab);
    wait_until_acknowledged(&lab, 200);
    // h1 leads a third of the tablets, and the slave goes on reaching it.
    lab.run(&["cut", "h1", "h2"]).ok();
    lab.run(&["cut", "h1", "h3"]).ok();
    let before = acknowledged(&lab).len();
    wait_until_acknowledged(&lab, before + 200);
    // Read while h1 is still cut off: an answer from its old state would lack what was written since.
    all_acknowledged_are_there(&lab);
    lab.run(&["heal"]).ok();
    let before = acknowledged(&lab).len();
    wait_until_acknowledged(&lab, before + 200);
    end_writer(&lab);
    all_acknowledged_are_there(&lab);
    wait_for("c0: running", Duration::from_secs(30), || {
        (lab.dkc("status cluster --short").stdout.trim() == "c0: running").then_some(())
    });
}

#[test]
fn a_power_cut_of_all_servers_at_once_loses_nothing_acknowledged() {
    let lab = founded(4, &[]);
    start_writer(&lab);
    wait_until_acknowledged(&lab, 300);
    lab.run(&["powercut", "h1", "h2", "h3"]).ok();
    end_writer(&lab);
    for host in ["h1", "h2", "h3"] {
        lab.run(&["boot", host]).ok();
    }
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("status cluster --short").ok().prints("c0: running");
    all_acknowledged_are_there(&lab);
}
