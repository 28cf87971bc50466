//! An application that writes through a slave, numbers every write and notes each that was acknowledged; and the
//! question afterwards whether all of them are there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cluster::talk;
use super::lab::Lab;
use super::wait_for;

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

pub fn start_writer(lab: &Lab) {
    lab.sh("h4", &format!("cat > /tmp/writer <<'END'\n{WRITER}\nEND\nsetsid bash /tmp/writer </dev/null >/tmp/writer.log 2>&1 &")).ok();
}

pub fn acknowledged(lab: &Lab) -> Vec<u64> {
    lab.sh("h4", "cat /tmp/acked 2>/dev/null || true").stdout.lines().filter_map(|l| l.parse().ok()).collect()
}

pub fn wait_until_acknowledged(lab: &Lab, count: usize) {
    wait_for(&format!("{count} acknowledged writes"), Duration::from_secs(120), || {
        (acknowledged(lab).len() >= count).then_some(())
    });
}

pub fn end_writer(lab: &Lab) {
    lab.sh("h4", "touch /tmp/enough").ok();
    wait_for("the writer to end", Duration::from_secs(60), || {
        (lab.sh("h4", "test -e /tmp/ended").status == 0).then_some(())
    });
}

/// Every acknowledged write must be readable through the slave.
#[track_caller]
pub fn all_acknowledged_are_there(lab: &Lab) {
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
