//! Tablets are split while others write: nothing that was acknowledged is lost or counted twice, also after `kill -9` of all, and the
//! new tablets move like any other.

use dkc_core::control::{ControlReply, DataRequest};
use dkc_core::ids::TabletId;
use dkc_core::kv::Reply;
use dkc_core::meta::MemberChange;
use dkc_core::ring::TabletPlace;

use crate::lab::{Lab, Server, wait_for};
use crate::membership::{service_in, while_writing};

/// Splits the tablet with the most slots, and waits for the new one.
fn split_widest(lab: &Lab, at: usize) -> TabletId {
    let ring = lab.servers[at].meta().ring;
    let widest = ring.tablets.iter().max_by_key(|place| place.last_slot.0 - place.first_slot.0).unwrap();
    let child = ring.next_tablet(0);
    let change = MemberChange::SplitTablet { tablet: widest.tablet, child };
    assert_eq!(lab.servers[at].change(change.clone()), ControlReply::Ok);
    wait_for("the new tablet is in the ring map", || lab.servers[at].meta().ring.place_of(child).is_some());
    assert_eq!(lab.servers[at].change(change), ControlReply::Ok, "a retry");
    child
}

/// Keys of all tablets, page by page.
fn keys(at: &Server) -> u64 {
    let (mut found, mut cursor) = (0, None);
    loop {
        let request = DataRequest::Keys {
            namespace: Default::default(),
            prefix: Default::default(),
            cursor,
            limit: 100,
        };
        let ControlReply::Data(Reply::Keys { keys, next }) = at.data(request) else { panic!("no keys") };
        found += keys.len() as u64;
        cursor = next;
        if cursor.is_none() {
            return found;
        }
    }
}

fn counted(at: &Server) -> u64 {
    match at.data(DataRequest::Count { namespace: Default::default() }) {
        ControlReply::Data(Reply::Count { records, .. }) => records,
        other => panic!("{other:?}"),
    }
}

/// One tablet carries everything that three servers have to do, so it is split, and another server leads the new one.
#[test]
fn a_tablet_with_more_than_its_share_of_the_load_is_split_by_itself() {
    let mut lab = Lab::founded(3, 1, |parameters| {
        parameters.split_operations_per_s = 10;
        parameters.split_after_ms = 1_200;
    });
    while_writing(&mut lab, 1, |lab| {
        wait_for("the tablet is split and the halves have two leaders", || {
            let places = lab.servers[1].meta().ring.tablets;
            let is_led_elsewhere = |place: &TabletPlace| place.preferred_leader != places[0].preferred_leader;
            places.iter().any(is_led_elsewhere)
        });
    });
    assert!(lab.servers.iter().any(|server| server.log().contains("asking for the split of a busy tablet")));
}

#[test]
fn tablets_are_split_while_others_write_and_move_afterwards() {
    let mut lab = Lab::founded(3, 1, |_| {});
    for number in 0..50 {
        lab.servers[0].set(&format!("before-{number}"), "v");
    }
    while_writing(&mut lab, 1, |lab| {
        for _ in 0..3 {
            split_widest(lab, 0);
        }
    });
    assert_eq!(lab.servers[0].meta().ring.tablets.len(), 4);
    let refused =
        lab.servers[0].change(MemberChange::SplitTablet { tablet: TabletId(9), child: TabletId(4) });
    assert!(format!("{refused:?}").contains("there is no tablet 9"), "{refused:?}");

    lab.kill_all();
    lab.start_all();
    lab.wait_for_leaders();
    for number in 0..50 {
        assert_eq!(lab.servers[2].get(&format!("before-{number}")).as_deref(), Some("v"));
    }
    // The counts are estimates until the records of both halves have been counted.
    let keys = keys(&lab.servers[0]);
    assert!(keys > 50);
    wait_for("the records are counted", || counted(&lab.servers[1]) == keys);

    while_writing(&mut lab, 0, |lab| {
        let new = lab.join(0);
        service_in(&lab.servers[0], &lab.servers[new]);
        lab.wait_until_merged(0);
    });
    let ring = lab.servers[0].meta().ring;
    let led = |node: u64| ring.tablets.iter().filter(|place| place.preferred_leader.0 == node).count();
    assert_eq!(
        (1..=4).map(led).collect::<Vec<_>>(),
        [1; 4],
        "each of four servers leads one of four tablets"
    );
}
