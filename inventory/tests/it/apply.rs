//! Plans that bring parameters to running nodes: who reloads, who restarts, what stands between two nodes, and what is refused.

use dkc_inventory::config_drift;
use dkc_inventory::edit::{self, Change, ModifyCluster};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{Observed, RunState};
use dkc_inventory::plan::{self, ApplyRequest, Plan, Refused, RestartRequest};

use crate::change_members::Stage;
use crate::lab::{self, operation, refused, servers};
use crate::plans::all_go_by_their_files;
use crate::symbolic::apply;

/// A running cluster with its ring, whose nodes go by their files.
fn running() -> (Inventory, Observed) {
    let mut stage = Stage::three();
    let slave = stage.inventory.node_names().pop().unwrap();
    let host = stage.inventory.host_of(&slave).unwrap();
    let view = lab::facts_mut(&mut stage.observed, host.as_str()).nodes.get_mut(&slave).unwrap();
    view.status = Some(Box::new(lab::slave_status(&stage.inventory, &slave)));
    all_go_by_their_files(&stage.inventory, &mut stage.observed);
    (stage.inventory, stage.observed)
}

fn set(inventory: &Inventory, set: &[(&str, u64)]) -> Inventory {
    let change = ModifyCluster {
        name: "c0".parse().unwrap(),
        replicas: None,
        tablets: None,
        config: Change::Keep,
        set: set.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        unset: Vec::new(),
    };
    edit::modify_cluster(inventory, &change).unwrap().inventory
}

fn planned(inventory: &Inventory, observed: &Observed) -> Result<Plan, Refused> {
    let request = ApplyRequest {
        operation: operation("apply config -c c0"),
        clusters: vec!["c0".parse().unwrap()],
        allow_silent: false,
        allow_no_quorum: false,
    };
    plan::apply(inventory, observed, &request)
}

fn words(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{}: {}", step.phase, step.action.words())).collect()
}

fn view_mut<'a>(
    inventory: &Inventory,
    observed: &'a mut Observed,
    number: usize,
) -> &'a mut dkc_inventory::observed::NodeView {
    let node: NodeName = inventory.node_names()[number].clone();
    let host = inventory.host_of(&node).unwrap();
    lab::facts_mut(observed, host.as_str()).nodes.get_mut(&node).unwrap()
}

#[test]
fn what_a_running_node_can_take_over_is_reloaded_node_by_node_behind_a_gate() {
    let (inventory, observed) = running();
    assert!(planned(&inventory, &observed).unwrap().is_empty(), "everybody goes by it");
    let changed = set(&inventory, &[("merge_incoming_max", 3)]);
    let plan = planned(&changed, &observed).unwrap();
    let turn = |phase: usize, node: &str| {
        [
            format!("{phase}: replace /var/lib/dkc/{node}/node.yaml"),
            format!("{phase}: check the configuration in /var/lib/dkc/{node}"),
            format!("{phase}: reload the configuration of {node}"),
        ]
    };
    let gate = |phase: usize, through: &str| {
        [
            format!("{phase}: wait until every replica is complete and 1 failure is tolerated"),
            format!("{phase}: write and read back a key of every tablet through {through}"),
        ]
    };
    // The leader of the meta group, c0-0, comes last of the servers; a slave's gate stands on a server.
    let want: Vec<String> = [
        turn(1, "c0-1").to_vec(),
        gate(1, "c0-1").to_vec(),
        turn(2, "c0-2").to_vec(),
        gate(2, "c0-2").to_vec(),
        turn(3, "c0-0").to_vec(),
        gate(3, "c0-0").to_vec(),
        turn(4, "c0-slave0").to_vec(),
        gate(5, "c0-0").to_vec(),
    ]
    .concat();
    assert_eq!(words(&plan), want);
    assert_eq!(plan.impact, ["reload, no restart: merge_incoming_max on c0-0, c0-1, c0-2, c0-slave0"]);
    assert_eq!(plan.danger, plan::Danger::Reversible);

    // After any number of steps the plan that is left leads to the same end.
    for count in 0..plan.steps.len() {
        let there = crate::symbolic::apply_some(&observed, &plan, count);
        let rest = planned(&changed, &there).unwrap();
        let end = apply(&there, &rest);
        assert!(planned(&changed, &end).unwrap().is_empty(), "after {count} steps: {}", rest.text());
    }
}

