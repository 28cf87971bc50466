//! `bench` from the admin's machine, where no slave is: on a slave's host, and through a slave that exists for the run only.

use crate::support::lab::Lab;

const LOAD: &str = "--seconds 1 --clients 4 --keys 1 -o json";

/// One server on h1; the slave on h2 stays registered only when it is wanted.
fn one_server(hosts: usize) -> Lab {
    let lab = Lab::up(hosts, &[]);
    let addresses: Vec<String> = (1..=hosts).map(|n| format!("10.77.0.1{n}")).collect();
    lab.dkc(&format!("register host --accept-new {}", addresses.join(" "))).ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok();
    lab
}

#[test]
fn bench_runs_on_the_host_of_a_slave_or_brings_its_own() {
    let lab = one_server(2);
    lab.dkc("bench -n c0").exits(1).says("it is not founded").says("start cluster -n c0");
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    let nothing_is_left = || {
        lab.sh("admin", "ls -d /tmp/dkc-bench-* 2>/dev/null; pgrep -af '[d]kcd run' || true").prints("");
    };

    // No slave at all: one for this run.
    let ran = lab.dkc(&format!("bench {LOAD}")).ok();
    assert!(ran.stdout.contains("\"target\": \"c0 (own slave)\""), "{}", ran.stdout);
    assert!(
        !ran.stdout.contains("\"operations\": 0,") && ran.stdout.contains("\"errors\": 0,"),
        "{}",
        ran.stdout
    );
    nothing_is_left();
    lab.dkc("data print -n c0 bench:0").ok().says("xxx");

    // One on another host: the load runs there.
    lab.dkc("register slave --cluster c0 --host 10.77.0.12").ok();
    lab.dkc("register pair --id 0 --listen 127.0.0.1:11211").ok();
    lab.dkc(&format!("bench {LOAD}")).exits(1).says("slave 0 on 10.77.0.12").says("status slave");
    lab.dkc("deploy --yes").ok();
    lab.dkc(&format!("bench {LOAD}")).exits(1).says("refused").says("is it deployed and running?");
    lab.dkc("start slave --id 0 --yes").ok();
    let ran = lab.dkc(&format!("bench {LOAD}")).ok();
    assert!(ran.stdout.contains("\"target\": \"slave 0 on 10.77.0.12\""), "{}", ran.stdout);
    assert!(
        !ran.stdout.contains("\"operations\": 0,") && ran.stdout.contains("\"errors\": 0,"),
        "{}",
        ran.stdout
    );

    // Its host is silent: no other one is guessed, and the way out is named.
    lab.run(&["freeze", "h2"]).ok();
    lab.dkc(&format!("bench {LOAD}")).exits(7).says("no host with a slave answers").says("--own-slave");
    let own = lab.dkc(&format!("bench --own-slave {LOAD}")).ok();
    assert!(own.stdout.contains("own slave"), "{}", own.stdout);
    lab.run(&["thaw", "h2"]).ok();

    // Without the cluster's key nothing can be signed, and without servers nothing can be reached.
    lab.sh("admin", "mv /root/inventory/authority/c0/ca.key /root/ca.key").ok();
    lab.dkc(&format!("bench --own-slave {LOAD}")).exits(1).says("no ca.key in").says("no request was sent");
    lab.sh("admin", "mv /root/ca.key /root/inventory/authority/c0/ca.key").ok();
    lab.dkc("stop slave --id 0 --yes").ok();
    lab.dkc("stop cluster -n c0 --yes").ok();
    lab.dkc(&format!("bench --own-slave {LOAD}")).exits(1).says("server 0 at 10.77.0.11:8020");
    nothing_is_left();
}
