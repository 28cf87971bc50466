//! `launch cluster`: from registered hosts to a cluster that serves, as one plan.

use crate::cuts::cut_after_each_step;
use crate::here::Here;
use crate::support::cluster::talk;
use crate::support::lab::Lab;

#[test]
fn a_launch_that_is_killed_after_each_of_its_steps_is_resumed_to_a_cluster_that_serves() {
    let here = Here::bare(1);
    here.ok("register config -n prod log_level=warn");
    let line =
        format!("launch cluster -n c0 --servers 1 --from 127.0.0.1 --port {} --config prod", here.port(0));
    let plan = here.exits(&format!("{line} --dry-run --exit-code"), 10);
    assert!(plan.contains("found the ring through c0-0"), "{plan}");
    assert!(here.ok("list cluster").is_empty(), "a dry run registers nothing");
    here.exits(&line, 5);
    assert!(here.ok("list cluster").is_empty(), "nobody said yes");
    let steps = cut_after_each_step(&here, &format!("{line} --yes"));
    assert!(steps > 10, "only {steps} steps");
    here.ok("data set -n c0 k v");
    let shown = here.ok("show instance -o json");
    assert!(shown.contains("\"running\"") && shown.contains("\"config\": \"prod\""), "{shown}");
    // The same line again goes on with what is there, and finds nothing left.
    assert!(here.ok(&format!("{line} --yes")).contains("nothing to do"));
    here.exits("deploy --dry-run --exit-code", 0);
    let taken = here.exits("launch cluster -n c1 --servers 1 --from 127.0.0.1 --yes", 4);
    assert!(taken.contains("DKC-E0409") && taken.contains("127.0.0.1 has c0-0"), "{taken}");
}

#[test]
fn a_cluster_is_launched_on_a_group_of_hosts_with_a_slave_beside_its_applications() {
    let lab = Lab::up(5, &[]);
    lab.dkc("register host --accept-new --group rack1 10.77.0.11 10.77.0.12 10.77.0.13 10.77.0.15").ok();
    lab.dkc("register host --accept-new --group apps 10.77.0.14").ok();
    lab.dkc("launch cluster -n c0 --servers 5 --from @rack1 --yes").exits(4).says("DKC-E0409");
    lab.dkc("launch cluster -n c0 --servers 3 --from @rack1 --slaves @apps --yes").ok().says("c0: running");
    lab.dkc("status cluster --short").ok().prints("c0: running");
    let said = talk(&lab, "h4", 11211, "set k 0 0 1\r\nv\r\nget k\r\nquit\r\n");
    assert_eq!(said, "STORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n");
    lab.dkc("launch cluster -n c1 --servers 1 --from @rack1 --yes").ok();
    let shown = lab.dkc("show instance").ok().stdout.clone();
    for node in ["c0-0", "c0-1", "c0-2", "c0-slave0", "c1-0"] {
        let line =
            shown.lines().find(|line| line.starts_with(node)).unwrap_or_else(|| panic!("{node}\n{shown}"));
        assert!(line.contains("running"), "{line}");
    }
    // A dead host is shown, and nothing waits for it longer than for an answer.
    lab.run(&["kill", "h3"]).ok();
    let shown = lab.dkc("show instance --timeout 2s").ok().stdout.clone();
    assert!(shown.lines().any(|line| line.contains("10.77.0.13") && line.contains("unknown")), "{shown}");
}

#[test]
fn a_server_is_detached_and_attached_with_a_shell_that_is_killed_after_each_step() {
    let here = Here::registered(3);
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");
    (0..20).for_each(|key| drop(here.ok(&format!("data set -n c0 key-{key} {key}"))));
    let plan = here.exits("detach -n c0 --no 2 --dry-run --exit-code", 10);
    assert!(plan.contains("No.2 keeps running without data") && !plan.contains("stop c0-2"), "{plan}");
    here.exits("detach -n c0 --no 7 --yes", 3);
    let is_detached = || {
        let shown = here.ok("show instance c0/2");
        assert!(shown.contains("running"), "{shown}");
        shown.contains("detached: a member without data")
    };
    assert!(!is_detached());
    cut_after_each_step(&here, "detach -n c0 --no 2 --yes");
    assert!(is_detached());
    assert!(here.ok("detach -n c0 --no 2 --yes").contains("nothing to do"));
    let all_are_there = || {
        let counted = here.ok("data count -n c0 -o json");
        assert!(counted.contains("\"records\": 20"), "{counted}");
    };
    all_are_there();
    cut_after_each_step(&here, "attach -n c0 --no 2 --yes");
    assert!(!is_detached());
    all_are_there();
    here.exits("detach -n c0 --no 0 --no 1 --no 2 --yes", 4);
}
