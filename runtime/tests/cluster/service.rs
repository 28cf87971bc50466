//! Service through everything that may happen to a minority.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use dkc_core::control::{ControlReply, ControlRequest, DataRequest};
use dkc_core::kv::Reply;
use nix::sys::signal::Signal;

use crate::lab::{Lab, Server, get, wait_for};

fn is_stored(reply: &ControlReply) -> bool {
    matches!(reply, ControlReply::Data(Reply::Stored { .. }))
}

/// Writes keys `from..to` through the server; returns those that were acknowledged.
fn write(server: &Server, from: usize, to: usize) -> Vec<usize> {
    (from..to)
        .filter(|number| is_stored(&server.set(&format!("key-{number}"), &format!("value-{number}"))))
        .collect()
}

fn check_readable(server: &Server, acknowledged: &[usize]) {
    for number in acknowledged {
        assert_eq!(server.get(&format!("key-{number}")), Some(format!("value-{number}")), "key-{number}");
    }
}

fn leaders_of(lab: &Lab, at: usize) -> u32 {
    let node = lab.servers[at].entry.node_id;
    let running = lab.servers.iter().find(|server| server.is_running()).expect("one runs");
    running
        .status()
        .members
        .iter()
        .find(|member| member.node.node_id == node)
        .map_or(0, |member| member.leaders)
}

#[test]
fn three_servers_are_founded_and_keep_what_they_are_given() {
    let lab = Lab::founded(3, 12, |_| {});
    assert_eq!(
        lab.servers[1].ask(&ControlRequest::Found),
        ControlReply::Ok,
        "founding again changes nothing"
    );
    for number in 0..60 {
        let reply = lab.servers[number % 3].set(&format!("key-{number}"), &format!("value-{number}"));
        assert!(is_stored(&reply), "{reply:?}");
    }
    for number in 0..60 {
        let found = lab.servers[(number + 1) % 3].get(&format!("key-{number}"));
        assert_eq!(found, Some(format!("value-{number}")));
    }
    assert_eq!(lab.servers[0].get("no such key"), None);
    let count = lab.servers[0].data(DataRequest::Count { namespace: Default::default() });
    assert!(matches!(count, ControlReply::Data(Reply::Count { records: 60, .. })), "{count:?}");
    let status = lab.servers[2].status();
    assert!(status.is_founded && status.tolerates == 1 && status.members.iter().all(|member| member.is_up));
    assert_eq!(
        status.members.iter().map(|member| (member.leaders, member.replicas)).collect::<Vec<_>>(),
        [(4, 12); 3]
    );
    assert!(
        lab.servers[0].word("ALLSTATUS").contains("[SERVICE IN]"),
        "{}",
        lab.servers[0].word("ALLSTATUS")
    );
    assert_eq!(lab.servers[0].word("DANCE").trim(), "Unknown command(DANCE)");
}

#[test]
fn one_server_alone_is_a_cluster() {
    let mut lab = Lab::founded(1, 2, |_| {});
    assert_eq!(write(&lab.servers[0], 0, 10).len(), 10);
    assert_eq!(lab.servers[0].stop(), 0);
    lab.start_all();
    lab.wait_for_leaders();
    check_readable(&lab.servers[0], &(0..10).collect::<Vec<_>>());
}

#[test]
fn keys_are_listed_page_by_page_with_their_prefix() {
    let lab = Lab::founded(1, 3, |_| {});
    write(&lab.servers[0], 0, 25);
    lab.servers[0].set("other", "x");
    let (mut cursor, mut keys) = (None, Vec::new());
    loop {
        let (namespace, prefix) = (Default::default(), Bytes::from_static(b"key-"));
        match lab.servers[0].data(DataRequest::Keys { namespace, prefix, cursor, limit: 7 }) {
            ControlReply::Data(Reply::Keys { keys: page, next }) => {
                keys.extend(page);
                cursor = next;
            }
            other => panic!("{other:?}"),
        }
        if cursor.is_none() {
            break;
        }
    }
    keys.sort();
    let mut want: Vec<Bytes> = (0..25).map(|number| format!("key-{number}").into()).collect();
    want.sort();
    assert_eq!(keys, want);
}