#[test]
fn what_needs_a_restart_restarts_one_node_at_a_time_and_what_does_not_run_gets_its_file() {
    let (inventory, mut observed) = running();
    let changed = set(&inventory, &[("heartbeat_ms", 60), ("merge_incoming_max", 3)]);
    let view = view_mut(&inventory, &mut observed, 3);
    (view.run, view.status) = (RunState::Stopped, None);
    let plan = planned(&changed, &observed).unwrap();
    let words = words(&plan);
    assert_eq!(words[0], "1: replace /var/lib/dkc/c0-slave0/node.yaml");
    let first: Vec<&str> = words.iter().filter_map(|w| w.strip_prefix("2: ")).collect();
    assert_eq!(
        first,
        [
            "replace /var/lib/dkc/c0-1/node.yaml",
            "check the configuration in /var/lib/dkc/c0-1",
            "transfer leaderships away from c0-1",
            "stop c0-1 (dkcd's own supervisor)",
            "start c0-1 (dkcd's own supervisor)",
            "wait until c0-1 is ready",
            "wait until every replica is complete and 1 failure is tolerated",
            "write and read back a key of every tablet through c0-1",
        ]
    );
    assert_eq!(
        plan.impact,
        [
            "configuration written only on c0-slave0",
            "restart: heartbeat_ms on c0-0, c0-1, c0-2",
            "c0 keeps serving; it tolerates 0 failures while a server restarts",
        ]
    );
    assert_eq!(plan.danger, plan::Danger::Disruptive);
    // Written by an earlier deploy, and never restarted.
    let text = dkc_inventory::render::config_text(
        &dkc_inventory::render::node_config(&changed, &inventory.node_names()[1]).unwrap(),
    );
    let view = view_mut(&inventory, &mut observed, 1);
    view.files.insert("node.yaml".into(), dkc_inventory::render::digest(&text));
    let plan = planned(&changed, &observed).unwrap();
    assert!(!plan.text().contains("replace /var/lib/dkc/c0-1/"), "{}", plan.text());
    assert!(plan.text().contains("start c0-1"), "{}", plan.text());
}

#[test]
fn what_would_endanger_the_cluster_is_refused() {
    let (inventory, observed) = running();
    let faster = set(&inventory, &[("heartbeat_ms", 60)]);
    let mut down = observed.clone();
    let view = view_mut(&inventory, &mut down, 2);
    (view.run, view.status, view.meta) = (RunState::Stopped, None, None);
    let text = refused(planned(&faster, &down));
    assert_eq!(text, "Refused: c0 would lose its quorum: 2 of 3 servers down, it tolerates 1");
    let reloaded = set(&inventory, &[("merge_incoming_max", 3)]);
    planned(&reloaded, &down).expect("a reload costs no quorum");

    lab::silence(&mut down, "10.77.0.13");
    assert_eq!(refused(planned(&reloaded, &down)), "Unreachable: 10.77.0.13: no reply within 5 s");

    let bare = lab::bare_hosts(&inventory);
    assert!(refused(planned(&faster, &bare)).contains("server 0 of c0 is not installed"));

    // 0.9 × 1000 of a leader with the new ones is more than the 450 of a follower with the old ones, and the other way round.
    let slow = [("election_timeout_min_ms", 1000), ("election_timeout_max_ms", 2000)];
    let text = refused(planned(&set(&inventory, &slow), &observed));
    assert!(text.contains("c0 cannot restart one server at a time with these timeouts"), "{text}");
    assert!(text.contains("election_timeout_min_ms (1000)") && text.contains("_max_ms (450)"), "{text}");
    planned(&set(&inventory, &slow[1..]), &observed).expect("the first of two changes");
    let brief = [("heartbeat_ms", 10), ("election_timeout_min_ms", 50), ("election_timeout_max_ms", 200)];
    let text = refused(planned(&set(&inventory, &brief), &observed));
    assert!(text.contains("election_timeout_min_ms (250)") && text.contains("_max_ms (200)"), "{text}");
}

