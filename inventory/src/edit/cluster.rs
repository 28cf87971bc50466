//! Clusters: a name, a permanent identity, and the servers that found the ring.

use std::collections::BTreeSet;

use dkc_core::ids::{ClusterId, ClusterName, ConfigName, MemberNo, NodeAddress, NodeId, NodeUuid};
use dkc_core::ring::tablets_wanted;

use super::error::plural;
use super::parameters::{apply_words, change, check_cluster};
use super::unknown::{unknown_cluster, unknown_config};
use super::{Change, EditError, Edited, Fresh};
use crate::model::{Cluster, Host, Inventory, Overrides, Server};

/// Default number of replicas: one server may fail.
pub const DEFAULT_REPLICAS: u32 = 3;
/// Default number of tablets by the number of servers at registration, and no more than that: they are split when the cluster grows.
pub const fn default_tablets(servers: usize) -> u16 {
    let wanted = tablets_wanted(servers);
    if wanted < TABLETS_MAX as usize { wanted as u16 } else { TABLETS_MAX }
}
/// Upper bound: more tablets cost each server more Raft rounds and memory than they gain.
pub const TABLETS_MAX: u16 = 1024;
/// Upper bound: more replicas only make writes slower.
pub const REPLICAS_MAX: u32 = 7;

/// `register cluster -n NAME [--replicas R] [--tablets T] HOST:PORT…`.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterCluster {
    /// Becomes part of directory and unit names; can never change.
    pub name: ClusterName,
    /// The founders, at least one; member numbers follow the order.
    pub servers: Vec<NodeAddress>,
    /// Copies of each tablet, 1 to `REPLICAS_MAX`; `None`: `DEFAULT_REPLICAS`.
    pub replicas: Option<u32>,
    /// 1 to `TABLETS_MAX`, to begin with; `None`: `default_tablets`.
    pub tablets: Option<u16>,
    /// The configuration group to attach it to; must be registered.
    pub config: Option<ConfigName>,
    /// Set for this cluster alone, checked against the table in `dkc_core::config`.
    pub parameters: Overrides,
}

/// `modify cluster -n NAME [--replicas R] [--tablets T] [--config …] [--reset …]`. `None` keeps a value.
#[derive(Debug, Clone, PartialEq)]
pub struct ModifyCluster {
    /// Which cluster.
    pub name: ClusterName,
    /// Refused once the cluster is founded.
    pub replicas: Option<u32>,
    /// Refused once the cluster is founded.
    pub tablets: Option<u16>,
    /// Its configuration group.
    pub config: Change<ConfigName>,
    /// Overrides to add or replace; checked together with those that stay.
    pub set: Overrides,
    /// Parameters that are no longer set for this cluster alone.
    pub unset: Vec<String>,
}

/// `unregister cluster -n NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnregisterCluster {
    /// Which cluster; slaves that use it are a reason to refuse.
    pub name: ClusterName,
    /// Unregister it although it is installed on hosts.
    pub forget: bool,
}

/// Adds a cluster with new ids. The same request again changes nothing; different values are refused.
pub fn register_cluster(
    inventory: &Inventory,
    request: &RegisterCluster,
    fresh: Fresh<'_>,
) -> Result<Edited, EditError> {
    let mut lines = Vec::new();
    let addresses = once_each(&request.servers, &mut lines)?;
    check_config_known(inventory, request.config.as_ref())?;
    if let Some(present) = inventory.clusters.get(&request.name) {
        check_same(present, &addresses, request)?;
        lines.push(format!("cluster {}: already registered", request.name));
        return Ok(Edited::from(inventory, inventory.clone(), lines));
    }
    check_addresses_free(inventory, &addresses, None)?;
    let replicas = request.replicas.unwrap_or(DEFAULT_REPLICAS);
    let tablets = request.tablets.unwrap_or_else(|| default_tablets(addresses.len()));
    check_shape(replicas, tablets)?;
    let mut after = inventory.clone();
    after.clusters.insert(
        request.name.clone(),
        Cluster {
            id: ClusterId(fresh()),
            replicas,
            tablets,
            servers: founders(&addresses, fresh),
            removed: Vec::new(),
            next_node_id: NodeId(addresses.len() as u64 + 1),
            config: request.config.clone(),
            parameters: request.parameters.clone(),
            founded: false,
        },
    );
    check_cluster(inventory, &after, &request.name)?;
    register_unknown_hosts(&mut after, &request.name, &addresses, &mut lines);
    warn_of_weakness(replicas, &addresses, &mut lines);
    Ok(Edited::from(inventory, after, lines))
}