#[test]
fn the_death_of_a_leader_loses_nothing_and_service_resumes() {
    let mut lab = Lab::founded(3, 3, |_| {});
    let mut acknowledged = write(&lab.servers[1], 0, 300);
    lab.servers[0].kill();
    acknowledged.extend(write(&lab.servers[1], 300, 700));
    assert!(acknowledged.len() > 600, "only {} of 700 were acknowledged", acknowledged.len());
    check_readable(&lab.servers[2], &acknowledged);

    lab.servers[0].start();
    lab.servers[0].wait_until_it_answers();
    wait_for("the preferred leader leads its tablet again", || leaders_of(&lab, 0) == 1);
    acknowledged.extend(write(&lab.servers[0], 700, 1000));
    check_readable(&lab.servers[0], &acknowledged);
}

#[test]
fn killing_all_three_at_once_loses_nothing_acknowledged() {
    let mut lab = Lab::founded(3, 3, |_| {});
    let acknowledged = write(&lab.servers[0], 0, 200);
    assert_eq!(acknowledged.len(), 200);
    lab.kill_all();
    lab.start_all();
    lab.wait_for_leaders();
    check_readable(&lab.servers[1], &acknowledged);
}

#[test]
fn a_server_that_stops_hands_its_leadership_away_first() {
    let mut lab = Lab::founded(3, 3, |_| {});
    assert_eq!(lab.servers[0].stop(), 0);
    assert!(lab.servers[0].log().contains("all leadership transferred"), "{}", lab.servers[0].log());
    assert!(!lab.servers[0].socket().exists(), "the control socket is gone");
    let status = lab.servers[1].status();
    assert_eq!(status.tablets_without_leader, [], "nothing was without a leader for a moment");
    assert_eq!(write(&lab.servers[1], 0, 20).len(), 20);
}

/// As a rolling restart does it: the next server follows as soon as the one before serves again, whoever leads by then.
#[test]
fn a_rolling_restart_moves_leaders_first_each_time_and_spreads_them_again() {
    let mut lab = Lab::founded(3, 6, |_| {});
    lab.wait_for_leaders();
    for at in 0..3 {
        assert_eq!(lab.servers[at].ask(&ControlRequest::PrepareStop), ControlReply::Ok);
        let (node, status) = (lab.servers[at].entry.node_id, lab.servers[at].status());
        let led_by_others = status.tablets.iter().all(|tablet| tablet.leader.is_some_and(|now| now != node));
        assert!(led_by_others, "server {} still leads, or nobody does: {:?}", at + 1, status.tablets);
        assert!(status.meta_leader.is_some_and(|leader| leader != node), "{:?}", status.meta_leader);
        assert_eq!(lab.servers[at].stop(), 0);
        lab.servers[at].start();
        lab.servers[at].wait_until_it_answers();
        lab.wait_for_leaders();
    }
    wait_for("each leads its third again", || {
        (0..3)
            .all(|at| leaders_of(&lab, at) == 2 && lab.servers[at].status().tablets_without_leader.is_empty())
    });
}

