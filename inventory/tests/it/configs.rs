//! Configuration groups: who wins, what is refused, and what a change of a group means for its clusters.

use dkc_inventory::edit::{self, Change, EditError, ModifyCluster, ModifyConfig, RegisterConfig};
use dkc_inventory::model::Inventory;
use dkc_inventory::{render, yaml};

use crate::lab::three_servers;

fn overrides(words: &str) -> dkc_inventory::model::Overrides {
    let pair = |word: &str| {
        let (name, value) = word.split_once('=').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    words.split_whitespace().map(pair).collect()
}

fn register(inventory: &Inventory, name: &str, set: &str) -> Result<Inventory, EditError> {
    let request = RegisterConfig { name: name.parse().unwrap(), set: overrides(set) };
    edit::register_config(inventory, &request).map(|edited| edited.inventory)
}

fn modify(inventory: &Inventory, name: &str, set: &str, unset: &[&str]) -> Result<Inventory, EditError> {
    let unset = unset.iter().map(|name| (*name).to_owned()).collect();
    let request = ModifyConfig { name: name.parse().unwrap(), set: overrides(set), unset };
    edit::modify_config(inventory, &request).map(|edited| edited.inventory)
}

fn cluster(inventory: &Inventory, config: Change<&str>, set: &str) -> Result<Inventory, EditError> {
    let config = match config {
        Change::Keep => Change::Keep,
        Change::Reset => Change::Reset,
        Change::Set(name) => Change::Set(name.parse().unwrap()),
    };
    let (name, set) = ("c0".parse().unwrap(), overrides(set));
    let request = ModifyCluster { name, replicas: None, tablets: None, config, set, unset: Vec::new() };
    edit::modify_cluster(inventory, &request).map(|edited| edited.inventory)
}

fn attached() -> Inventory {
    let inventory = register(&three_servers(), "prod", "heartbeat_ms=60 log_level=warn").unwrap();
    cluster(&inventory, Change::Set("prod"), "log_level=debug").unwrap()
}

#[track_caller]
fn refused(result: Result<Inventory, EditError>, want: &str) {
    let problem = result.expect_err(want).problem();
    let text = format!("{} {} {}", problem.code, problem.what, problem.cause.join(" "));
    assert!(text.contains(want), "{text}");
}

#[test]
fn what_is_set_for_a_cluster_comes_before_its_group_and_the_group_before_the_default() {
    let inventory = attached();
    let shown = |of: Vec<dkc_inventory::parameters::Resolved>, name: &str| {
        let found = of.into_iter().find(|resolved| resolved.parameter.name == name).unwrap();
        format!("{} ({})", found.value, found.origin)
    };
    let of_cluster = |name| shown(inventory.resolved_of_cluster(&"c0".parse().unwrap()), name);
    let of_config = |name| shown(inventory.resolved_of_config(&"prod".parse().unwrap()), name);
    assert_eq!(of_cluster("heartbeat_ms"), "60 (config prod)");
    assert_eq!(of_cluster("log_level"), "debug (cluster c0)");
    assert_eq!(of_cluster("read"), "lease (default)");
    assert_eq!(of_config("log_level"), "warn (config prod)");
    assert_eq!(of_config("read"), "lease (default)");
    for node in inventory.node_names() {
        let parameters = render::node_config(&inventory, &node).unwrap().parameters;
        assert_eq!((parameters.heartbeat_ms, parameters.log_level.as_str()), (60, "debug"), "{node}");
    }
    let detached = cluster(&inventory, Change::Reset, "").unwrap();
    let node = &detached.node_names()[0];
    assert_eq!(render::node_config(&detached, node).unwrap().parameters.heartbeat_ms, 75);
}

#[test]
fn a_group_is_read_back_from_its_file_and_an_unknown_one_is_refused_with_its_place() {
    let inventory = attached();
    let text = yaml::to_text(&inventory);
    assert!(text.contains("configs:\n  prod:\n    heartbeat_ms: 60\n    log_level: warn\n"), "{text}");
    assert_eq!(yaml::parse(&text, "f").unwrap(), inventory);
    let check = |from: &str, to: &str, want: &str| {
        let error = yaml::parse(&text.replacen(from, to, 1), "f").expect_err(want);
        assert!(error.to_string().contains(want), "{error}");
    };
    check(
        "    config: prod\n",
        "    config: test\n",
        "cluster c0: configuration group test is not registered",
    );
    check(
        "heartbeat_ms: 60",
        "heartbeat_ms: 6",
        "configuration group prod: invalid parameter: heartbeat_ms is a number from 10",
    );
    let retired = text.replacen("    heartbeat_ms: 60\n", "    cache_bytes: 5\n    heartbeat_ms: 60\n", 1);
    assert_eq!(yaml::parse(&retired, "f").unwrap(), inventory);
}

#[test]
fn bad_values_are_refused_with_their_range_also_when_only_a_cluster_makes_them_bad() {
    let inventory = attached();
    refused(
        register(&inventory, "test", "heartbeat_ms=9000"),
        "DKC-E0210 invalid parameter: heartbeat_ms is a number from 10 to 5000, not 9000",
    );
    refused(register(&inventory, "test", "hartbeat=9"), "'hartbeat' is not a parameter");
    refused(
        register(&inventory, "c0", ""),
        "a cluster has this name; its own parameters: modify config -c c0",
    );
    refused(
        register(&inventory, "prod", "heartbeat_ms=61"),
        "DKC-E0401 configuration group prod is already registered with different values heartbeat_ms differs",
    );
    assert_eq!(register(&inventory, "prod", "heartbeat_ms=60").unwrap(), inventory, "the same again");
    refused(modify(&inventory, "prod", "", &["hartbeat"]), "invalid parameter 'hartbeat': known parameters");
    refused(modify(&inventory, "test", "", &[]), "DKC-E0306 configuration group test is not registered");
    refused(
        cluster(&inventory, Change::Set("test"), ""),
        "DKC-E0306 configuration group test is not registered",
    );
    // Good for the group, and not for a cluster with another heartbeat.
    let slow = cluster(&inventory, Change::Keep, "heartbeat_ms=80").unwrap();
    let words = "election_timeout_min_ms=230";
    modify(&inventory, "prod", words, &[]).unwrap();
    refused(
        modify(&slow, "prod", words, &[]),
        "invalid parameter of cluster c0: election_timeout_min_ms is 230, but must be at least 3 heartbeats (240 ms)",
    );
}

#[test]
fn a_group_that_clusters_are_attached_to_is_not_removed_and_keeps_the_limit_of_founded_ones() {
    let inventory = attached();
    let prod = "prod".parse().unwrap();
    refused(
        edit::unregister_config(&inventory, &prod).map(|e| e.inventory),
        "DKC-E0402 configuration group prod is in use used by cluster c0",
    );
    let limit = "value_max_bytes=2097152";
    modify(&inventory, "prod", limit, &[]).unwrap();
    let founded = edit::record_founded(&inventory, &"c0".parse().unwrap()).inventory;
    refused(modify(&founded, "prod", limit, &[]), "DKC-E0407 value_max_bytes of c0 can no longer change");
    let large = register(&founded, "large", limit).unwrap();
    refused(
        cluster(&large, Change::Set("large"), ""),
        "DKC-E0407 value_max_bytes of c0 can no longer change",
    );
    let detached = cluster(&inventory, Change::Reset, "").unwrap();
    let gone = edit::unregister_config(&detached, &prod).unwrap().inventory;
    assert!(gone.configs.is_empty());
    refused(edit::unregister_config(&gone, &prod).map(|e| e.inventory), "DKC-E0306");
}
