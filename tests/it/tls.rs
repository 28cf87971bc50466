//! Certificates are shown, replaced while an application writes, and taken back, on real hosts.

use crate::support::cluster::{founded, talk};
use crate::support::elastic::ends_well;
use crate::support::lab::Lab;
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