#[test]
fn a_server_that_was_away_while_the_log_was_purged_gets_a_snapshot() {
    let change = |parameters: &mut dkc_core::config::Parameters| {
        parameters.log_segment_bytes = 2 << 20;
        parameters.persist_interval_ms = 100;
    };
    let mut lab = Lab::founded(3, 1, change);
    lab.servers[2].kill();
    let value = "x".repeat(100 * 1024);
    for number in 0..80 {
        assert!(is_stored(&lab.servers[0].set(&format!("big-{number}"), &value)));
    }
    let purged = |server: &Server| -> u64 {
        let ControlReply::Text(text) = server.ask(&ControlRequest::Metrics) else { panic!("no metrics") };
        let line = text.lines().find(|line| line.starts_with("dkc_raft_purged_index{group=\"1\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("the purged index")
    };
    wait_for("both purge their logs", || purged(&lab.servers[0]) > 20 && purged(&lab.servers[1]) > 20);

    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    let last = lab.servers[0].status().tablets[0].last_index;
    wait_for("the one that was away has caught up", || {
        lab.servers[2].status().tablets[0].applied_index >= last
    });
    assert!(lab.servers[2].log().contains("receiving snapshot"), "{}", lab.servers[2].log());
    // Now the majority needs the one that was away.
    lab.servers[0].kill();
    for number in 0..80 {
        assert_eq!(lab.servers[2].get(&format!("big-{number}")).map(|value| value.len()), Some(value.len()));
    }
    // And what it received survives its own death.
    lab.servers[2].kill();
    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    assert_eq!(lab.servers[2].get("big-79").map(|value| value.len()), Some(value.len()));
}

#[test]
fn a_leader_that_was_paused_does_not_answer_from_the_past() {
    let lab = Lab::founded(3, 1, |_| {});
    assert!(is_stored(&lab.servers[1].set("key", "old")));
    let leader = lab.servers[1].status().tablets[0].leader.expect("a leader");
    let at = lab.servers.iter().position(|server| server.entry.node_id == leader).expect("one of ours");
    let other = &lab.servers[(at + 1) % 3];
    lab.servers[at].pause();
    // These lie in the paused process's sockets until it goes on.
    let line = serde_json::to_string(&ControlRequest::Data(get("key"))).expect("JSON");
    let waiting: Vec<UnixStream> = (0..8)
        .map(|_| {
            let mut stream = UnixStream::connect(lab.servers[at].socket()).expect("the socket is there");
            stream.write_all(format!("{line}\n").as_bytes()).expect("room for a line");
            stream
        })
        .collect();
    wait_for("another leads", || other.status().tablets[0].leader.is_some_and(|now| now != leader));
    assert!(is_stored(&other.set("key", "new")));
    lab.servers[at].signal(Signal::SIGCONT);
    for stream in waiting {
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("an answer");
        let reply: ControlReply = serde_json::from_str(&answer).expect("JSON");
        let is_new = matches!(&reply, ControlReply::Data(Reply::Record(record)) if record.value == "new");
        assert!(is_new || matches!(reply, ControlReply::Error { .. }), "{reply:?}");
    }
}

/// The kernel may have thrown away what it could not write, so asking it again proves nothing.
#[test]
fn a_server_whose_disk_fails_to_sync_ends_and_nothing_acknowledged_is_lost() {
    let mut lab = Lab::founded(3, 2, |_| {});
    let before = write(&lab.servers[0], 0, 50);
    assert_eq!(lab.servers[2].stop(), 0);
    // From its 20th sync on each one answers with an input/output error.
    let failing = "inject=fdatasync:error=EIO:when=20+";
    lab.servers[2].start_under(&[
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        failing,
    ]);
    lab.servers[2].wait_until_it_answers();
    let mut acknowledged = before;
    let mut next = 50;
    wait_for("the server with the failing disk ends", || {
        acknowledged.extend(write(&lab.servers[0], next, next + 10));
        next += 10;
        lab.servers[2].has_ended().is_some()
    });
    assert_eq!(lab.servers[2].has_ended(), Some(74));
    assert!(lab.servers[2].log().contains("stopping without acknowledging"), "{}", lab.servers[2].log());
    assert!(acknowledged.len() * 10 >= next * 9, "{} of {next} acknowledged", acknowledged.len());
    // What it wrote before the error is still good; the rest it gets from the others.
    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    lab.servers[0].kill();
    lab.wait_for_leaders();
    check_readable(&lab.servers[1], &acknowledged);
}
