//! Groups that nobody uses hibernate, and wake up for whoever uses them and for the death of their leader.

use dkc_core::control::{ControlReply, ControlRequest};
use nix::sys::signal::Signal;

use crate::lab::{Lab, Server, wait_for};

const TABLETS: u16 = 3;
/// The tablets and the meta group.
const GROUPS: usize = TABLETS as usize + 1;

fn hibernating(server: &Server) -> usize {
    let Some(ControlReply::Text(text)) = server.try_ask(&ControlRequest::Metrics) else { return 0 };
    let gauge = text.lines().find_map(|line| line.strip_prefix("dkc_groups_hibernating "));
    gauge.expect("the gauge is there").parse().expect("a number")
}

fn wait_until_all_hibernate(lab: &Lab) {
    for server in &lab.servers {
        wait_for("every group hibernates", || hibernating(server) == GROUPS);
    }
}

#[test]
fn idle_groups_hibernate_and_wake_up_for_use_and_for_a_dead_or_silent_leader() {
    let mut lab = Lab::founded(3, TABLETS, |_| {});
    lab.wait_for_leaders();
    wait_until_all_hibernate(&lab);

    // Each key once, so that every tablet is woken up, by a write and by a read.
    for number in 0..30 {
        let (key, value) = (format!("key-{number}"), format!("value-{number}"));
        assert!(crate::lab::set_at(&lab.servers[1].socket(), &key, &value), "{key}");
    }
    wait_until_all_hibernate(&lab);
    for number in 0..30 {
        let found = lab.servers[2].get(&format!("key-{number}"));
        assert_eq!(found, Some(format!("value-{number}")));
    }

    wait_until_all_hibernate(&lab);
    lab.servers[0].kill();
    for number in 0..30 {
        let found = lab.servers[1].get(&format!("key-{number}"));
        assert_eq!(
            found,
            Some(format!("value-{number}")),
            "after the death of a server that led a third of the keys"
        );
    }
    lab.servers[0].start();
    lab.servers[0].wait_until_it_answers();
    wait_until_all_hibernate(&lab);

    // A paused process keeps its connections; only its beats are missed.
    lab.servers[1].pause();
    for number in 0..30 {
        let found = lab.servers[2].get(&format!("key-{number}"));
        assert_eq!(found, Some(format!("value-{number}")), "while a server is paused");
    }
    lab.servers[1].signal(Signal::SIGCONT);
    wait_until_all_hibernate(&lab);
}
