//! Members come and go while others write: nothing that was acknowledged is lost, and who was removed stays out.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dkc_core::config::layout;
use dkc_core::control::ControlReply;
use dkc_core::ids::NodeId;
use dkc_core::kv::Reply;
use dkc_core::meta::MemberChange;

use crate::lab::{Lab, Server, wait_for};

/// Between two writes of the writer: all of them are read back at the end.
const WRITE_PACE: Duration = Duration::from_millis(10);

/// What a removed server says when another tells it, and when it finds its own mark.
const TOLD: &str = "this node was removed from the cluster and can never return, says";
const MARKED: &str = "REMOVED: removed from its cluster";

pub fn service_in(at: &Server, who: &Server) {
    assert_eq!(at.change(MemberChange::ServiceIn { node: who.entry.node_id }), ControlReply::Ok);
}
pub fn service_out(at: &Server, who: &Server) {
    assert_eq!(at.change(MemberChange::ServiceOut { node: who.entry.node_id }), ControlReply::Ok);
}
fn remove(at: &Server, who: &Server) {
    assert_eq!(at.change(MemberChange::RemoveNode { node: who.entry.node_id }), ControlReply::Ok);
}

/// Ends the writer also when the test fails: a scope waits for its threads before it lets a panic through.
struct SetOnDrop<'a>(&'a AtomicBool);
impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes through server `at` while `what` happens; afterwards all that was acknowledged is there, and most was.
pub fn while_writing(lab: &mut Lab, at: usize, what: impl FnOnce(&mut Lab)) {
    let is_over = AtomicBool::new(false);
    let socket = lab.servers[at].socket();
    let name = format!("{}", lab.servers[at].meta().ring.version);
    let acknowledged = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut acknowledged = Vec::new();
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                let (key, value) = (format!("{name}-{number}"), format!("value-{number}"));
                if crate::lab::set_at(&socket, &key, &value) {
                    acknowledged.push((key, value));
                }
                number += 1;
                std::thread::sleep(WRITE_PACE);
            }
            (number, acknowledged)
        });
        let over = SetOnDrop(&is_over);
        what(lab);
        drop(over);
        writing.join().expect("the writer ends")
    });
    let (tried, acknowledged) = acknowledged;
    assert!(acknowledged.len() * 10 >= tried * 9, "only {} of {tried} were acknowledged", acknowledged.len());
    for (key, value) in &acknowledged {
        assert_eq!(lab.servers[at].get(key).as_ref(), Some(value), "{key}");
    }
}

fn voters(at: &Server) -> Vec<Vec<NodeId>> {
    at.meta().ring.tablets.into_iter().map(|place| place.voters).collect()
}

#[test]
fn one_server_grows_to_three_and_five_and_shrinks_to_three_while_others_write() {
    let mut lab = Lab::founded(1, 6, |_| {});
    while_writing(&mut lab, 0, |lab| {
        assert_eq!(lab.servers[0].change(MemberChange::SuspendMerge), ControlReply::Ok);
        for _ in 0..2 {
            let new = lab.join(0);
            service_in(&lab.servers[0], &lab.servers[new]);
        }
        assert_eq!(lab.servers[0].change(MemberChange::NoSuspendMerge), ControlReply::Ok);
        lab.wait_until_merged(0);
    });
    assert!(voters(&lab.servers[0]).iter().all(|voters| voters.len() == 3));
    wait_for("one failure is tolerated", || lab.servers[0].status().tolerates == 1);

    while_writing(&mut lab, 0, |lab| {
        for _ in 0..2 {
            let new = lab.join(0);
            service_in(&lab.servers[0], &lab.servers[new]);
            lab.wait_until_merged(0);
        }
    });
    let held = |node| voters(&lab.servers[0]).iter().filter(|voters| voters.contains(&node)).count();
    assert_eq!((1..=5).map(|node| held(NodeId(node))).sum::<usize>(), 18);
    assert!((1..=5).all(|node| (3..=4).contains(&held(NodeId(node)))));

    // The first two leave, one of them through another server; the writer goes through the third.
    while_writing(&mut lab, 2, |lab| {
        service_out(&lab.servers[2], &lab.servers[0]);
        lab.wait_until_merged(2);
        service_out(&lab.servers[4], &lab.servers[1]);
        lab.wait_until_merged(2);
        for gone in 0..2 {
            wait_for("its replicas are dropped", || {
                lab.servers[gone].status().tablets.is_empty() && lab.servers[2].meta().leaving.is_empty()
            });
            remove(&lab.servers[3], &lab.servers[gone]);
        }
    });
    assert!(voters(&lab.servers[2]).iter().all(|voters| *voters == [NodeId(3), NodeId(4), NodeId(5)]));
    wait_for("one failure is tolerated", || lab.servers[2].status().tolerates == 1);
    // Whoever was removed ends and writes that down. Started again it does not even take its port, which another may
    // need; and with a disk of before it is told once more.
    for gone in 0..2 {
        let server = &mut lab.servers[gone];
        let mark = server.directory.join(layout::REMOVED);
        let ends_saying = |server: &mut Server, words: &str, times: usize| {
            wait_for("it ends", || server.has_ended() == Some(78));
            assert_eq!(server.log().matches(words).count(), times, "{}", server.log());
            let marked = fs::read_to_string(&mark).expect("the mark");
            assert!(marked.starts_with("removed from its cluster"), "{marked}");
        };
        ends_saying(server, TOLD, 1);
        server.start();
        ends_saying(server, MARKED, 1);
        fs::remove_file(&mark).expect("removed");
        server.start();
        ends_saying(server, TOLD, 2);
    }
    let reply = lab.servers[2].set("after", "all");
    assert!(matches!(reply, ControlReply::Data(Reply::Stored { .. })), "{reply:?}");
}
