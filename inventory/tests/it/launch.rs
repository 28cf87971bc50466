//! A cluster launched on free hosts: which hosts are chosen, what is refused, and the plan from nothing to a cluster that serves.

use std::collections::BTreeSet;

use dkc_core::ids::HostAddress;
use dkc_inventory::edit::{self, Change, EditError, Edited, LaunchCluster, ModifyHost};
use dkc_inventory::model::Inventory;
use dkc_inventory::observed::Observed;
use dkc_inventory::plan::{self, LaunchRequest, Plan, Refused};

use crate::lab::{self, bare_hosts, deploy_request, operation, refused, three_servers};
use crate::symbolic::{apply, apply_some, record};

/// The three servers of `c0`, and free hosts of which the first two share a zone.
fn with_free_hosts() -> Inventory {
    let inventory = lab::register_hosts(&three_servers(), "10.77.1.1 10.77.1.2 10.77.1.3 10.77.1.4").unwrap();
    let (hosts, zone) = (lab::hosts("10.77.1.1 10.77.1.2"), Change::Set("east".into()));
    let zoned = ModifyHost { hosts, zone, ..ModifyHost::default() };
    edit::modify_host(&inventory.inventory, &zoned).unwrap().inventory
}

fn request(servers: usize, from: &str, slaves: &str) -> LaunchCluster {
    let set = |words: &str| -> BTreeSet<HostAddress> { lab::hosts(words).into_iter().collect() };
    LaunchCluster {
        name: "c1".parse().unwrap(),
        servers,
        from: set(from),
        port: 8020,
        replicas: None,
        tablets: None,
        config: None,
        parameters: Default::default(),
        slaves: set(slaves),
    }
}

fn launched(inventory: &Inventory, request: &LaunchCluster) -> Result<Edited, EditError> {
    let mut next = 0x5000_u128;
    edit::launch_cluster(inventory, request, &mut || {
        next += 1;
        uuid::Uuid::from_u128(0x2000_0000_0000_4000_8000_0000_0000_0000 + next)
    })
}

fn planned(inventory: &Inventory, observed: &Observed) -> Result<Plan, Refused> {
    let deploy = deploy_request();
    let request = LaunchRequest {
        operation: operation("launch"),
        cluster: "c1".parse().unwrap(),
        base: inventory.generation,
        program: deploy.program,
        authorities: [("c1".parse().unwrap(), lab::authority())].into(),
    };
    plan::launch(inventory, observed, &request)
}

const ALL: &str = "10.77.0.11 10.77.0.12 10.77.0.13 10.77.1.1 10.77.1.2 10.77.1.3 10.77.1.4";

#[test]
fn free_hosts_are_chosen_zone_by_zone_and_those_with_a_node_are_left_out() {
    let inventory = with_free_hosts();
    let chosen = |servers: usize| -> Vec<String> {
        let after = launched(&inventory, &request(servers, ALL, "")).unwrap().inventory;
        let cluster = &after.clusters[&"c1".parse().unwrap()];
        cluster.servers.iter().map(|server| server.address.to_string()).collect()
    };
    assert_eq!(chosen(3), ["10.77.1.3:8020", "10.77.1.4:8020", "10.77.1.1:8020"]);
    assert_eq!(chosen(4).last().unwrap(), "10.77.1.2:8020", "the second one of its zone");
    let told = |request: &LaunchCluster| {
        let problem = launched(&inventory, request).unwrap_err().problem();
        format!("{} {}: {}", problem.code, problem.what, problem.cause.join("; "))
    };
    assert_eq!(
        told(&request(2, "10.77.0.11 10.77.1.1", "")),
        "DKC-E0409 too few free hosts: 2 wanted, 1 free: free: 10.77.1.1; 10.77.0.11 has c0-0"
    );
    assert!(told(&request(0, ALL, "")).starts_with("DKC-E0211"));
    assert!(
        told(&LaunchCluster { replicas: Some(9), ..request(3, ALL, "") }).contains("a number from 1 to 7")
    );
    assert!(told(&request(3, ALL, "10.77.0.21")).starts_with("DKC-E0404"), "a slave listens there already");
    let nowhere = LaunchCluster { config: Some("nope".parse().unwrap()), ..request(3, ALL, "") };
    assert!(told(&nowhere).starts_with("DKC-E0306"));
}

