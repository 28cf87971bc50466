//! A small inventory and hosts in known states, for all tests.

use std::collections::BTreeMap;

use dkc_core::control::{MemberView, NodeStatus, RoleStatus, ServerStatus, SlaveStatus};
use dkc_core::ids::{HostAddress, MemberNo, NodeId, RingVersion, SlaveId};
use dkc_core::ring;
use dkc_inventory::edit::{
    self, EditError, Edited, RegisterCluster, RegisterHosts, RegisterPair, RegisterSlave,
};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{HostFacts, HostView, Observed, RunState, ServiceManager, Silence};
use dkc_inventory::plan::{AuthorityView, DeployRequest, Operation, Program, Refused, Selection, Target};
use uuid::Uuid;

pub const PROGRAM: &str = "0123456789abcdef";

/// UUIDs that count.
pub fn counter() -> impl FnMut() -> Uuid {
    let mut next = 0_u128;
    move || {
        next += 1;
        Uuid::from_u128(0x1000_0000_0000_4000_8000_0000_0000_0000 + next)
    }
}

pub fn hosts(words: &str) -> Vec<HostAddress> {
    words.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

pub fn host(word: &str) -> HostAddress {
    word.parse().unwrap()
}

pub fn register_hosts(inventory: &Inventory, words: &str) -> Result<Edited, EditError> {
    edit::register_hosts(inventory, &RegisterHosts { hosts: hosts(words), ..RegisterHosts::default() })
}

pub fn cluster_request(name: &str, servers: &str) -> RegisterCluster {
    RegisterCluster {
        name: name.parse().unwrap(),
        servers: servers.split_whitespace().map(|word| word.parse().unwrap()).collect(),
        replicas: None,
        tablets: None,
        config: None,
        parameters: BTreeMap::new(),
    }
}

pub fn slave_request(cluster: &str, host: Option<&str>) -> RegisterSlave {
    RegisterSlave { cluster: cluster.parse().unwrap(), id: None, host: host.map(|h| h.parse().unwrap()) }
}

pub fn pair_request(id: u32) -> RegisterPair {
    RegisterPair { id: SlaveId(id), listen: None, protocol: None, namespace: None }
}

/// Three servers of `c0` and a slave with one pair.
pub fn three_servers() -> Inventory {
    let mut fresh = counter();
    let empty = Inventory::empty();
    let inventory = register_hosts(&empty, "10.77.0.21").unwrap().inventory;
    let servers = cluster_request("c0", "10.77.0.11:8020 10.77.0.12:8020 10.77.0.13:8020");
    let inventory = edit::register_cluster(&inventory, &servers, &mut fresh).unwrap().inventory;
    let slave = slave_request("c0", Some("10.77.0.21"));
    let inventory = edit::register_slave(&inventory, &slave, &mut fresh).unwrap().inventory;
    edit::register_pair(&inventory, &pair_request(0)).unwrap().inventory
}

/// A fresh host on which nothing of ours is.
pub fn bare_host() -> HostFacts {
    HostFacts {
        architecture: "x86_64".into(),
        kernel: "Linux 6.1.0".into(),
        libc: "unknown".into(),
        machine_id: None,
        user: "dkc".into(),
        root: "/var/lib/dkc".into(),
        root_has_marker: false,
        root_is_foreign: false,
        root_is_writable: true,
        root_exposure: None,
        runtime_exposure: None,
        disk_free_bytes: 50_000_000_000,
        clock_offset_ms: 3,
        service: ServiceManager::Supervise,
        login_user_only: None,
        programs: Default::default(),
        program_versions: Default::default(),
        listening: Default::default(),
        nodes: Default::default(),
        reaches: Default::default(),
    }
}

pub fn bare_hosts(inventory: &Inventory) -> Observed {
    let nodes = inventory.node_names();
    let hosts = nodes.iter().filter_map(|node| inventory.host_of(node));
    Observed { hosts: hosts.map(|host| (host, HostView::Facts(Box::new(bare_host())))).collect() }
}

pub fn facts_mut<'a>(observed: &'a mut Observed, word: &str) -> &'a mut HostFacts {
    match observed.hosts.get_mut(&host(word)) {
        Some(HostView::Facts(facts)) => facts,
        other => panic!("{word} has no facts: {other:?}"),
    }
}

pub fn silence(observed: &mut Observed, word: &str) {
    let view = HostView::Silent { kind: Silence::Unreachable, message: "no reply within 5 s".into() };
    observed.hosts.insert(host(word), view);
}

