//! `launch`: a cluster on free hosts, and slaves beside its applications, as one edit. A host is free when no node is registered on
//! it. Repeated, it leaves the cluster as it is, so that a launch that was cut off goes on with the hosts that it chose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dkc_core::ids::{ClusterName, ConfigName, HostAddress, NodeAddress, SlaveId};

use super::cluster::{RegisterCluster, register_cluster};
use super::pair::{RegisterPair, register_pair};
use super::slave::{RegisterSlave, register_slave};
use super::{EditError, Edited, Fresh};
use crate::model::{Inventory, Overrides};

/// `launch cluster -n NAME --servers COUNT --from HOST|@GROUP … [--slaves HOST|@GROUP …]`
#[derive(Debug, Clone, PartialEq)]
pub struct LaunchCluster {
    /// As in `RegisterCluster`.
    pub name: ClusterName,
    /// At least one.
    pub servers: usize,
    /// Registered hosts to choose from.
    pub from: BTreeSet<HostAddress>,
    /// The node port of each server.
    pub port: u16,
    /// As in `RegisterCluster`.
    pub replicas: Option<u32>,
    /// As in `RegisterCluster`.
    pub tablets: Option<u16>,
    /// As in `RegisterCluster`.
    pub config: Option<ConfigName>,
    /// As in `RegisterCluster`.
    pub parameters: Overrides,
    /// Registered hosts that get a slave with one pair each; they need not be free.
    pub slaves: BTreeSet<HostAddress>,
}

/// Registers the cluster with servers on free hosts, and its slaves.
pub fn launch_cluster(
    inventory: &Inventory,
    request: &LaunchCluster,
    fresh: Fresh<'_>,
) -> Result<Edited, EditError> {
    let servers = match inventory.clusters.get(&request.name) {
        Some(present) if present.servers.len() == request.servers => {
            present.servers.iter().map(|server| server.address.clone()).collect()
        }
        Some(present) => {
            return Err(EditError::Different {
                what: format!("cluster {}", request.name),
                differences: vec![format!("current number of servers: {}", present.servers.len())],
                modify: format!("grow -n {} HOST:PORT", request.name),
            });
        }
        None => choose(inventory, request)?,
    };
    let cluster = RegisterCluster {
        name: request.name.clone(),
        servers,
        replicas: request.replicas,
        tablets: request.tablets,
        config: request.config.clone(),
        parameters: request.parameters.clone(),
    };
    let registered = register_cluster(inventory, &cluster, fresh)?;
    let (mut after, mut lines) = (registered.inventory, registered.lines);
    for host in &request.slaves {
        after = with_slave(&after, &request.name, host, fresh, &mut lines)?;
    }
    Ok(Edited::from(inventory, after, lines))
}

/// Free hosts, from a different zone in each turn.
fn choose(inventory: &Inventory, request: &LaunchCluster) -> Result<Vec<NodeAddress>, EditError> {
    let is_free = |host: &&HostAddress| inventory.nodes_on(host).is_empty();
    let (free, taken): (Vec<&HostAddress>, Vec<&HostAddress>) = request.from.iter().partition(is_free);
    if request.servers == 0 {
        return Err(EditError::Nothing { noun: "server" });
    }
    if free.len() < request.servers {
        let by = |host: &&HostAddress| {
            let nodes: Vec<String> = inventory.nodes_on(host).iter().map(ToString::to_string).collect();
            format!("{host} has {}", nodes.join(", "))
        };
        return Err(EditError::TooFewHosts {
            wanted: request.servers,
            free: free.iter().map(ToString::to_string).collect(),
            taken: taken.iter().map(by).collect(),
        });
    }
    // A host without a zone is a zone of its own.
    let mut zones: BTreeMap<&str, VecDeque<&HostAddress>> = BTreeMap::new();
    for host in free {
        let zone = inventory.hosts.get(host).and_then(|entry| entry.zone.as_deref());
        zones.entry(zone.unwrap_or(host.as_str())).or_default().push_back(host);
    }
    let mut chosen = Vec::new();
    while chosen.len() < request.servers {
        let turn = zones.values_mut().filter_map(VecDeque::pop_front);
        chosen.extend(turn.take(request.servers - chosen.len()));
    }
    let address = |host: &HostAddress| NodeAddress { host: host.clone(), port: request.port };
    Ok(chosen.into_iter().map(address).collect())
}

fn with_slave(
    inventory: &Inventory,
    cluster: &ClusterName,
    host: &HostAddress,
    fresh: Fresh<'_>,
    lines: &mut Vec<String>,
) -> Result<Inventory, EditError> {
    let is_there = |id: &SlaveId| inventory.slaves.get(id).is_some_and(|s| s.host.as_ref() == Some(host));
    if inventory.slaves_of(cluster).iter().any(is_there) {
        return Ok(inventory.clone());
    }
    let request = RegisterSlave { cluster: cluster.clone(), id: None, host: Some(host.clone()) };
    let registered = register_slave(inventory, &request, fresh)?;
    lines.extend(registered.lines);
    let is_new = |id: &&SlaveId| !inventory.slaves.contains_key(id);
    let Some(id) = registered.inventory.slaves.keys().find(is_new).copied() else {
        return Ok(registered.inventory);
    };
    let pair = RegisterPair { id, listen: None, protocol: None, namespace: None };
    Ok(register_pair(&registered.inventory, &pair)?.inventory)
}
