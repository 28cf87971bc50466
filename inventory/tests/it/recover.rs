//! `recover`: what its plan says is read, lost and done, in which order; and where it is refused.

use std::collections::{BTreeMap, BTreeSet};

use dkc_core::ids::{ClusterName, MemberNo, NodeId, TabletId};
use dkc_core::ring::SlotId;
use dkc_core::salvage::{LogPosition, SalvagedReplica, SalvagedServer, SalvagedTablet, SlotRange};
use dkc_inventory::edit::{self, EditError, RecoverCluster, record_founded};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{HostView, Observed, RunState};
use dkc_inventory::plan::{self, Endpoint, Found, Plan, RecoverRequest, Refused};

use crate::lab::{self, deploy_request, operation, refused};
use crate::plans::{deployed, running};

fn name() -> ClusterName {
    "c0".parse().unwrap()
}

/// A founded cluster of three servers that are stopped; the directories of those whose numbers are given are there.
fn stopped(present: &[u32]) -> (Inventory, Observed) {
    let (inventory, mut observed) = deployed();
    for number in (0..3).filter(|number| !present.contains(number)) {
        let node = NodeName::Server(name(), MemberNo(number));
        let host = inventory.host_of(&node).unwrap();
        lab::facts_mut(&mut observed, host.as_str()).nodes.remove(&node);
    }
    (record_founded(&inventory, &name()).inventory, observed)
}

fn recoverable(inventory: &Inventory, observed: &Observed, lost: &[u32]) -> Result<Vec<u32>, Refused> {
    let lost: BTreeSet<MemberNo> = lost.iter().copied().map(MemberNo).collect();
    let found = plan::recoverable(inventory, observed, &name(), &lost)?;
    Ok(found.keys().map(|number| number.0).collect())
}

/// A server with the tablets that are given, of two in all, as far as an entry.
fn found(inventory: &Inventory, servers: &[(u32, &[u16], u64)]) -> Found {
    let replica = |index| SalvagedReplica {
        end: LogPosition { term: 2, index },
        voters: vec![[1, 2, 3].map(NodeId).into()],
    };
    let tablet = |id: u16, index| SalvagedTablet {
        tablet: TabletId(id),
        slots: SlotRange { first: SlotId(id * 8_192), last: SlotId(id * 8_192 + 8_191) },
        replica: replica(index),
        clock_ms: 1_000,
        records: 10,
        split_from: None,
    };
    let read = |(number, tablets, index): &(u32, &[u16], u64)| {
        let server = inventory.server(&name(), MemberNo(*number)).unwrap();
        let salvaged = SalvagedServer {
            cluster_id: inventory.clusters[&name()].id,
            node_id: server.node_id,
            node_uuid: server.node_uuid,
            is_put_back: false,
            meta: Some(replica(9)),
            tablets: tablets.iter().map(|id| tablet(*id, *index)).collect(),
        };
        let endpoint =
            Endpoint { host: server.address.host.clone(), dir: format!("/var/lib/dkc/c0-{number}") };
        (MemberNo(*number), (endpoint, salvaged))
    };
    Found { read: servers.iter().map(read).collect(), damaged: BTreeMap::new() }
}

fn request(inventory: &Inventory, found: Found) -> RecoverRequest {
    RecoverRequest {
        operation: operation("recover -n c0"),
        cluster: name(),
        base: inventory.generation,
        program: deploy_request().program,
        old: inventory.clusters[&name()].clone(),
        found,
        backup: "left".into(),
        directory: "/b/left".into(),
        time_of: |ms| format!("{ms} ms"),
    }
}

fn recovered(inventory: &Inventory, servers: &str) -> Result<Inventory, EditError> {
    let servers = servers.split(' ').map(|word| word.parse().unwrap()).collect();
    let request = RecoverCluster { name: name(), servers };
    let mut next = 0x7000_u128;
    let mut fresh = || {
        next += 1;
        uuid::Uuid::from_u128(0x3000_0000_0000_4000_8000_0000_0000_0000 + next)
    };
    edit::recover_cluster(inventory, &request, &mut fresh).map(|edited| edited.inventory)
}

fn planned(inventory: &Inventory, observed: &Observed, found: Found) -> Result<Plan, Refused> {
    let after = recovered(inventory, "10.77.0.11:8020").unwrap();
    plan::recover(&after, observed, &request(inventory, found))
}

#[test]
fn the_new_cluster_has_another_id_and_nothing_of_the_old_one_is_used_again() {
    let (inventory, _) = stopped(&[0]);
    let after = recovered(&inventory, "10.77.0.11:8020 10.77.0.21:8020").unwrap();
    let (old, new) = (&inventory.clusters[&name()], &after.clusters[&name()]);
    assert_ne!(old.id, new.id);
    assert!(!new.founded && after.generation == inventory.generation.next());
    let numbers = |servers: &[dkc_inventory::model::Server]| -> Vec<(u32, u64)> {
        servers.iter().map(|server| (server.number.0, server.node_id.0)).collect()
    };
    assert_eq!(numbers(&new.servers), [(3, 4), (4, 5)]);
    assert_eq!(numbers(&new.removed), [(0, 1), (1, 2), (2, 3)]);
    assert_eq!((new.replicas, new.tablets, new.next_node_id), (old.replicas, old.tablets, NodeId(6)));
    // Its servers found it with each other, not with those of the old one.
    let node = NodeName::Server(name(), MemberNo(3));
    let config = dkc_inventory::render::node_config(&after, &node).unwrap();
    assert_eq!(config.servers.iter().map(|server| server.number.0).collect::<Vec<_>>(), [3, 4]);
    assert!(matches!(recovered(&inventory, "10.9.9.9:8020"), Err(EditError::UnknownHost { .. })));
}