#[test]
fn the_same_launch_again_goes_on_with_the_hosts_that_were_chosen_and_another_size_is_refused() {
    let inventory = with_free_hosts();
    let once = launched(&inventory, &request(3, ALL, "10.77.1.2 10.77.1.4")).unwrap();
    assert_eq!(once.inventory.generation, inventory.generation.next(), "one generation for all of it");
    let slaves = once.inventory.slaves_of(&"c1".parse().unwrap());
    assert_eq!(slaves.len(), 2);
    let listens = slaves.iter().map(|id| once.inventory.slaves[id].pairs.len());
    assert!(listens.eq([1, 1]), "each with its pair");
    let again = launched(&once.inventory, &request(3, ALL, "10.77.1.2 10.77.1.4")).unwrap();
    assert!(!again.is_changed && again.inventory == once.inventory);
    let problem = launched(&once.inventory, &request(2, ALL, "")).unwrap_err().problem();
    assert_eq!((problem.code, problem.cause), ("DKC-E0401", vec!["current number of servers: 3".to_owned()]));
}

#[test]
fn one_plan_leads_from_bare_hosts_to_a_cluster_that_serves_after_any_interruption() {
    let inventory = launched(&with_free_hosts(), &request(3, ALL, "10.77.1.2")).unwrap().inventory;
    let bare = bare_hosts(&inventory);
    let plan = planned(&inventory, &bare).unwrap();
    let words: Vec<String> = plan.steps.iter().map(|step| step.action.words()).collect();
    let at = |want: &str| {
        words
            .iter()
            .position(|words| words.starts_with(want))
            .unwrap_or_else(|| panic!("no {want}: {words:?}"))
    };
    let order = [
        at("upload dkcd"),
        at("create /var/lib/dkc/c1-0"),
        at("start c1-0"),
        at("wait until c1-0"),
        at("found the ring"),
        at("start c1-slave1"),
        at("wait until every replica is complete and 1 failure"),
        at("write and read back a key of every tablet"),
    ];
    assert!(order.is_sorted(), "{words:?}");
    assert_eq!(plan.impact, ["founds c1: 3 servers, 3 tablets, 3 replicas each; tolerates 1 failure"]);
    assert!(plan.target > plan.running, "its result is recorded");
    for count in 0..=plan.steps.len() {
        let there = apply_some(&bare, &plan, count);
        let rest = planned(&inventory, &there).unwrap();
        let end = apply(&there, &rest);
        let recorded = record(&record(&inventory, &plan), &rest);
        assert!(recorded.clusters[&"c1".parse().unwrap()].founded);
        let left = planned(&recorded, &end).unwrap();
        assert!(left.is_empty(), "after {count} steps:\n{}", left.text());
    }
}

#[test]
fn what_deploy_or_start_would_refuse_is_refused_before_anything_is_done() {
    let inventory = launched(&with_free_hosts(), &request(3, ALL, "")).unwrap().inventory;
    let bare = bare_hosts(&inventory);
    let check = |spoil: &dyn Fn(&mut Observed), want: &str| {
        let mut observed = bare.clone();
        spoil(&mut observed);
        assert!(refused(planned(&inventory, &observed)).contains(want), "{want}");
    };
    let first = "10.77.1.3";
    check(&|observed| lab::silence(observed, first), "no reply within 5 s");
    let port = |observed: &mut Observed| {
        lab::facts_mut(observed, first).listening.insert("0.0.0.0:8020".into());
    };
    check(&port, "port 8020 is in use by another program");
    check(&|observed| lab::facts_mut(observed, first).root_is_foreign = true, "files that are not dkc's");
    check(&|observed| lab::facts_mut(observed, first).disk_free_bytes = 1, "free, but needs");
}
