//! Whole servers as processes on loopback: founding, service through the death of a leader, restarts, snapshots,
//! refusals.

mod lab;

use dkc_core::control::{ControlReply, ControlRequest, DataReply};
use lab::Lab;

fn is_stored(reply: &ControlReply) -> bool {
    matches!(reply, ControlReply::Data(DataReply::Stored { .. }))
}

#[test]
fn three_servers_are_founded_and_keep_what_they_are_given() {
    let lab = Lab::founded(3, 12, |_| {});
    assert_eq!(lab.servers[1].ask(&ControlRequest::Found), ControlReply::Ok, "founding again changes nothing");
    for number in 0..100 {
        let reply = lab.servers[number % 3].set(&format!("key-{number}"), &format!("value-{number}"));
        assert!(is_stored(&reply), "{reply:?}");
    }
    for number in 0..100 {
        let found = lab.servers[(number + 1) % 3].get(&format!("key-{number}"));
        assert_eq!(found, Some(format!("value-{number}")));
    }
    assert_eq!(lab.servers[0].get("no such key"), None);
}