#[test]
fn only_stopped_servers_are_read_and_who_does_not_answer_is_given_up_by_name() {
    let (inventory, observed) = stopped(&[0, 2]);
    assert_eq!(recoverable(&inventory, &observed, &[]).unwrap(), [0, 2]);
    let mut silent = observed.clone();
    lab::silence(&mut silent, "10.77.0.12");
    let check = |observed: &Observed, lost: &[u32], why: &str| {
        let said = refused(recoverable(&inventory, observed, lost));
        assert!(said.contains(why), "{said}");
    };
    check(&silent, &[], "No.1 does not answer, and may serve with others");
    assert_eq!(recoverable(&inventory, &silent, &[1]).unwrap(), [0, 2]);
    check(&observed, &[0], "the host of No.0, 10.77.0.11, answers");
    check(&observed, &[9], "9 is not registered");
    let (founded, all_run) = running();
    check(&all_run, &[], "No.0, No.1, No.2 still run");
    let mut restarting = observed.clone();
    let node = NodeName::Server(name(), MemberNo(0));
    lab::facts_mut(&mut restarting, "10.77.0.11").nodes.get_mut(&node).unwrap().run =
        RunState::Running { pid: 7 };
    check(&restarting, &[], "No.0 still runs");
    let (never, nothing) = deployed();
    assert!(refused(recoverable(&never, &nothing, &[])).contains("it was never founded"));
    assert!(refused(recoverable(&Inventory::empty(), &observed, &[])).contains("c0 is not registered"));
    drop(founded);
}

#[test]
fn a_majority_is_to_be_started_and_nothing_cannot_be_recovered() {
    let (inventory, observed) = stopped(&[0, 1]);
    let two = found(&inventory, &[(0, &[0, 1], 5), (1, &[0, 1], 6)]);
    let said = refused(planned(&inventory, &observed, two));
    assert!(said.contains("No.0, No.1 are a majority, and lose nothing"), "{said}");
    let none = Found { read: BTreeMap::new(), damaged: [(MemberNo(0), "torn".to_owned())].into() };
    let said = refused(planned(&inventory, &observed, none));
    assert!(said.contains("no server has data that can be read; No.0: torn"), "{said}");
}

#[test]
fn the_plan_says_what_may_be_lost_and_reads_before_it_changes_anything() {
    let (inventory, observed) = stopped(&[0]);
    let plan = planned(&inventory, &observed, found(&inventory, &[(0, &[0, 1], 5)])).unwrap();
    let word = format!("c0@g{}", inventory.generation);
    assert_eq!((plan.danger, plan.confirm.as_ref()), (plan::Danger::LosesData, Some(&word)));
    assert_eq!((plan.base, plan.running), (inventory.generation, inventory.generation.next()));
    let steps: Vec<String> = plan.steps.iter().map(|step| step.action.words()).collect();
    let place = |words: &str| {
        steps.iter().position(|step| step.contains(words)).unwrap_or_else(|| panic!("{words}: {steps:#?}"))
    };
    let order = [
        "read what is left of c0 in c0-0",
        "mark /var/lib/dkc/c0-0 as removed; its data stays",
        "create another certificate authority of c0, and keep the old one",
        "initialise /var/lib/dkc/c0-3/data",
        "start c0-3",
        "found the ring through c0-3",
        "store and count the records of /b/left",
        "write and read back a key of every tablet through c0-3",
        "start c0-slave0",
    ];
    let places: Vec<usize> = order.iter().map(|words| place(words)).collect();
    assert!(places.is_sorted(), "{steps:#?}");
    let said = plan.impact.join("\n");
    for words in [
        "reads about 20 records from No.0: tablets 0 (term 2, entry 5), 1 (term 2, entry 5)",
        "MAY BE LOST: writes to tablets 0 (term 2, entry 5), 1 (term 2, entry 5) that were acknowledged after what is \
         read ends (about 1000 ms)",
        "old directories stay, and never start again: 10.77.0.11:/var/lib/dkc/c0-0",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("LOST: all"), "{said}");
}

#[test]
fn what_nobody_has_is_named_and_a_host_that_is_away_changes_nothing() {
    let (inventory, mut observed) = stopped(&[0]);
    lab::silence(&mut observed, "10.77.0.13");
    lab::silence(&mut observed, "10.77.0.21");
    let mut half = found(&inventory, &[(0, &[1], 5)]);
    half.damaged.insert(MemberNo(1), "a log segment is torn".into());
    let said = planned(&inventory, &observed, half.clone()).unwrap().impact.join("\n");
    for words in [
        "LOST: all records of 8192 slots (50.0 % of all keys): no server that can be read has slots 0-8191",
        "No.1 is not read: a log segment is torn",
        "never start again what cannot be reached: No.2 on 10.77.0.13",
        "slave 0 cannot be reached: deploy and restart later",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let only = plan::salvage(&inventory, &request(&inventory, half)).unwrap();
    assert_eq!((only.steps.len(), only.danger), (1, plan::Danger::Reversible));
    assert_eq!(only.target, inventory.generation, "the cluster stays as it is");
    assert!(observed.hosts.values().any(|view| matches!(view, HostView::Silent { .. })));
}