fn founders(addresses: &[NodeAddress], fresh: Fresh<'_>) -> Vec<Server> {
    let founder = |(index, address): (usize, &NodeAddress)| Server {
        number: MemberNo(index as u32),
        node_id: NodeId(index as u64 + 1),
        node_uuid: NodeUuid(fresh()),
        address: address.clone(),
        is_founder: true,
        joins: Vec::new(),
        deployed: None,
    };
    addresses.iter().enumerate().map(founder).collect()
}

/// The PAXOS shell requires each server twice, for UDP and TCP; lines written for it must work.
pub(super) fn once_each(
    typed: &[NodeAddress],
    lines: &mut Vec<String>,
) -> Result<Vec<NodeAddress>, EditError> {
    if typed.is_empty() {
        return Err(EditError::Nothing { noun: "server" });
    }
    let pairs = typed.chunks(2);
    if typed.len() > 1 && pairs.clone().all(|pair| pair.len() == 2 && pair[0] == pair[1]) {
        lines.push(
            "each server is listed twice (UDP and TCP, as in the PAXOS shell); duplicates ignored".into(),
        );
        return once_each(&pairs.map(|pair| pair[0].clone()).collect::<Vec<_>>(), lines);
    }
    let mut seen = BTreeSet::new();
    match typed.iter().find(|address| !seen.insert(*address)) {
        Some(address) => Err(EditError::AddressTwice { address: address.clone() }),
        None => Ok(typed.to_vec()),
    }
}

/// No cluster but `own` has a server at one of these addresses.
pub(super) fn check_addresses_free(
    inventory: &Inventory,
    addresses: &[NodeAddress],
    own: Option<&ClusterName>,
) -> Result<(), EditError> {
    for (cluster, present) in inventory.clusters.iter().filter(|(name, _)| own != Some(*name)) {
        if let Some(server) = present.servers.iter().find(|s| addresses.contains(&s.address)) {
            return Err(EditError::AddressTaken {
                address: server.address.clone(),
                cluster: cluster.clone(),
                number: server.number,
            });
        }
    }
    Ok(())
}

/// The rules for replicas and tablets, for the command line and the file.
pub(crate) fn check_shape(replicas: u32, tablets: u16) -> Result<(), EditError> {
    let bad = |what: String, rule: String| Err(EditError::BadValue { what, rule });
    if replicas == 0 || replicas > REPLICAS_MAX {
        return bad(format!("replicas '{replicas}'"), format!("a number from 1 to {REPLICAS_MAX}"));
    }
    if tablets == 0 || tablets > TABLETS_MAX {
        return bad(format!("tablets '{tablets}'"), format!("a number from 1 to {TABLETS_MAX}"));
    }
    Ok(())
}

fn check_config_known(inventory: &Inventory, config: Option<&ConfigName>) -> Result<(), EditError> {
    match config.filter(|config| !inventory.configs.contains_key(config)) {
        Some(unknown) => Err(unknown_config(inventory, unknown)),
        None => Ok(()),
    }
}

/// As in the PAXOS shell: unknown hosts of servers are registered, and all join the group named after the cluster.
pub(super) fn register_unknown_hosts(
    after: &mut Inventory,
    cluster: &ClusterName,
    addresses: &[NodeAddress],
    lines: &mut Vec<String>,
) {
    let hosts: BTreeSet<_> = addresses.iter().map(|address| address.host.clone()).collect();
    for address in hosts {
        let host = after.hosts.entry(address.clone()).or_insert_with(|| {
            lines.push(format!("host {address}: registered with user {}", crate::model::DEFAULT_USER));
            Host { local: address.as_str() == crate::model::THIS_MACHINE, ..Host::with_defaults() }
        });
        if !host.group.iter().any(|group| group == cluster.as_str()) {
            host.group.push(cluster.to_string());
            host.group.sort();
        }
    }
}

fn warn_of_weakness(replicas: u32, addresses: &[NodeAddress], lines: &mut Vec<String>) {
    let servers = addresses.len();
    if replicas as usize > servers {
        let has = if servers == 1 { "1 server has" } else { "every server has" };
        lines
            .push(format!("{replicas} replicas configured: until there are as many servers, {has} all data"));
    }
    match replicas.min(servers as u32) {
        1 => lines.push("1 replica: losing a server loses its data".into()),
        2 => lines.push(
            "2 replicas: losing one server loses no data, but its tablets stop until it is back".into(),
        ),
        _ => {}
    }
    let hosts: BTreeSet<_> = addresses.iter().map(|address| &address.host).collect();
    if hosts.len() < addresses.len() {
        let few = format!("{} {}", hosts.len(), plural(hosts.len(), "host"));
        lines.push(format!("{} servers on {few}: losing one host loses several servers", addresses.len()));
    }
}

