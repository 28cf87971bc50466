//! A running node takes over parameters without a restart, and refuses what it cannot take over.

use std::io::Read;
use std::net::TcpStream;

use dkc_core::config::{LogFormat, NodeConfig, Parameters, ReadPolicy, Switch, layout};
use dkc_core::control::{ControlReply, ControlRequest, DataRequest};
use dkc_core::ids::Namespace;
use dkc_core::kv::{Command, Expiry, Key, Read as KeyRead, Reply, StoreMode, Write};

use crate::lab::{Lab, Server, TIMEOUT, wait_for};

fn reload(server: &Server, change: impl FnOnce(&mut Parameters)) -> Vec<String> {
    server.reconfigure(change);
    match server.ask(&ControlRequest::Reload) {
        ControlReply::Reloaded { changed } => changed,
        other => panic!("{other:?}"),
    }
}

/// What the node says that it goes by.
fn in_use(server: &Server) -> Parameters {
    let text = server.try_node_status().and_then(|status| status.config_in_use).expect("a status");
    NodeConfig::parse(&text, "in use").expect("a good one").parameters
}

#[test]
fn a_server_takes_over_what_may_change_and_refuses_the_rest() {
    let lab = Lab::founded(1, 2, |_| {});
    let server = &lab.servers[0];
    let pid = server.pid();
    assert!(server.meta().is_automerge);
    assert_eq!(reload(server, |parameters| parameters.automerge = Switch::Off), ["automerge"]);
    wait_for("automerge is off", || !server.meta().is_automerge);
    let told = || server.log().matches("configuration reloaded").count();
    assert_eq!(told(), 1);
    assert_eq!(reload(server, |parameters| parameters.log_level = "warn".into()), ["log_level"]);
    assert_eq!(told(), 1, "it is told at level info");
    assert_eq!(reload(server, |parameters| parameters.log_level = "info".into()), ["log_level"]);
    assert_eq!(told(), 2);
    assert_eq!(reload(server, |_| {}), Vec::<String>::new());

    // Refused whole: the one of the two that could be taken over is not.
    server.reconfigure(|parameters| (parameters.heartbeat_ms, parameters.automerge) = (70, Switch::On));
    let refused = |want: &str| match server.ask(&ControlRequest::Reload) {
        ControlReply::Error { message, is_outcome_unknown: false } => {
            assert!(message.contains(want), "{message}")
        }
        other => panic!("{other:?}"),
    };
    refused("not reloaded: heartbeat_ms differ from what is in use and need a restart; nothing was changed");
    std::fs::write(server.directory.join(layout::CONFIG), "version: 1\n").expect("written");
    refused("node.yaml:1:1: missing field");
    let now = in_use(server);
    assert_eq!((now.heartbeat_ms, now.automerge), (75, Switch::Off));
    assert!(!server.meta().is_automerge);
    assert_eq!(server.pid(), pid, "it runs on");
    assert_eq!(server.status().tablets_without_leader, []);
}

#[test]
fn a_slave_takes_over_its_limits_for_connections_that_stand_too() {
    let lab = Lab::founded(1, 2, |_| {});
    let (slave, listen) = lab.slave(|_| {});
    let idle = || {
        let stream = TcpStream::connect(&listen).expect("the slave listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a limit");
        stream
    };
    let mut before = idle();
    let changed = reload(&slave, |parameters| {
        (parameters.client_idle_timeout_ms, parameters.connections_max) = (1_000, 16);
    });
    assert_eq!(changed, ["connections_max", "client_idle_timeout_ms"]);
    let mut end = [0];
    assert_eq!(before.read(&mut end).expect("closed, not reset"), 0, "closed for its silence");
    // Far longer again, so that these stay while they are counted.
    assert_eq!(reload(&slave, |parameters| parameters.client_idle_timeout_ms = 600_000).len(), 1);
    let mut standing: Vec<TcpStream> = (0..16).map(|_| idle()).collect();
    let connections = || slave.try_node_status().map(|status| status.connections);
    wait_for("all of them stand", || connections() == Some(16));
    let mut said = String::new();
    idle().read_to_string(&mut said).expect("an answer");
    assert!(said.to_lowercase().contains("too many"), "{said}");
    assert_eq!(reload(&slave, |parameters| parameters.connections_max = 17), ["connections_max"]);
    standing.push(idle());
    wait_for("one more stands", || connections() == Some(17));
}

