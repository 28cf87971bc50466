//! What must survive: a server killed while applications write, a server cut off from the others though not from its
//! clients, all servers losing power at once, also while they ingest.

use std::time::Duration;

use crate::support::cluster::{founded, registered};
use crate::support::lab::Lab;
use crate::support::wait_for;
use crate::support::writer::{
    acknowledged, all_acknowledged_are_there, end_writer, start_writer, wait_until_acknowledged,
};

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
    // What was sent to h1 did not wait for its deadline there: the others were asked, and had it done.
    lab.sh("h4", "cat /tmp/refused 2>/dev/null || true").ok().prints("");
    lab.run(&["heal"]).ok();
    let before = acknowledged(&lab).len();
    wait_until_acknowledged(&lab, before + 200);
    end_writer(&lab);
    all_acknowledged_are_there(&lab);
    wait_for("c0: running", Duration::from_secs(30), || {
        (lab.dkc("status cluster --short").stdout.trim() == "c0: running").then_some(())
    });
}

/// Returns while h1 writes the tables of an ingestion that its engine does not name yet, as seen on the host itself.
fn wait_for_an_ingestion(lab: &Lab) {
    let look = "tables=$(ls -d /var/lib/dkc/c0-*/data/state/fjall/keyspaces/*/tables); \
                before=$(ls $tables | sort | tail -n 1000 | md5sum); n=0; \
                until [ \"$(ls $tables | sort | tail -n 1000 | md5sum)\" != \"$before\" ]; do \
                n=$((n+1)); [ $n -lt 6000 ] || exit 1; sleep 0.005; done";
    lab.sh("h1", look).ok();
}

/// Values of this size fill a generation of a server with the least memory within seconds.
const FILLING_VALUE_BYTES: usize = 8192;

#[test]
fn power_cuts_of_all_servers_while_they_ingest_lose_nothing_acknowledged() {
    let lab = Lab::up(4, &[]);
    registered(&lab);
    lab.dkc("modify cluster -n c0 --config memory_bytes=67108864").ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("start slave --id 0 --yes").ok();
    start_writer(&lab);
    for round in 1..=2 {
        let load = format!(
            "setsid /var/lib/dkc/bin/*/dkc bench --address 127.0.0.1:11211 --clients 8 --size {FILLING_VALUE_BYTES} \
             --keys 20000 --reads 0 --seconds 60 >/tmp/load 2>&1 </dev/null & echo $! > /tmp/load.pid"
        );
        lab.sh("h4", &load).ok();
        wait_until_acknowledged(&lab, acknowledged(&lab).len() + 200);
        wait_for_an_ingestion(&lab);
        lab.run(&["powercut", "h1", "h2", "h3"]).ok();
        lab.sh("h4", "kill -9 $(cat /tmp/load.pid)").ok();
        for host in ["h1", "h2", "h3"] {
            lab.run(&["boot", host]).ok();
        }
        lab.dkc("start cluster -n c0 --yes").ok();
        wait_until_acknowledged(&lab, acknowledged(&lab).len() + 100);
        println!("round {round}: {} acknowledged", acknowledged(&lab).len());
    }
    end_writer(&lab);
    lab.dkc("status cluster --short").ok().prints("c0: running");
    all_acknowledged_are_there(&lab);
}