fn check_same(
    present: &Cluster,
    addresses: &[NodeAddress],
    request: &RegisterCluster,
) -> Result<(), EditError> {
    let mut differences = Vec::new();
    let registered: Vec<&NodeAddress> = present.servers.iter().map(|s| &s.address).collect();
    let is_same_set =
        registered.len() == addresses.len() && addresses.iter().all(|a| registered.contains(&a));
    if !is_same_set {
        let words: Vec<String> = registered.iter().map(|a| a.to_string()).collect();
        differences.push(format!("current servers: {}", words.join(" ")));
    }
    if request.replicas.is_some_and(|r| r != present.replicas) {
        differences.push(format!(
            "it has {} {}",
            present.replicas,
            plural(present.replicas as usize, "replica")
        ));
    }
    if request.tablets.is_some_and(|t| t != present.tablets) {
        differences.push(format!("current tablets: {}", present.tablets));
    }
    if request.config.as_ref().is_some_and(|config| present.config.as_ref() != Some(config)) {
        differences.push(match &present.config {
            Some(config) => format!("it is attached to configuration group {config}"),
            None => "it is attached to no configuration group".into(),
        });
    }
    for (name, value) in &request.parameters {
        if present.parameters.get(name) != Some(value) {
            differences.push(format!("{name} differs"));
        }
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(EditError::Different {
            what: format!("cluster {}", request.name),
            differences,
            modify: format!("modify cluster -n {} …     (except its servers)", request.name),
        }),
    }
}

/// Changes parameters, and the ring's shape and the limit of values while it is not founded. A deploy brings them to the nodes.
pub fn modify_cluster(inventory: &Inventory, request: &ModifyCluster) -> Result<Edited, EditError> {
    let mut after = inventory.clone();
    let Some(cluster) = after.clusters.get_mut(&request.name) else {
        return Err(unknown_cluster(inventory, &request.name));
    };
    let was_shape = (cluster.replicas, cluster.tablets);
    cluster.replicas = request.replicas.unwrap_or(cluster.replicas);
    cluster.tablets = request.tablets.unwrap_or(cluster.tablets);
    if cluster.founded && was_shape != (cluster.replicas, cluster.tablets) {
        let what =
            if was_shape.1 != cluster.tablets { "the number of tablets" } else { "the number of replicas" };
        let why = match was_shape.1 != cluster.tablets {
            true => "it is what the ring was founded with; ring split and grow split tablets",
            false => "it was fixed when the ring was founded",
        };
        return Err(EditError::Fixed { what, cluster: request.name.clone(), why });
    }
    check_shape(cluster.replicas, cluster.tablets)?;
    request.config.apply_optional(&mut cluster.config);
    change(&mut cluster.parameters, &request.set, &request.unset)?;
    if let Change::Set(config) = &request.config {
        check_config_known(inventory, Some(config))?;
    }
    check_cluster(inventory, &after, &request.name)?;
    let lines = match *inventory == after {
        true => Vec::new(),
        false => apply_words(&after, &request.name).into_iter().collect(),
    };
    Ok(Edited::from(inventory, after, lines))
}

/// Removes a cluster from the inventory. Refused while slaves use it or it is installed.
pub fn unregister_cluster(inventory: &Inventory, request: &UnregisterCluster) -> Result<Edited, EditError> {
    let Some(cluster) = inventory.clusters.get(&request.name) else {
        return Err(unknown_cluster(inventory, &request.name));
    };
    let slaves = inventory.slaves_of(&request.name);
    if !slaves.is_empty() {
        return Err(EditError::InUse {
            what: format!("cluster {}", request.name),
            by: slaves.iter().map(|id| format!("slave {id}")).collect(),
            first: slaves.iter().map(|id| format!("unregister slave --id {id}")).collect(),
        });
    }
    if !request.forget && (cluster.founded || cluster.servers.iter().any(|s| s.deployed.is_some())) {
        return Err(EditError::Deployed {
            what: format!("cluster {}", request.name),
            remove: format!("destroy cluster -n {}", request.name),
        });
    }
    let mut after = inventory.clone();
    after.clusters.remove(&request.name);
    for host in after.hosts.values_mut() {
        host.group.retain(|group| group != request.name.as_str());
    }
    Ok(Edited::from(inventory, after, Vec::new()))
}
