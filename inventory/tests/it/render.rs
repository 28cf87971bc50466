//! What is written on hosts: the daemon's own reader takes the configuration, and units say what they should.

use dkc_core::config::{NodeConfig, Pair, Protocol};
use dkc_core::ids::SlaveId;
use dkc_inventory::model::NodeName;
use dkc_inventory::observed::ServiceManager;
use dkc_inventory::render;

use crate::lab::three_servers;

#[test]
fn the_daemon_reads_every_configuration_as_it_was_meant() {
    let inventory = three_servers();
    for node in inventory.node_names() {
        let config = render::node_config(&inventory, &node).unwrap();
        let text = render::config_text(&config);
        assert_eq!(NodeConfig::parse(&text, "node.yaml").as_ref(), Ok(&config), "{text}");
    }
}

#[test]
fn a_slaves_configuration_is_complete() {
    let inventory = three_servers();
    let node = inventory.slave_node(SlaveId(0)).unwrap();
    let text = render::config_text(&render::node_config(&inventory, &node).unwrap());
    assert_eq!(
        text,
        "\
# Written by dkc deploy, which overwrites manual changes. Use dkc to change it.
version: 1
cluster: c0
cluster_id: 10000000-0000-4000-8000-000000000001
node_uuid: 10000000-0000-4000-8000-000000000005
role:
  slave:
    id: 0
    pairs:
      - listen: 127.0.0.1:11211
        protocol: memcache
        namespace: default
servers:
  - number: 0
    node_id: 1
    node_uuid: 10000000-0000-4000-8000-000000000002
    address: 10.77.0.11:8020
  - number: 1
    node_id: 2
    node_uuid: 10000000-0000-4000-8000-000000000003
    address: 10.77.0.12:8020
  - number: 2
    node_id: 3
    node_uuid: 10000000-0000-4000-8000-000000000004
    address: 10.77.0.13:8020
parameters:
  heartbeat_ms: 75
  election_timeout_min_ms: 250
  election_timeout_max_ms: 450
  read: lease
  request_deadline_ms: 10000
  value_max_bytes: 1048576
  connections_max: 4096
  slave_memory_bytes: 268435456
  client_idle_timeout_ms: 86400000
  client_stall_timeout_ms: 60000
  tablet_queue_max: 16384
  log_segment_bytes: 67108864
  memory_bytes: 268435456
  persist_interval_ms: 60000
  automerge: \"on\"
  merge_bytes_per_s: 33554432
  merge_incoming_max: 2
  split_operations_per_s: 2000
  split_after_ms: 60000
  metrics_port: 0
  slave_metrics_port: 0
  log_level: info
  log_format: text
"
    );
}

fn unit(manager: ServiceManager, pairs: &[Pair]) -> Option<String> {
    let node = NodeName::Slave("c0".parse().unwrap(), SlaveId(1));
    render::unit_text(&node, "/var/lib/dkc/c0-slave1", "dkc", manager, pairs)
}

#[test]
fn the_systems_unit_has_walls_and_the_users_only_what_its_manager_can() {
    let system = unit(ServiceManager::SystemdSystem, &[]).unwrap();
    for line in [
        "Type=notify",
        "User=dkc",
        "ExecStart=/var/lib/dkc/c0-slave1/dkcd run --dir /var/lib/dkc/c0-slave1",
        "Restart=on-failure",
        "WatchdogSec=30",
        "ProtectSystem=strict",
        "ReadWritePaths=/var/lib/dkc/c0-slave1",
        "PrivateTmp=yes",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "SystemCallFilter=@system-service",
        "LimitCORE=0",
        "WantedBy=multi-user.target",
    ] {
        assert!(system.lines().any(|l| l == line), "{line} is not in\n{system}");
    }
    let user = unit(ServiceManager::SystemdUser, &[]).unwrap();
    for word in ["User=", "Protect", "PrivateTmp", "CapabilityBoundingSet", "OOMScoreAdjust"] {
        assert!(!user.contains(word), "{word} is in\n{user}");
    }
    assert!(user.contains("NoNewPrivileges=yes") && user.contains("WantedBy=default.target"));
    assert_eq!(unit(ServiceManager::Supervise, &[]), None);
}

#[test]
fn a_socket_outside_of_the_directory_gets_a_door() {
    let pair = |listen: &str| Pair {
        listen: listen.into(),
        protocol: Protocol::Memcache,
        namespace: Default::default(),
    };
    let doors = |listen: &str| {
        let text = unit(ServiceManager::SystemdSystem, &[pair(listen)]).unwrap();
        let is_door = |line: &&str| line.starts_with("PrivateTmp") || line.starts_with("ReadWritePaths");
        text.lines().filter(is_door).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(doors("127.0.0.1:11211"), "PrivateTmp=yes ReadWritePaths=/var/lib/dkc/c0-slave1");
    assert_eq!(doors("/run/app/m.sock"), "PrivateTmp=yes ReadWritePaths=/var/lib/dkc/c0-slave1 /run/app");
    assert_eq!(doors("/tmp/m.sock"), "PrivateTmp=no ReadWritePaths=/var/lib/dkc/c0-slave1 /tmp");
}