#[test]
fn a_rolling_restart_has_the_same_gate_and_refuses_the_same_timeouts() {
    let (inventory, observed) = running();
    let request = RestartRequest {
        operation: operation("restart cluster -n c0 --rolling"),
        target: servers(&[]),
        rolling: true,
        allow_no_quorum: false,
    };
    let plan = plan::restart(&inventory, &observed, &request).unwrap();
    let canaries = plan.steps.iter().filter(|step| step.action.words().starts_with("write and read back"));
    assert_eq!(canaries.map(|step| step.phase).collect::<Vec<_>>(), [1, 2, 3]);
    let slow = [("election_timeout_min_ms", 1000), ("election_timeout_max_ms", 2000)];
    let changed = set(&inventory, &slow);
    let mut written = observed.clone();
    for number in 0..3 {
        let node = &inventory.node_names()[number];
        let config = dkc_inventory::render::node_config(&changed, node).unwrap();
        view_mut(&inventory, &mut written, number).config_text =
            Some(dkc_inventory::render::config_text(&config));
    }
    assert!(refused(plan::restart(&changed, &written, &request)).contains("these timeouts"));
    // So a deploy does not write them while servers run.
    let text = refused(plan::deploy(&changed, &observed, &lab::deploy_request()));
    assert!(text.contains("c0 cannot restart one server at a time with these timeouts"), "{text}");
    let mut stopped = observed.clone();
    (0..3).for_each(|number| {
        let view = view_mut(&inventory, &mut stopped, number);
        (view.run, view.status, view.meta) = (RunState::Stopped, None, None);
    });
    plan::deploy(&changed, &stopped, &lab::deploy_request()).expect("they start all at once");
    plan::restart(&changed, &written, &RestartRequest { rolling: false, ..request }).expect("all at once");
}

#[test]
fn a_difference_is_shown_with_what_takes_it_over() {
    let (inventory, mut observed) = running();
    let nodes = inventory.node_names();
    let rows = |inventory: &Inventory, observed: &Observed| -> Vec<String> {
        let rows = config_drift::rows(inventory, observed, &nodes);
        rows.iter()
            .map(|row| format!("{} {} {} → {}: {}", row.node, row.parameter, row.now, row.wanted, row.takes))
            .collect()
    };
    assert_eq!(rows(&inventory, &observed), Vec::<String>::new());
    let view = view_mut(&inventory, &mut observed, 2);
    (view.run, view.status) = (RunState::Stopped, None);
    view_mut(&inventory, &mut observed, 1).files.insert("node.yaml".into(), "by hand".into());
    lab::silence(&mut observed, "10.77.0.21");
    assert_eq!(
        rows(&inventory, &observed),
        [
            "c0-1  node.yaml was changed by hand → : writing it",
            "c0-slave0  unknown: no reply within 5 s → : a host that answers",
        ]
    );
    let changed = set(&inventory, &[("heartbeat_ms", 60), ("merge_incoming_max", 3)]);
    assert_eq!(
        rows(&changed, &observed)[..5],
        [
            "c0-0 merge_incoming_max 2 → 3: reload",
            "c0-0 heartbeat_ms 75 → 60: restart",
            "c0-1 merge_incoming_max 2 → 3: reload",
            "c0-1 heartbeat_ms 75 → 60: restart",
            "c0-2 merge_incoming_max 2 → 3: its next start",
        ]
    );
}
