//! What a node refuses: one clear line and the right exit status, and nothing changed.

use std::fs;

use dkc_core::config::layout;

use crate::lab::{Lab, Server};

fn check(server: &Server, words: &[&str], want_status: i32, want_text: &str) {
    let (status, text) = server.dkcd(words);
    let line = text.lines().last().unwrap_or_default();
    assert!(line.contains(want_text), "{words:?} said {text}");
    assert_eq!((status, text.lines().count()), (want_status, 1), "{words:?} said {text}");
}

#[test]
fn a_directory_that_is_not_this_nodes_is_refused() {
    let lab = Lab::new(1, 1, |_| {});
    let server = &lab.servers[0];
    let other = "0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a11";
    check(server, &["init", "--uuid", other], 78, "the data belongs to node");
    check(server, &["init", "--uuid", &server.entry.node_uuid.to_string()], 0, "already there");
    fs::write(server.directory.join(layout::IDENTITY), format!("{other}\n")).expect("written");
    check(server, &["run"], 78, "the data belongs to node 0b1e7c1c");
    fs::remove_file(server.directory.join(layout::IDENTITY)).expect("removed");
    check(server, &["run"], 78, "this directory has no data yet");
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    let lab = Lab::new(3, 1, |_| {});
    let server = &lab.servers[0];
    let path = server.directory.join(layout::CONFIG);
    let good = fs::read_to_string(&path).expect("readable");
    check(server, &["check-config"], 0, "ok");
    fs::write(&path, good.replace("\n  memory_bytes: 268435456", "\n  cache_bytes: 16777216"))
        .expect("written");
    let (status, text) = server.dkcd(&["check-config"]);
    assert!(status == 0 && text.contains("cache_bytes is read and has no effect"), "{status}: {text}");
    fs::write(&path, good.replace("heartbeat_ms: 75", "heartbeat_ms: fast")).expect("written");
    check(server, &["check-config"], 78, "node.yaml:");
    check(server, &["run"], 78, "node.yaml:");
    fs::remove_file(&path).expect("removed");
    check(server, &["run"], 78, "is this a node's directory?");
}

#[test]
fn a_port_in_use_a_second_daemon_and_foreign_certificates_are_refused() {
    let mut lab = Lab::new(2, 1, |_| {});
    let taken = std::net::TcpListener::bind(lab.servers[0].entry.address.to_string()).expect("free");
    check(&lab.servers[0], &["run"], 1, "cannot listen on 127.0.0.1:");
    drop(taken);
    lab.servers[0].start();
    lab.servers[0].wait_until_it_answers();
    check(&lab.servers[0], &["run"], 1, "this node is already running");
    fs::copy(
        lab.servers[0].directory.join(layout::TLS_CERT),
        lab.servers[1].directory.join(layout::TLS_CERT),
    )
    .expect("copied");
    check(&lab.servers[1], &["run"], 78, "the certificate in");
}

#[test]
fn ctl_says_when_nobody_answers_and_when_the_answer_is_an_error() {
    let mut lab = Lab::new(1, 1, |_| {});
    check(&lab.servers[0], &["ctl", "VERSION"], 1, "is the node running?");
    lab.servers[0].start();
    lab.servers[0].wait_until_it_answers();
    check(&lab.servers[0], &["ctl", "VERSION"], 0, "Version");
    check(&lab.servers[0], &["ctl", "DANCE"], 1, "Unknown command(DANCE)");
    check(&lab.servers[0], &["ctl", "{\"do\":\"dance\"}"], 1, "invalid request");
}