/// With timeouts so long that a lease outlives the test: while the other servers are frozen, the leader reads by its lease, and cannot
/// where a majority is asked.
#[test]
fn reads_ask_a_majority_from_the_reload_on() {
    let lab = Lab::founded(3, 1, |parameters| {
        (parameters.heartbeat_ms, parameters.election_timeout_min_ms) = (5_000, 55_000);
        (parameters.election_timeout_max_ms, parameters.request_deadline_ms) = (60_000, 1_000);
    });
    let key = Key { namespace: Namespace::default(), bytes: "k".into() };
    let (mode, expiry) = (StoreMode::Set, Expiry::Never);
    let store = Write::Store { key: key.clone(), mode, flags: 0, expiry, value: "v".into() };
    let data = |command| ControlRequest::Data(DataRequest::Command(command));
    let reads = |server: &Server| {
        let reply = server.ask(&data(Command::Read(KeyRead::Get { key: key.clone() })));
        matches!(reply, ControlReply::Data(Reply::Record(_)))
    };
    let leads = |server: &&Server| {
        let status = server.status();
        status.tablets.iter().any(|tablet| tablet.leader == Some(status.node_id))
    };
    wait_for("a leader", || lab.servers.iter().any(|server| leads(&server)));
    let leader = lab.servers.iter().find(leads).expect("a leader");
    assert!(matches!(leader.ask(&data(Command::Write(store))), ControlReply::Data(Reply::Stored { .. })));
    let others = || lab.servers.iter().filter(|server| server.directory != leader.directory);
    others().for_each(Server::pause);
    assert!(reads(leader), "by its lease");
    assert_eq!(reload(leader, |parameters| parameters.read = ReadPolicy::Index), ["read"]);
    assert!(!reads(leader), "nobody confirms that it leads");
    others().for_each(|server| server.signal(nix::sys::signal::Signal::SIGCONT));
    wait_for("a majority confirms", || reads(leader));
}

#[test]
fn a_server_takes_over_its_log_and_its_queues_and_writes_lines_of_json() {
    let lab = Lab::founded(1, 2, |_| {});
    let server = &lab.servers[0];
    let changed = reload(server, |parameters| {
        (parameters.log_segment_bytes, parameters.tablet_queue_max) = (8 << 20, 100);
        parameters.log_format = LogFormat::Json;
    });
    assert_eq!(changed, ["tablet_queue_max", "log_segment_bytes", "log_format"]);
    let told =
        || server.log().lines().any(|line| line.starts_with('{') && line.contains("configuration reloaded"));
    wait_for("a line of JSON", told);
    let line = server.log().lines().find(|line| line.starts_with('{')).expect("a line").to_owned();
    let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(event["fields"]["message"], "configuration reloaded", "{line}");
    assert_eq!(reload(server, |parameters| parameters.log_format = LogFormat::Text), ["log_format"]);
    let last = server.log().lines().last().unwrap_or_default().to_owned();
    assert!(!last.starts_with('{') && last.contains("configuration reloaded"), "{last}");
}

#[test]
fn a_slave_takes_over_its_memory() {
    let lab = Lab::founded(1, 2, |_| {});
    let (slave, _) = lab.slave(|_| {});
    let free = || match slave.ask(&ControlRequest::Metrics) {
        ControlReply::Text(text) => {
            let line =
                text.lines().find(|line| line.starts_with("dkc_slave_memory_free_bytes ")).expect("a metric");
            line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(free(), 256 << 20);
    assert_eq!(reload(&slave, |parameters| parameters.slave_memory_bytes = 16 << 20), ["slave_memory_bytes"]);
    assert_eq!(free(), 16 << 20);
}