pub fn operation(command: &str) -> Operation {
    Operation { id: "op-0000002a".into(), command: command.into() }
}

/// The authority of `c0` is there; `anchors` is what a symbolic deploy leaves of it on hosts.
pub fn authorities() -> BTreeMap<dkc_core::ids::ClusterName, AuthorityView> {
    [("c0".parse().unwrap(), authority())].into()
}

pub fn authority() -> AuthorityView {
    AuthorityView { anchors: "anchors".into(), key_id: "ca".into(), is_delegating: true }
}

pub fn deploy_request() -> DeployRequest {
    DeployRequest {
        operation: operation("deploy"),
        selection: Selection::default(),
        program: Program { digest: PROGRAM.into(), bytes: 30_000_000, architecture: "x86_64".into() },
        authorities: authorities(),
        config_only: false,
    }
}

pub fn servers(numbers: &[u32]) -> Target {
    Target::Servers {
        cluster: "c0".parse().unwrap(),
        numbers: numbers.iter().map(|number| MemberNo(*number)).collect(),
    }
}

pub fn slave(id: u32) -> Target {
    Target::Slaves { ids: vec![SlaveId(id)] }
}

/// What a running server says of itself: all members whose numbers are given are up.
pub fn server_status(inventory: &Inventory, node: &NodeName, up: &[u32], leader: u64) -> NodeStatus {
    let NodeName::Server(name, number) = node else { panic!("{node} is no server") };
    let cluster = &inventory.clusters[name];
    let member = |server: &dkc_inventory::model::Server| MemberView {
        node: ring::Node {
            node_id: server.node_id,
            uuid: server.node_uuid,
            number: server.number,
            address: server.address.clone(),
            zone: None,
            in_ring: ring::InRing::ServiceIn,
            action: ring::MemberAction::None,
            operate: ring::ActionProgress::Nothing,
        },
        is_up: up.contains(&server.number.0),
        leaders: 4,
        replicas: 12,
    };
    let server = inventory.server(name, *number).unwrap();
    NodeStatus {
        release: "0.1.0".into(),
        cluster: name.clone(),
        cluster_id: cluster.id,
        node_uuid: server.node_uuid,
        pid: 100,
        uptime_s: 60,
        role: RoleStatus::Server(ServerStatus {
            number: *number,
            node_id: server.node_id,
            address: server.address.clone(),
            is_founded: true,
            meta_leader: Some(NodeId(leader)),
            members: cluster.servers.iter().map(member).collect(),
            tablets: Vec::new(),
            tablets_without_leader: Vec::new(),
            tolerates: 1,
            disk_free_bytes: 1,
            trouble: None,
            merge: None,
            operation: None,
            transfers: Vec::new(),
            served: Default::default(),
        }),
        ring_version: RingVersion(7),
        memory_bytes: 1,
        memory_max_bytes: 0,
        connections: 1,
        config_in_use: None,
        certificate: None,
        program: None,
    }
}

/// What a running slave says of itself.
pub fn slave_status(inventory: &Inventory, node: &NodeName) -> NodeStatus {
    let NodeName::Slave(name, id) = node else { panic!("{node} is no slave") };
    let role = RoleStatus::Slave(SlaveStatus {
        id: *id,
        listeners: Vec::new(),
        servers: Vec::new(),
        operations: 0,
        client_connections: 0,
        latency: Default::default(),
    });
    let server = inventory.servers_of(name).remove(0);
    let node_uuid = inventory.slaves[id].node_uuid;
    NodeStatus { role, node_uuid, ..server_status(inventory, &server, &[], 1) }
}

/// Marks a node as running, with its status when it is a server.
pub fn run(inventory: &Inventory, observed: &mut Observed, node: &NodeName) {
    let host = inventory.host_of(node).unwrap();
    let is_server = matches!(node, NodeName::Server(..));
    let status = is_server.then(|| Box::new(server_status(inventory, node, &[0, 1, 2], 1)));
    let view = facts_mut(observed, host.as_str()).nodes.get_mut(node).expect("deployed before it runs");
    view.run = RunState::Running { pid: 100 };
    view.status = status;
}

/// All refusals, one a line, with the kind of the whole.
pub fn refused<T: std::fmt::Debug>(result: Result<T, Refused>) -> String {
    match result {
        Ok(value) => format!("not refused: {value:?}"),
        Err(refused) => {
            let reasons: Vec<String> = refused.reasons.iter().map(|reason| reason.to_string()).collect();
            format!("{:?}: {}", refused.kind(), reasons.join("\n"))
        }
    }
}
