//! A configuration group reaches the nodes of its clusters with `apply config`: by a reload or a restart, node by node, and a shell
//! that is killed after any step leaves what `resume` brings to the same end.

use crate::cuts::cut_after_each_step;
use crate::here::Here;

/// A running cluster that is attached to the group `prod`.
fn attached(servers: usize) -> Here {
    let here = Here::registered(servers);
    here.ok("register config -n prod log_level=warn");
    here.ok("modify cluster -n c0 --config prod");
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");
    here
}

fn goes_by(here: &Here, number: usize, line: &str) -> bool {
    let status = here.ask(number, r#"{"do":"status"}"#);
    let in_use = status["status"]["config_in_use"].as_str().unwrap_or_default();
    in_use.lines().any(|said| said.trim() == line)
}

#[test]
fn a_group_is_reloaded_where_that_is_enough_and_what_a_node_refuses_stops_before_the_next_node() {
    let here = attached(2);
    let before = [here.pid(0), here.pid(1)];
    assert!(here.ok("diff config -n prod --exit-code").is_empty(), "everybody goes by it");
    here.ok("modify config -n prod log_level=error");
    let shown = here.exits("diff config -n prod --exit-code", 10);
    for node in ["c0-0", "c0-1"] {
        let row = shown.lines().find(|line| line.contains(node)).expect("a row");
        assert!(["log_level", "warn", "error", "reload"].iter().all(|word| row.contains(word)), "{row}");
    }
    let plan = here.exits("apply config -n prod --dry-run --exit-code", 10);
    assert!(plan.contains("reload, no restart: log_level on c0-0, c0-1"), "{plan}");
    assert!(plan.contains("write and read back a key of every tablet"), "{plan}");
    assert!(goes_by(&here, 0, "log_level: warn"), "a dry run changes nothing");
    here.exits("apply config -n prod", 5);
    here.ok("apply config -n prod --yes");
    assert!((0..2).all(|number| goes_by(&here, number, "log_level: error")));
    assert_eq!(before, [here.pid(0), here.pid(1)], "the same processes");
    assert!(here.ok("diff config -n prod").is_empty());
    assert!(here.ok("apply config -n prod --yes").contains("nothing to do"));
    let canaries = here.ok("data count -n c0 --namespace dkc-canary -o json");
    assert!(canaries.contains("\"records\": 0"), "{canaries}");

    // Only the daemon knows that this is no level: it refuses, and the other server is not touched.
    here.ok("modify config -n prod 'log_level=info,=,'");
    let said = here.exits("apply config -n prod --yes", 8);
    assert!(said.contains("invalid log_level") && said.contains("resume op-"), "{said}");
    let written = |number: usize| {
        let text = std::fs::read_to_string(format!("{}/c0-{number}/node.yaml", here.data()));
        text.expect("a file").contains("info,=,")
    };
    assert_eq!((0..2).filter(|number| written(*number)).count(), 1, "one node has it");
    assert!((0..2).all(|number| goes_by(&here, number, "log_level: error")));
    here.ok("modify config -n prod log_level=info");
    here.ok("apply config -n prod --yes");
    assert!((0..2).all(|number| goes_by(&here, number, "log_level: info")));
    assert_eq!(before, [here.pid(0), here.pid(1)]);
    // A cluster's own value comes before that of its group.
    here.ok("modify config -c c0 log_level=debug");
    here.ok("apply config -c c0 --yes");
    assert!(goes_by(&here, 1, "log_level: debug"));
    here.exits("unregister config -n prod", 4);
}

#[test]
fn an_apply_that_is_killed_after_each_of_its_steps_is_resumed_to_the_same_end() {
    let here = attached(2);
    here.ok("data set -n c0 kept yes");
    let before = [here.pid(0), here.pid(1)];
    here.ok("modify config -n prod heartbeat_ms=60");
    let steps = cut_after_each_step(&here, "apply config -n prod --yes");
    assert_eq!(steps, 2 * 8, "file, check, hand over, stop, start, wait, health, canary");
    assert!((0..2).all(|number| goes_by(&here, number, "heartbeat_ms: 60")));
    assert!((0..2).all(|number| here.pid(number) != before[number]), "both have restarted");
    assert!(here.ok("diff config -n prod").is_empty());
    assert!(here.ok("apply config -n prod --yes").contains("nothing to do"));
    assert!(here.ok("data print -n c0 kept").contains("yes"));
}
