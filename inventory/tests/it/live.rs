//! What `top` makes of two looks at a cluster.

use dkc_core::control::{Latency, RoleStatus, ServerStatus, TabletStatus};
use dkc_core::ids::{NodeId, TabletId};
use dkc_inventory::live::{EVENTS_MAX, HISTORY_MAX, Live, Look};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{Observed, RunState};

use crate::lab;
use crate::plans::running;

fn node(number: u32) -> NodeName {
    NodeName::Server("c0".parse().unwrap(), dkc_core::ids::MemberNo(number))
}

/// Changes what a server says of itself.
fn say(inventory: &Inventory, observed: &mut Observed, number: u32, change: impl FnOnce(&mut ServerStatus)) {
    let host = inventory.host_of(&node(number)).unwrap();
    let view = lab::facts_mut(observed, host.as_str()).nodes.get_mut(&node(number)).unwrap();
    let Some(status) = &mut view.status else { panic!("server {number} says nothing") };
    let RoleStatus::Server(said) = &mut status.role else { panic!("not a server") };
    change(said);
}

fn look(inventory: &Inventory, observed: &Observed, at_ms: u64) -> Look {
    Look::of(inventory, observed, &"c0".parse().unwrap(), at_ms).expect("it is registered")
}

fn tablet(leader: u64, term: u64) -> TabletStatus {
    TabletStatus {
        tablet: TabletId(0),
        leader: Some(NodeId(leader)),
        term,
        last_index: 9,
        applied_index: 9,
        records: 1,
        bytes: 1,
        operations: 0,
    }
}

fn words(live: &Live) -> Vec<&str> {
    live.events.iter().map(|event| event.words.as_str()).collect()
}

#[test]
fn rates_and_latencies_are_those_between_two_looks() {
    let (inventory, mut observed) = running();
    let serve = |observed: &mut Observed, reads: u64, writes: u64, counts: &[u64]| {
        say(&inventory, observed, 0, |said| {
            (said.served.reads, said.served.writes) = (reads, writes);
            said.served.write_latency = Latency { counts: counts.to_vec(), sum_us: 0 };
        });
    };
    let mut live = Live::default();
    serve(&mut observed, 1_000, 500, &[500]);
    live.take(look(&inventory, &observed, 0));
    assert_eq!(live.picture.as_ref().unwrap().rates, None, "one look has no rate");

    serve(&mut observed, 3_000, 600, &[500, 0, 90, 10]);
    live.take(look(&inventory, &observed, 2_000));
    let rates = live.picture.as_ref().unwrap().rates.as_ref().unwrap();
    assert_eq!((rates.reads_per_s, rates.writes_per_s), (1_000, 50));
    assert_eq!(rates.write_latency.per_mille_us(500), Some(500));
    assert_eq!(rates.write_latency.per_mille_us(990), Some(1_000));
    assert_eq!(live.operations, [1_050]);
    assert!(live.events.is_empty(), "{:?}", live.events);
}

#[test]
fn a_server_that_was_restarted_has_no_rate_until_it_was_seen_twice() {
    let (inventory, mut observed) = running();
    let mut live = Live::default();
    live.take(look(&inventory, &observed, 0));
    let host = inventory.host_of(&node(1)).unwrap();
    let view = lab::facts_mut(&mut observed, host.as_str()).nodes.get_mut(&node(1)).unwrap();
    view.status.as_mut().unwrap().pid = 101;
    live.take(look(&inventory, &observed, 1_000));
    let rates = |live: &Live, number: usize| live.picture.as_ref().unwrap().servers[number].rates.clone();
    assert_eq!((rates(&live, 0).is_some(), rates(&live, 1)), (true, None));
    live.take(look(&inventory, &observed, 2_000));
    assert!(rates(&live, 1).is_some());
}

#[test]
fn events_say_what_changed_and_what_is_worse() {
    let (inventory, mut observed) = running();
    let mut live = Live::default();
    for number in 0..3 {
        say(&inventory, &mut observed, number, |said| said.tablets = vec![tablet(1, 4)]);
    }
    live.take(look(&inventory, &observed, 0));

    // Server 0 (node 1) stops; server 1 (node 2) leads in a higher term, which server 2 has not heard of.
    let host = inventory.host_of(&node(0)).unwrap();
    let view = lab::facts_mut(&mut observed, host.as_str()).nodes.get_mut(&node(0)).unwrap();
    (view.run, view.status) = (RunState::Stopped, None);
    say(&inventory, &mut observed, 1, |said| said.tablets = vec![tablet(2, 5)]);
    live.take(look(&inventory, &observed, 1_000));
    assert_eq!(
        words(&live),
        [
            "cluster c0: running -> degraded (2 of 3 servers running)",
            "server 0: running -> stopped",
            "tablet 0: leader is server 1 (was 0)",
        ]
    );
    assert!(live.events[1].is_bad && !live.events[2].is_bad);

    for number in 1..3 {
        say(&inventory, &mut observed, number, |said| said.tablets[0].leader = None);
    }
    live.take(look(&inventory, &observed, 2_000));
    assert_eq!(words(&live)[3..], ["tablet 0: no leader known"]);
}

#[test]
fn what_is_kept_is_bounded() {
    let (inventory, observed) = running();
    let mut silent = observed.clone();
    lab::silence(&mut silent, "10.77.0.12");
    let mut live = Live::default();
    for at in 0..1_000 {
        live.take(look(&inventory, if at % 2 == 0 { &observed } else { &silent }, at * 1_000));
    }
    assert_eq!(live.operations.len(), HISTORY_MAX);
    assert_eq!(live.write_p99_us.len(), HISTORY_MAX);
    assert_eq!(live.events.len(), EVENTS_MAX);
    assert_eq!(live.events.back().unwrap().at_ms, 999_000);
}
